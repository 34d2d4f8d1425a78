#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: a bench that was interrupted goes on with the same plan: the runs it had
# are kept as they were, rows, seeds, order and results are those of one that
# was not; two results files are compared, and a slower one is found.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
[ -x "$builddir/bench/boehm/trees" ] || skip "the benchmark programs were not built"
command -v python3 >/dev/null || skip "python3 is not installed"

options="--program=trees --blocks=4 --size=2 --live-mb=8 --seed=5"
file=$scratch/bench.json journal=$scratch/bench.json.journal

# interrupt SIGNAL BLOCKS: waits until so many blocks are done.
interrupt()
{
	while blocks=$(grep -c '"block_s"' "$journal" 2>/dev/null); [ "${blocks:-0}" -lt "$2" ]; do
		if ! kill -0 "$pid" 2>/dev/null; then
			fail "the bench did not come to block $2"
			break
		fi
		sleep 0.01
	done
	kill -"$1" "$pid" 2>/dev/null
	wait "$pid"
	got=$?
}

# shellcheck disable=SC2086
"$cardmark" bench $options --json="$file" >"$scratch/ran.out" 2>"$scratch/ran.err" </dev/null &
pid=$!
# As long as it lives, neither another bench nor resume takes its journal.
until [ -s "$journal" ]; do
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.01
done
kill -STOP "$pid"
# shellcheck disable=SC2086
status 1 "$cardmark" bench $options --json="$file"
said err "belongs to a bench that is running"
status 1 "$cardmark" bench resume "$file"
said err "belongs to a bench that is running"
kill -CONT "$pid"
interrupt TERM 1
[ "$got" -eq 143 ] || fail "exit status $got, not 143, after SIGTERM"
said ran.err "bench resume $file"
[ -e "$file" ] && fail "a results file although it was interrupted"
grep -c . "$journal" >"$scratch/lines"

# Another bench does not write over it.
# shellcheck disable=SC2086
status 1 "$cardmark" bench $options --json="$file"
said err "belongs to an interrupted bench"
[ "$(grep -c . "$journal")" = "$(cat "$scratch/lines")" ] || fail "the journal was changed"

# Killed in the middle of a line, as by a crash; and once more.
cp "$journal" "$scratch/first"
printf '{"program":0,"block":1,"row":0,"run":{"se' >>"$journal"
"$cardmark" bench resume "$file" >"$scratch/out" 2>"$scratch/err" </dev/null &
pid=$!
interrupt KILL 3
python3 - "$journal" "$scratch/cut" <<'END'
import sys
# Three whole blocks, and nothing of the fourth: where the kill hit is chance.
lines = open(sys.argv[1]).read().split("\n")
blocks = 0
with open(sys.argv[2], "w") as out:
    for line in lines:
        if blocks < 3 and line:
            out.write(line + "\n")
        blocks += '"block_s"' in line
END
cp "$scratch/cut" "$journal"
status 0 "$cardmark" bench resume "$file"
[ -e "$journal" ] && fail "the journal is still there"
status 1 "$cardmark" bench resume "$file"
said err "is complete"

# The same without interruption.
# shellcheck disable=SC2086
status 0 "$cardmark" bench $options --json="$scratch/whole.json"
python3 - "$scratch/cut" "$file" "$scratch/whole.json" <<'END' || fail "not the same plan"
import json, sys
journal = [json.loads(line) for line in open(sys.argv[1])]
resumed, whole = (json.load(open(name))  for name in sys.argv[2:])
assert resumed["resumed"] == 2 and whole["resumed"] == 0
assert resumed["command"].split("--json")[0] == whole["command"].split("--json")[0]
a, b = (d["programs"][0] for d in (resumed, whole))
assert a["blocks"] == b["blocks"] == 4 and a["work_percent"] == b["work_percent"]
assert [r["label"] for r in a["rows"]] == [r["label"] for r in b["rows"]]
for x, y in zip(a["rows"], b["rows"]):
    assert [r["seed"] for r in x["runs"]] == [r["seed"] for r in y["runs"]] == [5, 6, 7, 8]
    assert [r["hash"] for r in x["runs"]] == [r["hash"] for r in y["runs"]]
# What was in the journal is in the file, the later one where a block was begun again.
kept = {}
for line in journal:
    if "run" in line:
        kept[line["block"], line["row"]] = line["run"]
