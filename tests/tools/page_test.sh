#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the page of the results in docs/report: its first screen is the answer, with the
# numbers of the file; a name has one colour; nothing that rounds to 1.00 is red; the navigation
# has the write barriers; losses are there once; few tables are open. Controls: pages that
# break each of these.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

command -v python3 >/dev/null || skip "python3 is not installed"
for name in standard barriers; do
	python3 -c 'import lzma, sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())' \
		"${CARDMARK_SRCDIR:-.}/docs/report/$name.json.xz" >"$scratch/$name.json" ||
		fail "cannot unpack $name.json.xz"
done
page=$scratch/page.html
status 0 "$cardmark" report "$scratch/standard.json" --barriers="$scratch/barriers.json" -o "$page"

cat >"$scratch/check.py" <<'END'
import json, re, sys, xml.etree.ElementTree as tree
page, data = tree.parse(sys.argv[1]).getroot(), json.load(open(sys.argv[2]))
style = open(sys.argv[1]).read().partition("</style>")[0]
parents = {child: parent for parent in page.iter() for child in parent}

def text(node):
    return "".join(node.itertext())

def tags(node, name):
    return [e for e in node.iter(name) if e is not node]

def classes(node):
    return node.get("class", "").split()

def has(name, within=page):
    return [e for e in tags(within, "*") if name in classes(e)]

def up(node, what):
    while node is not None and not what(node):
        node = parents.get(node)
    return node

def folded(node):
    return up(node, lambda n: n.tag == "details") is not None

ids = {e.get("id", ""): e for e in tags(page, "*") if "id" in e.attrib}
def table(section):
    return [t for t in tags(ids[section], "table") if not folded(t)][0]

def body(t):
    return tags(tags(t, "tbody")[0], "tr")

# The first screen: a sentence for each program, and a picture with the target in each panel.
number = lambda v: "%.3g" % v if v < 100 else "%.0f" % v
want = []
for p in data["programs"]:
    rows = {r["role"]: r for r in p["rows"] if r["role"] != "ours"}
    ours = [r for r in p["rows"] if r["role"] == "ours" and r["pause_target_ms"]][0]
    r, stw = ours["summary"], rows["stop-the-world"]["summary"]
    want.append((p["name"], "%s with a %g ms target" % (ours["backend"], ours["pause_target_ms"]),
                 number(r["stop_max_ms"]), number(stw["stop_max_ms"]),
                 "%.2f [%.2f, %.2f]" % tuple(r["to_stop_the_world"][k] for k in ("mid", "low", "high"))))
got = [re.fullmatch(r"(\S+), (.*): longest stop (\S+) ms instead of (\S+);\stotal ~?(.*) of stop-the-world\.",
                    text(h)).groups() for h in has("headline")]
assert got == want, ("the headline", got, want)
answer = ids["answer-0"]
assert all(up(e, lambda n: n is answer) is not None for e in has("headline")), "the answer comes later"
order = [e.get("id", "") for e in tags(page, "section")]
assert order[:2] == ["answer-0", "verdict-0"], ("the first screen", order)
picture = tags(answer, "figure")
labels = [r["label"] for r in data["programs"][0]["rows"] if r["role"] != "control"]
assert len(picture) == 1 and len(has("goal", picture[0])) == len(want), "the target in the picture"
assert len(has("row", picture[0])) == len(has("tip", picture[0])) == len(want) * len(labels), "the picture"
assert len(has("bold", picture[0])) == 2 * len(want), "ours in the picture"

# A colour for each name: of the legends, the values to point at, the tables and the map.
looks = {}
def look(name, classes):
    of = [c for c in classes if c.startswith("of-")]
    assert len(of) == 1, ("a colour", name, classes)
    looks.setdefault(name.split(",")[0], set()).add(of[0])
for e in has("way"):
    look(text(e), classes(e))
for e in has("tip"):
    look(text(tags(e, "title")[0]).split(":")[0], classes(e))
for e in tags(page, "tr"):
    if any(c.startswith("of-") for c in classes(e)):
        look(text(tags(e, "th")[0]), classes(e))
for e in has("tile"):
    look(re.match(r"~?([a-z-]+)", text(e)).group(1), classes(e))
assert {"pagemap", "libgc-mprotect", "stop-the-world", "cards", "uffd"} <= set(looks), looks
assert all(len(c) == 1 for c in looks.values()), ("one name, one colour", looks)
kinds = [c for name, c in looks.items() if name != "dirty"] # which is alldirty once more
assert len({tuple(c) for c in kinds}) == len(kinds), ("one colour, one name", looks)
for c in set().union(*looks.values()):
    assert len(re.findall(r"\.%s\b" % c, style)) == 1, ("the style", c)
