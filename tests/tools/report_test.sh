#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark report on a kept results file: the page is well-formed, has every
# row and section, no script and nothing from elsewhere; text from the file is
# text and never markup; what a file lacks is said; the losses are those of the data.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

kept=${CARDMARK_SRCDIR:-.}/tests/tools/results.json
page=$scratch/report.html

command -v python3 >/dev/null || skip "python3 is not installed"

status 0 "$cardmark" report "$kept" -o "$page"
said out "$page"

# well_formed FILE: the page is XML too, so that a tag left open is an error.
well_formed()
{
	python3 -c '
import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' "$1" 2>"$scratch/xml"
}
well_formed "$page" || {
	fail "the page is not well-formed"
	tail -n 1 "$scratch/xml"
}
sed 's,</h2>,,' "$page" >"$scratch/broken.html"
well_formed "$scratch/broken.html" && fail "CONTROL: tags left open are not found"

for bad in '<script' 'javascript:' '<iframe' 'url(' 'http://' 'https://' ' src=' '@import'; do
	grep -qiF -e "$bad" "$page" && fail "the page has $bad"
done
grep -qiE '<[^>]* on[a-z]+=' "$page" && fail "the page has an event handler"

# filled FILE: no hole of a template is left, each colour of the style is whole, and what the
# page names by a colour has one.
filled()
{
	python3 - "$1" <<'END'
import re, sys
page = open(sys.argv[1]).read()
holes = re.findall(r"\{\{[^}]*\}\}", page)
assert not holes, holes
style = page[page.index("<style>"):page.index("</style>")]
colours = re.findall(r"#([0-9a-zA-Z]*)", style)
assert len(colours) > 30 and all(re.fullmatch("[0-9a-f]{3}([0-9a-f]{3})?", c) for c in colours), colours
used = set(re.findall(r'class="[^"]*\b((?:of|phase)-[a-z-]+)', page))
ruled = set(re.findall(r"\.((?:of|phase)-[a-z-]+)", style))
assert used and used <= ruled, used - ruled
END
}
filled "$page" || fail "a hole or a colour is wrong"
for bad in 's,<main>,<main>{{none}},' 's/--blue: #0b62a8/--blue: #\n0b62a8/' 's/of-pagemap/of-nobody/2'; do
	sed "$bad" "$page" >"$scratch/broken.html"
	cmp -s "$page" "$scratch/broken.html" && fail "CONTROL: nothing was changed by $bad"
	filled "$scratch/broken.html" 2>/dev/null && fail "CONTROL: not found: $bad"
done

python3 - "$page" "$kept" <<'END' || fail "the page is not what the file says"
import json, sys, xml.dom.minidom as dom
page, data = dom.parse(sys.argv[1]), json.load(open(sys.argv[2]))

def text(node):
    return "".join(c.data if c.nodeType == c.TEXT_NODE else text(c) for c in node.childNodes)

def tags(node, name):
    return node.getElementsByTagName(name)

ids = [e.getAttribute("id") for e in tags(page, "*") if e.hasAttribute("id")]
assert len(ids) == len(set(ids)), "an id twice"
links = {a.getAttribute("href")[1:] for a in tags(page, "a")}
sections = {s.getAttribute("id"): s for s in tags(page, "section")}
assert links | {"answer-0"} == set(sections) and len(sections) == 8, (links, set(sections))
for chart in tags(page, "svg"):
    if chart.getAttribute("class") == "chart":
        assert set(chart.getAttribute("aria-labelledby").split()) <= set(ids)
        assert tags(chart, "title") and tags(chart, "desc")
# The repetition (A/A) is the noise, and no row.
labels = [r["label"] for r in data["programs"][0]["rows"] if r["role"] != "control"]
programs = [p["name"] for p in data["programs"]]
assert len(programs) >= 2 and len(labels) >= 5
def groups(table):
    """The rows of each program, which stand below its name."""
    found = {}
    for tr in tags(tags(table, "tbody")[0], "tr"):
        if tr.getAttribute("class") == "group":
            name = text(tags(tr, "th")[0])
            found[name] = []
        else:
            found[name].append(tr)
    return found
# Each table that tells of rows has all of them, for each program.
for name, tables in ("verdict", 1), ("pauses", 3), ("memory", 1):
    assert len(tags(sections[name + "-0"], "table")) == tables, name
    for table in tags(sections[name + "-0"], "table"):
        rows = {p: [text(tags(tr, "th")[0]) for tr in trs] for p, trs in groups(table).items()}
        assert list(rows) == programs and all(r == labels for r in rows.values()), (name, rows)
# Each chart draws all rows.
charts = [[g for g in tags(figure, "g") if g.getAttribute("class").startswith("row ")]
          for figure in tags(page, "figure")]
