#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: what cardmark run shows of a run: the summary, the log, the trace and the report
# agree; a trace is bounded; output that cannot be written, or is not read, does not delay a
# program; a worse backend is reported.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
use_command
torture=$top/tests/boehm/torture

lines()
{
	grep -cE '^(cardmark run: |  (stops|target|memory|what would help): )' "$1"
}

# terminal COMMAND...: with a terminal for standard error; its output is in out
terminal()
{
	timeout 60 python3 - "$@" >out 2>&1 <<'END'
import os, pty, subprocess, sys
master, slave = pty.openpty()
p = subprocess.Popen(sys.argv[1:], stderr=slave, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
os.close(slave)
try:
    while data := os.read(master, 4096):
        os.write(1, data.replace(b"\r", b""))
except OSError:
    pass
sys.exit(p.wait())
END
}

# ---- The summary -------------------------------------------------------------------------------

terminal "$cardmark" run -- "$program" collect 3
check "$(lines out)" 5 "a terminal gets a summary"
check "$(awk 'length > 160' out)" "" "its lines are short"
terminal "$cardmark" run --no-summary -- "$program" collect 3
check "$(wc -c <out)" 0 "--no-summary"
terminal "$cardmark" run -- "$program" collect 2 fork collect 2
check "$(lines out)" 5 "a forked child has none"
run 0 "$cardmark" run -- "$program" collect 3
check "$(wc -c <out)" 0 "what is no terminal gets none"
run 0 "$cardmark" run --summary -- "$program" collect 3
check "$(lines out)" 5 "unless it is asked for"
said 'target: none' "no target"
run 0 "$cardmark" run --summary --pause-target=50000 -- "$program" collect 3
said 'target: 50000 ms; no stop was more than 1 ms longer' "a target that is met"
said 'what would help: nothing is needed' "nothing would help then"
run 0 "$cardmark" run --summary --backend=stop-the-world -- "$program" collect 3
said "libgc's own stop-the-world mode" "the mode is said"
said 'would help: our tracking: leave out --backend=stop-the-world' "what would help"

# ---- The same run, four times --------------------------------------------------------------------

# Threads, slices, and stops that miss a target that is too short.
run 0 "$cardmark" run --pause-target=0.1 --raw --stats=s.json --trace=t.json --log=l.log --summary -- \
	"$torture" -t 2 -d 2 -s 3
cp out summary
cat >same.py <<'END'
import json, re, sys
stats, trace = json.load(open("s.json")), json.load(open("t.json"))
log, summary = open("l.log").read().splitlines(), open("summary").read()
events, other = trace["traceEvents"], trace["otherData"]
stops = [e for e in events if e["ph"] == "X" and e["name"].startswith("stop") and e["name"] != "stop the threads"]
assert other["lost"] == 0 and other["format"] == "cardmark-trace", other

# The report and the trace.
assert len(stops) == stats["stops"]["count"] == len(stats["stops_ns"])
close = lambda a, b: abs(a - b) < 0.0011
for e, (start, end, *phases) in zip(sorted(stops, key=lambda e: e["ts"]), stats["stops_ns"]):
    assert close(e["ts"] * 1000, start * 1.0) or abs(e["ts"] - start / 1000) < 0.002, (e, start)
    assert abs(e["dur"] - (end - start) / 1000) < 0.002
    inner = [x for x in events if x["ph"] == "X" and x["tid"] == e["tid"] and x is not e
             and x["ts"] >= e["ts"] - 0.002 and x["ts"] + x["dur"] <= e["ts"] + e["dur"] + 0.002 and x["name"][:4] != "stop"]
    assert len(inner) <= 4 and sum(x["dur"] for x in inner) <= e["dur"] + 0.01
over = sum(e["args"]["over_target"] != "" for e in stops)
assert over == sum(stats["over"].values()) == stats["pace"]["stops_over"], (over, stats["over"], stats["pace"])
# libgc may read its dirty bits once outside of a stop, before the first.
assert 0 < sum(e["args"]["dirty_cards"] for e in stops) <= stats["dirty_cards"]
for e in events:
    assert e["pid"] == stats["pid"], e
    assert e["ph"] in "XCM" and (e["ph"] == "M" or e["ts"] >= 0), e
waits = [e for e in events if e["name"] in ("slice of marking", "wait for memory")]
assert waits and all(e["dur"] * 1000 >= other["least_ns"] for e in waits)
names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
assert all(e["tid"] in names for e in waits) and len({e["tid"] for e in waits}) > 1, names
assert all(e["tid"] != w["tid"] for e in stops for w in waits[:1])

# The report and the log.
found = [re.fullmatch(r"cardmark\[(\d+)\] ([\d.]+) s: collection (\d+), (full|partial): (\d+) stops?, .*", l) for l in log]
assert all(found), [l for l, m in zip(log, found) if not m]
assert [int(m[3]) for m in found] == list(range(1, len(log) + 1))
# One may be under way at the end.
assert 0 <= stats["collections"] - len(log) <= 1, (stats["collections"], len(log))
last = sum(e["name"] == "stop" for e in stops)
assert last == len(log), (last, len(log))
assert sum(int(m[5]) for m in found) <= len(stops)

# The report and the summary.
m = re.search(r"(\d+) stops? in (\d+) collections?", summary)
assert [int(m[1]), int(m[2])] == [stats["stops"]["count"], stats["collections"]], summary
m = re.search(r"target: 0.1 ms(?:, missed (\d+) times?|; no stop was more than 1 ms longer)", summary)
assert int(m[1] or 0) == over, summary
print("stops", len(stops), "over", over, "slices and waits", len(waits), "collections", len(log))
END
run 0 python3 same.py
said '^stops [1-9]' "summary, log, trace and report say the same"
if grep -q 'over 0 ' out; then
	echo "skip: no stop missed a target of 0.1 ms"
	skips=$((skips + 1))
else
	pass "stops that missed the target"
fi
# The controls: what differs is found.
mv s.json whole.json
sed 's/"dirty_cards": [0-9]*/"dirty_cards": 1/' whole.json >s.json
run 1 python3 same.py
mv whole.json s.json
cp l.log whole.log
sed 2d whole.log >l.log
run 1 python3 same.py
cp whole.log l.log
sed -i '0,/"name":"stop"/s//"name":"stap"/' t.json
run 1 python3 same.py
pass "the controls: a report, a log and a trace that differ"

# ---- The schema, and the page of its fields ----------------------------------------------------------

cat >schema.py <<'END'
import copy, json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
check, bad, whole = jsonschema.Draft7Validator(schema), 0, json.load(open("s.json"))
for name in sys.argv[3:]:
    for error in check.iter_errors(json.load(open(name))):
        print(name, list(error.path), error.message[:200])
        bad += 1

# Each of these must be found invalid.
def spoil(change):
    global bad
    copied = copy.deepcopy(whole)
    change(copied)
    if check.is_valid(copied):
        print("the schema did not find:", copied)
        bad += 1

spoil(lambda d: d.update(version=2))
spoil(lambda d: d.update(another=1))
spoil(lambda d: d.pop("parent_pid"))
spoil(lambda d: d.update(ended="SIGKILL"))
spoil(lambda d: d["over"].pop("busy"))
spoil(lambda d: d["stops_ns"][0].pop())
spoil(lambda d: d["stops"].update(p50_ns=-1))

# The page names each field of the report, and of its parts.
page = open(sys.argv[2]).read()
for name, part in schema["properties"].items():
    part = schema["definitions"].get(part.get("$ref", "").split("/")[-1], part)
    for field in [name, *part.get("properties", {})]:
        if "`" + field + "`" not in page:
            print("docs/run-report.md does not name", name, field)
            bad += 1
sys.exit(bad != 0)
END
run 0 "$cardmark" run --backend=stop-the-world --stats=stw.json -- "$program" collect 2
run 0 "$cardmark" run --way=B --verify --stats=verify.json -- "$program" collect 2
run 0 "$cardmark" run --backend=libgc-mprotect --pause-target=5 --stats=mprotect.json -- "$program" collect 2
if python3 -c 'import jsonschema' 2>/dev/null; then
	run 0 python3 schema.py "$srcdir/docs/run.schema.json" "$srcdir/docs/run-report.md" s.json stw.json verify.json mprotect.json
	pass "reports are what docs/run.schema.json says, and docs/run-report.md has each field"
else
	echo "skip: the schema: python3-jsonschema is not installed"
	skips=$((skips + 1))
fi

# ---- A trace that is full ----------------------------------------------------------------------------

run 0 env CARDMARK_PRELOAD="$hooks" CARDMARK_GC_TEST_TRACE_ROOM=50 "$cardmark" run --stats=few.json --trace=few.trace -- \
	"$program" collect 200
python3 - >out 2>&1 <<'END'
import json
t, s = json.load(open("few.trace")), json.load(open("few.json"))
o, stops = t["otherData"], [e for e in t["traceEvents"] if e["name"] == "stop"]
assert o["notes"] == 50 and o["lost"] >= s["stops"]["count"] - 50 > 0, o
assert 0 < len(stops) <= 50
# The newest.
assert max(e["ts"] for e in stops) * 1000 > s["wall_ns"] / 2
END
check $? 0 "of more notes than there is room for the newest are kept, and the others counted"

# ---- Readers that do not read ---------------------------------------------------------------------------

mkfifo pipe
tail -f /dev/null <pipe &
reader=$!
run 0 "$cardmark" run --log=pipe --stats=slow.json -- "$program" collect 3000
check "$(python3 -c 'import json; print(json.load(open("slow.json"))["ended"])')" exit \
	"a log that nobody reads: the program ends, with its report"
kill $reader
cat pipe >read.log &
reader=$!
run 0 "$cardmark" run --log=pipe -- "$program" collect 3000
wait $reader
check "$(awk '/: collection / { n++ } /are missing/ { n += $2 } END { print (n >= 3000) }' read.log)" 1 "the control: with a reader each collection is there, or counted"
run 0 "$cardmark" run --log=- -- "$program" collect 2
check "$(grep -c ': collection ' out)" "$(grep -c . out)" "a log on standard output"
if [ -w /dev/full ] && ! (echo >/dev/full) 2>/dev/null; then
	run 0 "$cardmark" run --log=/dev/full --trace=/dev/full -- "$program" collect 2
	said 'the log cannot be written to .*No space left' "a full disk is said of the log"
	said 'the trace cannot be written to .*No space left' "and of the trace"
fi
run 0 env CARDMARK_LOG=no/l CARDMARK_TRACE=no/t "$cardmark" run -- "$program" collect 2
said 'the log cannot be written to .*no/l: No such file' "a log that cannot be written"
said 'the trace cannot be written to .*no/t: No such file' "a trace that cannot be written"

# ---- A worse backend --------------------------------------------------------------------------------------

# Without descriptors for it pagemap cannot open; mprotect needs none.
best=$("$cardmark" probe | sed -n 's/.*automatic choice takes \(.*\)\./\1/p')
if [ "$best" = pagemap ]; then
	cat >less.py <<'END'
import os, resource, sys
os.environ["LD_PRELOAD"] = sys.argv[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
os.execv(sys.argv[2], sys.argv[2:])
END
	run 0 "$cardmark" run -- "$program" collect 2
	check "$(wc -c <out)" 0 "the best backend: not a word"
	timeout 60 python3 less.py "$top/gc-glue/boehm/.libs/libcardmark-preload.so" "$program" collect 2 >out 2>&1
	said 'runs on [a-z]*, which is not the best backend: pagemap: ' "a worse backend is said, with the reason"
	check "$(grep -c "^cardmark" out)" 1 "in one line"
else
	echo "skip: a worse backend: $best is the best one here"
	skips=$((skips + 1))
fi
run 0 "$cardmark" run --backend=mprotect -- "$program" collect 2
check "$(wc -c <out)" 0 "one that was asked for: not a word"
finish