assert len(kept) == 3 * len(a["rows"])
for (block, row), run in kept.items():
    assert a["rows"][row]["runs"][block] == run, (block, row)
# Each block in a random order of its own, and not in that of the table.
orders = [[line["row"] for line in journal if "run" in line and line["block"] == n] for n in range(3)]
assert all(sorted(set(o)) == list(range(len(a["rows"]))) for o in orders), orders
assert len({tuple(o) for o in orders}) > 1
END

# Another plan or machine is not gone on with.
sed 's/"stop-the-world"/"another row"/' "$scratch/first" >"$journal"
status 1 "$cardmark" bench resume "$file"
said err "another plan or machine"
sed 's/"kernel":"[^"]*"/"kernel":"Linux 2.0"/' "$scratch/first" >"$journal"
status 1 "$cardmark" bench resume "$file"
said err "another plan or machine"
echo nonsense >"$journal"
status 1 "$cardmark" bench resume "$file"
said err "is not a journal"
rm "$journal"
status 1 "$cardmark" bench resume "$scratch/none.json"
said err "cannot read"

# A server goes on at the rate it began with.
kv=$scratch/kv.json journal=$scratch/kv.json.journal
"$cardmark" bench --program=kv --blocks=2 --size=5 --live-mb=8 --json="$kv" \
	>"$scratch/out" 2>"$scratch/err" </dev/null &
pid=$!
interrupt TERM 1
status 0 "$cardmark" bench resume "$kv"
python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))["programs"][0]
rates = {run["latency"]["rate_per_s"] for row in p["rows"] for run in row["runs"]}
assert rates == {p["rate_per_s"]} and p["closed_loop_per_s"] > 0, rates
' "$kv" || fail "another rate after it went on"

# When an earlier program has used up the time of all, the last has little, and not no limit.
late=$scratch/late.json journal=$scratch/late.json.journal
"$cardmark" bench --quick --program=trees --program=words --size=1 --live-mb=8 --json="$late" \
	>"$scratch/out" 2>"$scratch/err" </dev/null &
pid=$!
interrupt TERM 1
sed -E 's/"at_s":[0-9.e-]+/"at_s":1000/' "$journal" >"$scratch/later" && cp "$scratch/later" "$journal"
status 0 "$cardmark" bench resume "$late"
python3 -c '
import json, sys
blocks = [p["blocks"] for p in json.load(open(sys.argv[1]))["programs"]]
assert blocks[1] == 1, blocks
' "$late" || fail "a program had more time than was left"

# Comparing: made-up files from real ones, so that the answer is known.
python3 - "$scratch/whole.json" "$scratch" <<'END'
import json, sys
whole = json.load(open(sys.argv[1]))
def write(name, factor):
    for row in whole["programs"][0]["rows"]:
        for n, run in enumerate(row["runs"]):
            noise = 1 + 0.002 * ((n * 7 + len(row["label"])) % 5)
            run["wall_s"] = (1 + n) * noise * (factor if row["role"] == "ours" else 1)
    json.dump(whole, open(sys.argv[2] + "/" + name, "w"))
write("old.json", 1)
write("new.json", 1.2)
whole["seed"] = 6
write("seed.json", 1)
whole["version"] = 1
write("version.json", 1)
END
status 0 "$cardmark" bench compare "$scratch/old.json" "$scratch/old.json" --fail-above=1
said out "~1.000 [1.000, 1.000]"
status 0 "$cardmark" bench compare "$scratch/old.json" "$scratch/new.json"
said out "1.200 [1.200, 1.200]"
status 1 "$cardmark" bench compare "$scratch/old.json" "$scratch/new.json" --fail-above=10
said out SLOWER
status 0 "$cardmark" bench compare "$scratch/old.json" "$scratch/new.json" --fail-above=30
status 0 "$cardmark" bench compare "$scratch/new.json" "$scratch/old.json" --fail-above=0
status 1 "$cardmark" bench compare "$scratch/old.json" "$scratch/seed.json"
said err "not comparable"
status 1 "$cardmark" bench compare "$scratch/old.json" "$scratch/version.json"
said err "another version"
status 1 "$cardmark" bench compare "$scratch/old.json" /dev/null
usage_error "$cardmark" bench compare "$scratch/old.json"
usage_error "$cardmark" bench programs --fail-above=3
usage_error "$cardmark" bench compare a b --fail-above=much
usage_error "$cardmark" bench resume x --seed=3
finish