assert [len(g) for g in charts] == [len(labels) * len(programs)] + [len(labels)] * 2 * len(programs), charts
assert all(tags(g, "path") for chart in charts for g in chart)
correct = tags(tags(sections["correctness-0"], "table")[0], "tr")
assert [text(tags(tr, "th")[0]) for tr in correct[1:]] == programs
raw = sections["raw-0"]
runs = sum(len(r["runs"]) for p in data["programs"] for r in p["rows"])
assert sum(map(len, groups(tags(raw, "table")[0]).values())) == runs
assert data["command"] in text(raw)
hgrm = [p for p in tags(raw, "pre") if "1/(1-Percentile)" in text(p)]
assert len(hgrm) == (len(labels) + 1) * len(programs)
env = text(sections["environment-0"])
for key in "kernel", "cpu", "thp", "load_before", "load_after", "libgc":
    assert data["environment"][key] in env, key

# The ratios are those of the file, with "~" where the rule says so.
from math import exp, log
def ratio_text(r, resolution):
    same = abs(log(r["mid"])) <= log(1 + resolution) or r["low"] <= 1 <= r["high"]
    return "%s%.2f [%.2f, %.2f]" % ("~" if same else "", r["mid"], r["low"], r["high"])
verdict = groups(tags(sections["verdict-0"], "table")[0])
for p in data["programs"]:
    for row, tr in zip([r for r in p["rows"] if r["role"] != "control"], verdict[p["name"]]):
        if row["role"] != "reference":
            want = ratio_text(row["summary"]["to_libgc_mprotect"], p["resolution"])
            got = text(tags(tr, "td")[2])
            assert got == want, (row["label"], got, want)

# Losses in total time: found here from the runs, in another way.
def mean(v): return sum(v) / len(v)
T = {3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646}  # by degrees of freedom
def interval(a, b):
    logs = [log(x["wall_s"] / y["wall_s"]) for x, y in zip(a["runs"], b["runs"])]
    m, n = mean(logs), len(logs)
    half = T[n - 1] * (sum((v - m) ** 2 for v in logs) / (n - 1) / n) ** 0.5
    return m, m - half, m + half
want = set()
for p in data["programs"]:
    by_role = {r["role"]: r for r in p["rows"]}
    ref, control, stw = by_role["reference"], by_role["control"], by_role["stop-the-world"]
    resolution = max(abs(v) for v in interval(control, ref)[1:])
    for row in p["rows"]:
        if row["role"] != "ours":
            continue
        others = [ref, stw] + [o for o in p["rows"] if o["role"] == "peer" and o["pause_target_ms"] ==
                               row["pause_target_ms"]]
        for other in others:
            m, low, high = interval(row, other)
            if m > resolution and low > 0:
                want.add((row["label"], p["name"], other["label"]))
got = set()
for tr in tags(tags(sections["losses-0"], "tbody")[0], "tr"):
    where, what, *ratios = tags(tr, "td")
    for other, ratio in zip(("stop-the-world", "libgc-mprotect", "libgc-mprotect, 5 ms"), ratios):
        if text(what) == "total time" and ratio.getAttribute("class") == "worse":
            got.add((text(tags(tr, "th")[0]), text(where), other))
assert got == want, (got, want)
END

# Files made from the kept one: change NAME 'PYTHON WITH d'
change()
{
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
rows = d["programs"][0]["rows"]
exec(sys.argv[3])
json.dump(d, open(sys.argv[2], "w"))' "$kept" "$scratch/$1.json" "$2" &&
		status 0 "$cardmark" report "$scratch/$1.json" -o "$scratch/$1.html" &&
		status 0 "$cardmark" report --markdown "$scratch/$1.json"
	well_formed "$scratch/$1.html" || fail "$1: the page is not well-formed"
}

in_page()
{
	grep -qF -e "$2" "$scratch/$1.html" || fail "$1: the page does not say \"$2\""
}

# Twice as slow as all others, beyond any doubt: a loss.
change slower '
for p in d["programs"]:
    for r in p["rows"]:
        for n, run in enumerate(r["runs"]):
            run["wall_s"] = (1 + n) * (2 if r["role"] == "ours" else 1)'
in_page slower 'total <b class="worse">2.00 [2.00, 2.00]</b> of stop-the-world'
in_page slower '<td class="name">total time</td><td class="worse">2.00 [2.00, 2.00]</td><td class="worse">2.00'
said out 'total time | 2.00'

# Text from the file is text.
change hostile '
evil = "</title></svg><script>alert(1)</script><img src=x onerror=alert(2)>\"\u0027&\u0001\u009b`|*"
d["command"] = evil
d["best"] = evil
for key, v in d["environment"].items():
    if isinstance(v, str):
        d["environment"][key] = evil