for e in tags(page, "*"):
    assert "fill" not in e.attrib and "stroke" not in e.attrib, "a colour of its own"
    assert re.fullmatch(r"(width:[\d.e+-]+%)?", e.get("style", "")), "a style of its own"

# Good and bad are said of ours alone, and never of what rounds to 1.
for e in has("worse") + has("better"):
    assert not re.match(r"~|1\.00 ", text(e)), ("red, or green", text(e))
assert has("worse") and any(text(e).startswith("~1.00 [1.00, 1.00]") for e in has("same")), "the sample"

# The navigation.
links = [a.get("href", "")[1:] for a in tags(tags(page, "nav")[0], "a")]
assert "barriers" in links, ("the navigation", links)
assert all(a.get("href", "")[1:] in ids for a in tags(page, "a")), "a link to nowhere"

# The curves: the target, and values to point at.
for figure in tags(ids["pauses-0"], "figure"):
    assert len(has("goal", figure)) == (1 if ": stops" in text(figure) else 0), "the target in a curve"
    for label in labels:
        tips = [text(t) for t in has("tip", figure) if text(t).startswith(label + ": ")]
        assert len(tips) > 2, ("values to point at", label, tips)

# The repetition is the noise, not a row.
for e in tags(page, "th") + has("way") + has("tip"):
    if "(A/A)" in text(e):
        assert up(e, lambda n: n is ids["raw-0"]) is not None, ("a row of A/A", text(e))
assert has("band", picture[0]), "the noise in the picture"

# A loss stands in one line.
for section in "losses-0", "barriers":
    t = [t for t in tags(ids[section], "table") if text(tags(t, "th")[0]) == "our row"]
    lines = [text(tags(tr, "th")[0]) + "|" + "|".join(text(td) for td in tags(tr, "td")[:1 + (section[0] == "l")])
             for tr in body(t[0])]
    assert len(t) == 1 and lines and len(lines) == len(set(lines)), ("losses twice", lines)

# Write faults beside what the kernel resolved; correctness in one table.
heads = [text(th) for th in tags(tags(table("memory-0"), "thead")[0], "th")]
at = heads.index("write faults that came to the process")
assert heads[at + 1] == "faults that the kernel resolved", heads
assert [text(tags(tr, "th")[0]) for tr in body(table("correctness-0"))] == [w[0] for w in want], "correctness"

tables = tags(page, "table")
unfolded = [t for t in tables if not folded(t)]
print(len(tables), "tables,", len(unfolded), "open")
assert len(tables) <= 24 and len(unfolded) <= 10, ("tables", len(tables), len(unfolded))
END
python3 "$scratch/check.py" "$page" "$scratch/standard.json" || fail "the page is not as it should be"

# broken WHAT SED: a page that is changed like that does not pass.
broken()
{
	sed -E "$2" "$page" >"$scratch/broken.html"
	cmp -s "$page" "$scratch/broken.html" && fail "CONTROL: nothing was changed by $2"
	python3 "$scratch/check.py" "$scratch/broken.html" "$scratch/standard.json" >"$scratch/found" 2>&1 &&
		fail "CONTROL: not found: $2"
	tail -n 1 "$scratch/found" | grep -qF -e "$1" || fail "CONTROL: $2: $(tail -n 1 "$scratch/found")"
}
broken 'the headline' '0,/<b>[0-9.]+ ms/s,<b>([0-9.]+) ms</b>,<b>9\1 ms</b>,'
broken 'the headline' '0,/instead of [0-9]/s,instead of ([0-9]),instead of 9\1,'
broken 'the first screen' 's,id="verdict-0",id="later",'
broken 'the target in the picture' '1,/class="goal"/s,class="goal",class="line",'
broken 'one name, one colour' '0,/tip of-pagemap/s,tip of-pagemap,tip of-libgc-mprotect,'
broken 'one name, one colour' 's,<tr class="of-uffd,<tr class="of-none,;s,tile of-cards,tile of-none,'
broken 'a style of its own' '0,/<tr class/s,<tr class,<tr style="color:red" class,'
broken 'red, or green' 's,class="same">~1.00 \[1.00\, 1.00\],class="worse">1.00 [1.00\, 1.00],'
broken 'the navigation' 's,<li><a href="#barriers">Write barriers</a></li>,,'
broken 'the target in a curve' '/: stops<\/figcaption>/,/<\/svg>/s,class="goal",class="grid",'
broken 'values to point at' 's,^<g class="tip of-pagemap target.*,,'
broken 'a row of A/A' '/id="memory-0"/,/<\/section>/s,<th scope="row">libgc-mprotect<,<th scope="row">libgc-mprotect (A/A)<,'
broken 'losses twice' '/id="losses-0"/,/<\/section>/s,^<tr><th scope="row">.*,&&,'
broken "'tables'" 's,<details>,<div>,;s,</details>,</div>,'
finish
