#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench at a tiny size: every row has a result, the JSON
# parses, and a wrong result fails the bench.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
[ -x "$builddir/bench/boehm/trees" ] || skip "the benchmark programs were not built"

status 0 "$cardmark" bench --program=trees --blocks=2 --size=2 --live-mb=8 --seed=5 \
	--json="$scratch/bench.json"
for text in stop-the-world "libgc-mprotect (A/A)" "Goals for trees" "In plain words" \
	"Kernel" "THP" "stolen" "Seed      5" "resolution"; do
	said out "$text"
done
grep -q FAILED "$scratch/out" && fail "a run failed" && cat "$scratch/out"
if command -v python3 >/dev/null; then
	python3 -c '
import json, sys
b = json.load(open(sys.argv[1]))
assert b["format"] == "cardmark-bench" and b["version"] == 2 and b["seed"] == 5
rows = b["programs"][0]["rows"]
assert len(rows) >= 5
for row in rows:
    s = row["summary"]
    assert s["good"] == 2 and s["failed"] == 0, row["label"]
    assert row["role"] == "control" or s["peak_vmas"] > 5, row["label"]
for block in range(2):
    assert len({row["runs"][block]["hash"] for row in rows}) == 1
assert len({run["hash"] for run in rows[0]["runs"]}) == 2  # one seed a block
' "$scratch/bench.json" || fail "the JSON is not what it should be"
fi
finish