for p in d["programs"]:
    p["name"] = "<b>" + p["name"]
    p["what"] = evil
    for n, r in enumerate(p["rows"]):
        r["label"] = "<u>%d\"&" % n
rows[0]["runs"][0] = {"seed": 1, "ok": False, "wall_s": 1, "cpu_s": 1, "error": evil + "\u00e9" * 99}
for run in rows[1]["runs"]:
    # Too long: cut within a character.
    run.update(ok=False, error="x" + "\u00e9" * 150)'
filled "$scratch/hostile.html" || fail "hostile: a hole or a colour is wrong"
for bad in '<script' '<img' '<b>trees' '<u>0'; do
	grep -qF -e "$bad" "$scratch/hostile.html" && fail "text of the file became markup: $bad"
done
in_page hostile '&lt;script&gt;alert(1)'
# In `code` it is text already.
sed 's/`[^`]*`//g' "$scratch/out" | grep -qE '(^|[^\\])<' && fail "text of the file became markup in the summary"

# What is not there is said.
change alone 'd["programs"][1] = {"name": "guile", "what": "x", "left_out": "guile is not installed"}'
in_page alone 'left out: guile is not installed.'
change unchecked '
for p in d["programs"]:
    for r in p["rows"]:
        r["verified"] = r["sampled"] = None'
in_page unchecked 'does not say whether writes were missed'
change missed 'rows[3]["verified"]["missed"] = 3'
in_page missed '3 missed'
change wrong 'rows[0]["runs"][0]["hash"] = "0123456789abcdef"'
in_page wrong 'WRONG RESULT'
change failed '
for run in rows[3]["runs"]:
    run.update(ok=False, error="killed")'
in_page failed 'FAILED in all'
change few '
for p in d["programs"]:
    p["blocks"] = 2
    for r in p["rows"]:
        del r["runs"][2:]'
in_page few 'cannot say where we lose'
change silent '
for p in d["programs"]:
    for r in p["rows"]:
        for run in r["runs"]:
            run["stops_ns"] = []'
in_page silent 'No stops are recorded'
change none 'd["programs"] = [{"name": "trees", "what": "x", "left_out": "not built"}]'
in_page none 'No program ran'

# A server: a chart for each kind of latency, and a table with the numbers of the file.
grep -qF 'id="latency-0"' "$scratch/alone.html" && fail "latency without a server"
python3 "${CARDMARK_SRCDIR:-.}/tests/tools/latency.py" "$kept" "$scratch/server.json" ||
	fail "no file with a server"
status 0 "$cardmark" report "$scratch/server.json" -o "$scratch/server.html"
status 0 "$cardmark" report --markdown "$scratch/server.json"
grep -qF '{{' "$scratch/out" && fail "a hole of the summary is left"
well_formed "$scratch/server.html" || fail "server: the page is not well-formed"
in_page server '1000 requests a second; the reference can serve 2000'
said out '**Where we lose:**'
two='2.00 \[2.00, 2.00\]'
said out "| pagemap | kv | 99 % latency | $two | $two | - |"
said out "| pagemap, 5 ms | kv | 99 % latency | $two | $two | $two |"
grep -qE '(median|99.9 %) latency' "$scratch/out" && fail "a loss where there is none"
said out 'Latency at 1000 requests a second'
python3 - "$scratch/server.html" "$scratch/server.json" <<'END' || fail "the latency is not that of the file"
import json, sys, xml.dom.minidom as dom
page, data = dom.parse(sys.argv[1]), json.load(open(sys.argv[2]))
rows = data["programs"][-1]["rows"]

def text(node):
    return "".join(c.data if c.nodeType == c.TEXT_NODE else text(c) for c in node.childNodes)

section = [s for s in page.getElementsByTagName("section") if s.getAttribute("id") == "latency-0"][0]
figures = section.getElementsByTagName("figure")
lines = section.getElementsByTagName("details")[0].getElementsByTagName("tbody")[0].getElementsByTagName("tr")
kinds = list(rows[0]["runs"][0]["latency"]["kinds"])
assert len(figures) == len(kinds) == 7, (len(figures), kinds)
rows = [r for r in rows if r["role"] != "control"]
for figure in figures:
    groups = [g for g in figure.getElementsByTagName("g") if g.getAttribute("class").startswith("row ")]
    assert len(groups) == len(rows) and all(g.getElementsByTagName("path") for g in groups)
