#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench barriers runs the small collector with every barrier to one
# result, writes what docs/barriers.schema.json says, and report makes a page and a summary of
# it. Control: a result that differs is noticed.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

file=$scratch/barriers.json
[ -x "$builddir/examples/minigc/minigc" ] || skip "the small collector was not built (jemalloc)"
status 0 "$cardmark" bench barriers --program=stores --blocks=3 --size=4 --live-mb=2 --seed=9 --json="$file"
said out "3 blocks begun"
for row in cards alldirty oracle dirty none; do
	said out " $row"
done
for axis in heap nursery object map; do
	grep -q "^$axis  " "$scratch/out" || fail "no table of the axis $axis"
done

status 0 "$cardmark" report --barriers="$file" -o "$scratch/page.html"
for text in "Where we lose" "Crossover map" "By how often it collects" "By the size of objects"; do
	grep -qF "$text" "$scratch/page.html" || fail "the page has no \"$text\""
done
grep -q "<script" "$scratch/page.html" && fail "the page has a script"
grep -qF "{{" "$scratch/page.html" && fail "a hole of a template is left"
grep -q "WRONG RESULT" "$scratch/page.html" && fail "the page says WRONG RESULT"
status 0 "$cardmark" report --barriers="$file" --markdown
said out "Results agree"
grep -qF "{{" "$scratch/out" && fail "a hole of the summary is left"

# One answer of one run is another.
sed 's/"hash": *"[0-9a-f]\{16\}"/"hash":"0123456789abcdef"/' "$file" >"$scratch/wrong.json"
status 0 "$cardmark" report --barriers="$scratch/wrong.json" -o "$scratch/page.html"
grep -q "WRONG RESULT" "$scratch/page.html" || fail "control: the page does not say WRONG RESULT"

usage_error "$cardmark" bench barriers --program=nothing
usage_error "$cardmark" bench barriers --program=stores --program=trees
echo '{"format": "cardmark-barriers", "version": 1}' >"$scratch/bad.json"
status 1 "$cardmark" report --barriers="$scratch/bad.json" -o "$scratch/page.html"

python3 -c 'import jsonschema' 2>/dev/null || { echo "# python3-jsonschema is not installed"; finish; }
check_results "${CARDMARK_SRCDIR:-.}/docs/barriers.schema.json" "$file" <<'END' ||
from schema import whole, spoil, finish
for point in whole["points"]:
    assert point["results_agree"] and len(point["rows"]) == len(whole["barriers"])
    for row in point["rows"]:
        assert len(row["runs"]) == 3 and all(r["ok"] for r in row["runs"]), row["label"]
for axis in whole["sweeps"].values():
    for at in axis:
        assert at["point"] < len(whole["points"])

# Each of these must be found wrong.
spoil(lambda d: d.update(version=2))
spoil(lambda d: d["points"][0]["rows"][0]["runs"][0].update(hash="0"))
spoil(lambda d: d["points"][0]["rows"][0]["runs"][0].update(extra=1))
spoil(lambda d: d["sweeps"]["map"][0].pop("point"))
finish()
END
	fail "the results file is not what the schema says"
finish
