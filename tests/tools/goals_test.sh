#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: a results file of 0.1 is still read by compare, report and our own goals, and
# each says what is in it. Controls: a slower file fails, a missed goal fails.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

command -v python3 >/dev/null || skip "python3 is not installed"
kept=${CARDMARK_SRCDIR:-.}/tests/tools/results.json
goals=${CARDMARK_SRCDIR:-.}/tests/bench/goals
grep -qF '"library":"0.1' "$kept" || fail "the kept results are not of 0.1"

# change EXPRESSION: into changed.json, with row R (its dictionary) ours without a target.
change()
{
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
rows = d["programs"][0]["rows"]
R = next(r for r in rows if r["role"] == "ours" and r["pause_target_ms"] == 0)
exec(sys.argv[2])
json.dump(d, open(sys.argv[3], "w"))' "$kept" "$1" "$scratch/changed.json"
}

status 0 "$cardmark" bench compare "$kept" "$kept" --fail-above=1
said out "~1.000 [1.000, 1.000]"
change 'for run in R["runs"]: run["wall_s"] *= 9'
status 1 "$cardmark" bench compare "$kept" "$scratch/changed.json" --fail-above=1
said out SLOWER
status 0 "$cardmark" report "$kept" -o "$scratch/page.html"

# The kept run missed the goals of a pause target, on a busy machine.
status 1 "$goals" "$kept"
said out "  met      total time, of libgc-mprotect's"
said out "  NOT MET  target 5 ms: largest stop"
change 'd["pause_target_ms"] = 0'
status 0 "$goals" "$scratch/changed.json"
grep -q "NOT MET" "$scratch/out" && fail "a goal is not met, but the status is 0"
change 'd["pause_target_ms"] = 0; R["summary"]["to_libgc_mprotect"]["mid"] = 0.81'
status 1 "$goals" "$scratch/changed.json"
change 'd["pause_target_ms"] = 0; R["summary"]["peak_vmas"] = None'
status 1 "$goals" "$scratch/changed.json"
said out "unknown"
change 'd["pause_target_ms"] = 0; R["summary"]["good"] = 0'
status 1 "$goals" "$scratch/changed.json"
change 'd["programs"].pop(0)'
status 2 "$goals" "$scratch/changed.json"
status 2 "$goals"
finish