assert len(lines) == len(kinds) * (1 + len(rows)), (len(lines), len(rows))
for kind in kinds:
    at = 1 + kinds.index(kind) * (1 + len(rows))
    for row, tr in zip(rows, lines[at:]):
        assert text(tr.getElementsByTagName("th")[0]) == row["label"]
        # All blocks together, counted here in another way.
        runs = [r["latency"]["kinds"][kind] for r in row["runs"]]
        values = sorted((v, n) for r in runs for v, n in r["buckets"])
        count = sum(n for v, n in values)
        cells = [text(td) for td in tr.getElementsByTagName("td")]
        assert cells[0] == str(count), (kind, cells)
        for q, cell in zip((0.5, 0.9, 0.99, 0.999), cells[2:]):
            seen = 0
            for v, n in values:
                seen += n
                if seen >= q * count - 1e-6:
                    break
            if count * (1 - q) < 10 - 1e-6:
                assert cell == "too few", (kind, q, cell)
            else:
                assert abs(float(cell) - v / 1e6) <= 0.006 * v / 1e6 + 0.5 * (v >= 1e8), (kind, row["label"], q, cell, v)
        most = max(r["max_ns"] for r in runs) / 1e6
        assert abs(float(cells[6]) - most) <= 0.006 * most + 0.5 * (most >= 100), (kind, cells)
    if kind == "hiccup":
        assert cells[5] == "too few", cells  # 2505 of them: no 99.9 %
END

# Not results.
bad_file()
{
	printf '%s' "$1" >"$scratch/bad.json"
	status 1 "$cardmark" report "$scratch/bad.json" -o "$scratch/bad.html"
	[ "$(grep -c . "$scratch/err")" -eq 1 ] || fail "not one line of error for: $1"
	[ -e "$scratch/bad.html" ] && fail "a page although the file is bad: $1"
}
bad_file ''
bad_file '{}'
bad_file '[]'
bad_file '{"format":"cardmark-bench","version":1}'
bad_file '{"format":"cardmark-bench","version":2}'
bad_file '{"format":"cardmark-bench","version":2,"programs":[{"name":"x","blocks":1,"rows":[]}]}'
bad_file '{"format":"cardmark-bench","version":2,"programs":[{"name":"x","blocks":999999999}]}'
for spoil in 'rows[1]["runs"].pop()' 'rows.pop()' 'rows[1]["role"] = "ours"' \
	'rows[0]["runs"][0]["stops_ns"][0] = [5, 4, 0, 0, 0, 0]' \
	'rows[0]["runs"][0]["stops_ns"].reverse()' 'rows[0]["runs"][0]["stops_ns"][0].pop()' \
	'rows[0]["runs"][0]["wall_s"] = "1"'; do
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
rows = d["programs"][0]["rows"]
exec(sys.argv[2])
json.dump(d, sys.stdout)' "$kept" "$spoil" >"$scratch/spoilt.json"
	bad_file "$(cat "$scratch/spoilt.json")"
done
for spoil in 'lat["open_loop"]["count"] += 1' 'lat["open_loop"]["buckets"].reverse()' \
	'lat["open_loop"]["buckets"][0][0] += 1' 'lat["simple"]["buckets"][0][1] = -1' \
	'lat["simple"]["max_ns"] *= 2' 'del lat["hiccup"]' 'lat["hiccup"] = 3' \
	'lat["simple"] = lat["hiccup"]'; do
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
lat = d["programs"][-1]["rows"][1]["runs"][0]["latency"]["kinds"]
exec(sys.argv[2])
json.dump(d, sys.stdout)' "$scratch/server.json" "$spoil" >"$scratch/spoilt.json"
	bad_file "$(cat "$scratch/spoilt.json")"
done
status 1 "$cardmark" report "$scratch/none-such.json"
status 1 "$cardmark" report "$kept" -o "$scratch/none/x.html"
usage_error "$cardmark" report --what
usage_error "$cardmark" report -o
usage_error "$cardmark" report --markdown --micro=x

# Two files, and micro benchmarks beside them.
cat >"$scratch/micro.json" <<'END'
{"context": {"date": "today", "host_name": "<h>", "executable": "x", "cpu_scaling_enabled": true},
 "benchmarks": [{"name": "a<b>/8", "run_type": "iteration", "real_time": 12.5, "cpu_time": 12, "time_unit": "ns",
 "iterations": 1000}, {"name": "c", "error_occurred": true, "error_message": "no <kernel>"}]}
END
status 0 "$cardmark" report "$kept" "$scratch/slower.json" --micro="$scratch/micro.json" -o "$page"
well_formed "$page" || fail "two files: the page is not well-formed"
filled "$page" || fail "two files: a hole or a colour is wrong"
grep -qF 'id="verdict-1"' "$page" || fail "the second file is missing"
grep -qF 'a&lt;b&gt;/8' "$page" || fail "the micro benchmarks are missing"
status 1 "$cardmark" report "$kept" --micro="$kept" -o "$scratch/x.html"
finish
