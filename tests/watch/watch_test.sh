#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark watch reports every write of a program that knows what it wrote, and
# nothing else in its memory; a build that leaves pages out is found out. Its files are what they
# should be, and it ends as the program does. An argument, or CARDMARK_TEST_SEED, is the seed.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

src=${CARDMARK_SRCDIR:-.}
here=$builddir/tests/watch
seed=${1:-${CARDMARK_TEST_SEED:-$(($(date +%s) % 10000))}}
echo "seed $seed"

usage_error "$cardmark" watch
usage_error "$cardmark" watch --nosuch true
for bad in 0 -1 x 0.1 20000 ""; do
	usage_error "$cardmark" watch "--interval=$bad" true
done
usage_error "$cardmark" watch --seconds=0 true
usage_error "$cardmark" watch --raw true
usage_error "$cardmark" watch --svg=- --json=- true
status 127 "$cardmark" watch nosuchprogram
status 126 "$cardmark" watch /
status 1 "$cardmark" watch --json=/nosuch/file true
said err "nothing was started"

"$cardmark" probe --json >"$scratch/probe" || fail "probe fails"
if ! python3 -c 'import json, sys
sys.exit(not json.load(open(sys.argv[1]))["backends"][0]["usable"])' "$scratch/probe"; then
	case ,${CARDMARK_REQUIRE-}, in
	*,pagemap,*) fail "backend pagemap does not work here, but it is required" && finish ;;
	esac
	status 1 "$cardmark" watch true
	said err "pagemap cannot work"
	[ "$failures" -eq 0 ] || finish
	skip "backend pagemap does not work here"
fi

echo 'int main(void) { return 5; }' >"$scratch/static.c"
if ${CC:-cc} -static -o "$scratch/static" "$scratch/static.c" 2>/dev/null; then
	status 1 "$cardmark" watch "$scratch/static"
	said err "statically linked"
	said err "nothing was started"
fi

# ---- Nothing is missing, and nothing too much ---------------------------------------------

# truth WANT SEED [COMMAND...]: watches the pattern, started by COMMAND, and compares.
truth()
{
	want=$1 s=$2
	shift 2
	"$cardmark" watch --interval="$((s % 4 * 5 + 1))" --raw --json="$scratch/json" \
		--svg="$scratch/svg" -- "$@" "$here/pattern" "$s" 120 >"$scratch/writes" 2>"$scratch/err"
	got=$?
	[ "$got" -eq 3 ] || fail "seed $s: exit status $got, not the program's 3"
	python3 "$src/tests/watch/truth.py" "$scratch/writes" "$scratch/json"
	got=$?
	[ "$got" -eq "$want" ] || fail "seed $s: truth.py ends with $got, not $want"
}

truth 0 "$seed"
cp "$scratch/svg" "$scratch/kept.svg"
cp "$scratch/err" "$scratch/kept.err"
truth 0 $((seed + 1)) sh -c 'exec "$@"' sh
said err "became this program by exec"
if [ -r "$here/.libs/loses.so" ]; then
	CARDMARK_WATCH_PRELOAD=$here/.libs/loses.so
	export CARDMARK_WATCH_PRELOAD
	echo "control: one page of eight is left out"
	truth 1 "$seed"
	unset CARDMARK_WATCH_PRELOAD
else
	fail "the control was not built"
fi

# ---- The last writes before an exit ---------------------------------------------------------

python3 "$src/tests/watch/leave.py" "$cardmark" "$here/leave" "$scratch" "$seed" ||
	fail "the last writes before an exit"

# ---- What cannot be seen is named ----------------------------------------------------------

status 0 "$cardmark" watch --interval=100 --json="$scratch/json" "$here/taken"
said err "could not be tracked"
python3 - "$scratch/json" "$(cat "$scratch/out")" <<'PY' || fail "memory that is not tracked is not named"
import json, sys
report = json.load(open(sys.argv[1]))
unseen = report["not_counted"]
assert unseen["refused_bytes"] >= int(sys.argv[2]), unseen
assert any(r["name"] == "anonymous" and r["bytes"] >= int(sys.argv[2]) for r in unseen["refused"]), unseen
PY
status 0 "$cardmark" watch --json="$scratch/json" bash -c '(sleep 0.1; :); (sleep 0.1; :)'
said err "2 forked children"

# ---- Its end is the program's ---------------------------------------------------------------

status 137 "$cardmark" watch --json="$scratch/json" sh -c 'sleep 0.2; kill -KILL $$'
said err "was ended by signal 9"
said err "after the last look"
grep -q '"ended": {"signal": 9}' "$scratch/json" || fail "the signal is not in the JSON"
"$cardmark" watch --json="$scratch/json" sleep 60 2>"$scratch/err" &
for i in $(seq 200); do
	pgrep -P $! sleep >/dev/null && break
	sleep 0.05
done
sleep 0.3
kill -TERM $!
wait $!
got=$?
[ "$got" -eq 143 ] || fail "SIGTERM: exit status $got"
said err "was ended by signal 15"
: "$i"

# A limit: the report comes while the program goes on.
"$cardmark" watch --seconds=0.3 --json="$scratch/limit" sh -c "sleep 0.5
	while [ ! -s '$scratch/limit' ]; do sleep 0.05; done; exit 4" 2>"$scratch/err"
got=$?
[ "$got" -eq 4 ] || fail "--seconds: exit status $got"
said err "goes on"
grep -q '"ended": null' "$scratch/limit" || fail "--seconds: the JSON has no null"

# ---- The files ------------------------------------------------------------------------------

status 0 "$cardmark" watch --svg=- true
cp "$scratch/out" "$scratch/true.svg"
python3 - "$scratch/kept.svg" "$scratch/true.svg" <<'PY' || fail "the picture is not what it should be"
import sys
import xml.etree.ElementTree as tree
for name in sys.argv[1:]:
    svg = tree.parse(name).getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert svg.find("{http://www.w3.org/2000/svg}title").text.startswith("Where and when")
    assert "prefers-color-scheme:dark" in svg.find("{http://www.w3.org/2000/svg}style").text
PY
[ "$(awk 'length > 80' "$scratch/err" "$scratch/kept.err" | wc -l)" -eq 0 ] || fail "the report is wider than 80 columns"
grep -q "^A row is" "$scratch/kept.err" || fail "the report has no heat map"
status 0 "$cardmark" watch --interval=1 --raw --json=- sh -c 'sleep 0.05'
cp "$scratch/out" "$scratch/json"
if python3 -c 'import importlib.util as i, sys; sys.exit(i.find_spec("jsonschema") is None)'; then
	check_results "$src/docs/watch.schema.json" "$scratch/limit" <<-'PY' || fail "without --raw: not what the schema says"
		from schema import finish
		finish()
	PY
	check_results "$src/docs/watch.schema.json" "$scratch/json" <<-'PY' || fail "the JSON is not what the schema says"
		from schema import spoil, finish
		spoil(lambda d: d.update(version=2))
		spoil(lambda d: d.update(another=1))
		spoil(lambda d: d.update(ended={"status": 1, "signal": 1}))
		spoil(lambda d: d["windows"][0].pop("count"))
		spoil(lambda d: d["where"][0].update(name=1))
		spoil(lambda d: d["not_counted"].pop("unexplained_faults"))
		spoil(lambda d: d["each_look"][0].pop())
		finish()
	PY
else
	echo "python3-jsonschema is not installed: the schema was not tried"
fi
finish
