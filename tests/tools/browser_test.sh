#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the page of cardmark report in headless chromium, at the width of a
# phone and of a desk, light and dark: nothing in the console, nothing wider
# than the page, no text cut off or over other text in a chart, a shadow where a table
# goes on, and enough contrast.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

kept=${CARDMARK_SRCDIR:-.}/tests/tools/results.json
page=$scratch/report.html
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip "no chromium is installed"

command -v python3 >/dev/null || skip "python3 is not installed"
python3 "${CARDMARK_SRCDIR:-.}/tests/tools/latency.py" "$kept" "$scratch/server.json" ||
	fail "no file with a server"
status 0 "$cardmark" report "$scratch/server.json" -o "$page"

# The page has no scripts. This one is put into a copy; it looks, and says what it found.
cat >"$scratch/look.js" <<'END'
addEventListener("load", () => {
  const found = [], say = t => found.push(t);
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) say("the page is " + wide + " wide, the window " + innerWidth);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  let charts = 0, texts = 0;
  for (const svg of document.querySelectorAll("svg.chart")) {
    const box = svg.getBoundingClientRect(), seen = [];
    charts++;
    if (box.width < 250 || box.height < 150) say("a chart is only " + box.width + " wide");
    for (const t of svg.querySelectorAll("text")) {
      const b = t.getBoundingClientRect();
      texts++;
      if (b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 ||
          b.bottom > box.bottom + 1) say("cut off: " + t.textContent);
      for (const [other, text] of seen)
        if (over(b, other)) say("\"" + t.textContent + "\" is over \"" + text + "\"");
      seen.push([b, t.textContent]);
      if (b.height < 9) say("tiny: " + t.textContent);
    }
  }
  let wider = 0;
  for (const e of document.querySelectorAll(".scroll"))
    if (e.scrollWidth > e.clientWidth) {
      wider++;
      if (!/(.*gradient.*){4}/.test(getComputedStyle(e).backgroundImage))
        say("nothing shows that there is more of " + e.getAttribute("aria-label"));
    }
  const channels = c => c.match(/[\d.]+/g).slice(0, 3).map(v => {
    v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  const light = c => { const [r, g, b] = channels(c); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const back = getComputedStyle(document.body).backgroundColor;
  for (const e of document.querySelectorAll("p,td,th,a,summary,caption,dt,dd,li,h1,h2,h3")) {
    if (contrast(getComputedStyle(e).color, back) < 4.5) say("faint text: " + e.textContent.slice(0, 40));
  }
  for (const t of document.querySelectorAll("svg text"))
    if (contrast(getComputedStyle(t).fill, back) < 4.5) say("faint text in a chart: " + t.textContent);
  for (const m of document.querySelectorAll(".mark"))
    if (contrast(getComputedStyle(m).stroke, back) < 3) {
      say("a faint mark: " + m.getAttribute("class"));
      break;
    }
  parent.document.body.dataset.found = JSON.stringify([...new Set(found)]);
  parent.document.body.dataset.seen = "charts " + charts + " texts " + texts + " wider " + wider + " width " + innerWidth +
    " back " + back;
});
END

# look FILE WIDTH SCHEME MORE: what was found is in $scratch/found, the console in
# /console. In a frame, because the window of chromium cannot be narrower than 500.
look()
{
	python3 - "$1" "$scratch/look.js" "$scratch/copy.html" "$2" "$4" <<'END'
import html, sys
page, script = open(sys.argv[1]).read(), open(sys.argv[2]).read()
end = page.rindex("</body>")
page = page[:end] + sys.argv[5] + "<script>" + script + "</script>" + page[end:]
open(sys.argv[3], "w").write(
    "<!DOCTYPE html><meta charset=utf-8><meta name=color-scheme content='light dark'>"
    "<link rel=icon href='data:,'><body style='margin:0'>"
    "<iframe style='border:0;width:%spx;height:3000px' srcdoc=\"%s\"></iframe>" %
    (sys.argv[4], html.escape(page)))
END
	"$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
		--user-data-dir="$scratch/profile" --window-size=1400,3000 \
		--blink-settings=preferredColorScheme="$3" --enable-logging=stderr \
		--virtual-time-budget=2000 --dump-dom "file://$scratch/copy.html" \
		>"$scratch/dom" 2>"$scratch/chromium" </dev/null
	grep -F CONSOLE "$scratch/chromium" >"$scratch/console"
	sed -nE 's/.*data-found="([^"]*)".*/\1/p' "$scratch/dom" | sed 's/&quot;/"/g' >"$scratch/found"
	sed -nE 's/.*data-seen="([^"]*)".*/\1/p' "$scratch/dom" >"$scratch/seen"
}

look "$page" 1280 1 ""
[ -s "$scratch/seen" ] || {
	cat "$scratch/chromium"
	skip "chromium does not run here"
}
for width in 390 1280; do
	for scheme in 0 1; do # dark, light
		look "$page" $width $scheme ""
		cat "$scratch/seen"
		[ "$(cat "$scratch/found")" = "[]" ] ||
			fail "at $width, scheme $scheme: $(cut -c1-2000 "$scratch/found")"
		[ -s "$scratch/console" ] && fail "at $width: $(cat "$scratch/console")"
		grep -q "width $width " "$scratch/seen" || fail "the window is not $width wide"
		grep -qE 'charts [1-9][0-9]* texts [1-9][0-9]' "$scratch/seen" || fail "no charts were seen"
		[ $width -gt 390 ] || grep -qE 'wider [1-9]' "$scratch/seen" || fail "no table is too wide"
		sed 's/.*back //' "$scratch/seen" >>"$scratch/backs"
	done
done
[ "$(sort -u "$scratch/backs" | wc -l)" -eq 2 ] || fail "light and dark look the same"

# The controls: what is wrong is found.
wrong()
{
	look "$page" 390 1 "$1"
	grep -qF -e "$2" "$scratch/$3" || fail "CONTROL: \"$2\" is not found: $(cat "$scratch/$3")"
}
wrong '<div style="width:900px">wide</div>' 'the page is' found
wrong '<style>.scroll { background: none }</style>' 'nothing shows that there is more of Verdict' found
wrong '<p style="color:#ccc">faint</p>' 'faint text: faint' found
wrong '<svg class="chart" viewBox="0 0 420 300"><text x="400" y="50">far to the right</text></svg>' \
	'cut off: far' found
wrong '<svg class="chart" viewBox="0 0 420 300"><text x="20" y="50">one</text><text x="22" y="52">two</text></svg>' \
	'is over' found
wrong '<script>console.error("oh no")</script>' 'oh no' console
finish
