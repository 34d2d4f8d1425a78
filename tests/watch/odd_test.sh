#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark watch of programs that take the ground from under it ends as they do, in
# time, and says what it does not know. The control is each of them without being watched.
# shellcheck disable=SC3045 # dash has all of ulimit that is used here
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

odd=$builddir/tests/watch/odd

"$cardmark" probe --json >"$scratch/probe" || fail "probe fails"
if ! python3 -c 'import json, sys
sys.exit(not json.load(open(sys.argv[1]))["backends"][0]["usable"])' "$scratch/probe"; then
	case ,${CARDMARK_REQUIRE-}, in
	*,pagemap,*) fail "backend pagemap does not work here, but it is required" && finish ;;
	esac
	skip "backend pagemap does not work here"
fi

# field NAME: of the last report as JSON.
field()
{
	python3 -c 'import json, sys
report = json.load(open(sys.argv[1]))
print({**report, **report["not_counted"]}[sys.argv[2]])' "$scratch/json" "$1"
}

# watch STATUS COMMAND...: in no more than 20 s. The command has no more than 2 GiB of data.
watch()
{
	want=$1
	shift
	rm -f "$scratch/json"
	status "$want" sh -c 'ulimit -S -d 2097152; exec timeout -s KILL 20 "$@"' sh \
		"$cardmark" watch --json="$scratch/json" -- "$@"
}

# ---- Ends ------------------------------------------------------------------------------------

status 0 timeout -s KILL 20 "$odd" first
watch 0 "$odd" first
[ "$(field finished)" = True ] || fail "first: the last look is missing"
status 5 timeout -s KILL 20 "$odd" bare
watch 5 "$odd" bare

# ---- Without descriptors, without answers ------------------------------------------------------

for how in blind refused; do
	"$odd" $how
	got=$?
	[ "$got" -eq 77 ] && echo "$how: not here" && continue
	watch "$got" "$odd" "$how"
	python3 - "$scratch/json" "$how" <<-'PY' || fail "$how: the report is not true"
		import json, sys
		report, how = json.load(open(sys.argv[1])), sys.argv[2]
		unseen = report["not_counted"]
		assert report["cpu_s"] < 20, report["cpu_s"]
		assert unseen["unexplained_faults"] < 1e6, unseen
		assert report["written_once_bytes"] < 1 << 31, report["written_once_bytes"]
		if how == "blind":
		    assert unseen["unanswered_bytes"] >= 1 << 40, unseen
		else:
		    assert not unseen["finished"] and unseen["last_ms"] > 40, unseen
	PY
done
for n in 5 6 7 8 9 10; do
	(ulimit -n "$n" && exec "$cardmark" watch true) >"$scratch/out" 2>"$scratch/err" </dev/null
	grep -q "Of 0 B" "$scratch/err" && fail "with $n descriptors nothing seems to be mapped"
done

# ---- What it becomes ---------------------------------------------------------------------------

watch 0 env -i sleep 0.2
said err "did not load the object" # the sentence depends on how long it was watched before
[ "$(field became)" = sleep ] || fail "the JSON does not name what it became"
watch 3 sh -c 'sleep 0.1; unset LD_PRELOAD; exec sh -c "sleep 0.2; exit 3"'
said err "That did not load the object"
watch 0 sh -c 'sleep 0.1; exec sleep 0.1'
[ "$(field became)" = None ] || fail "an exec that is watched is said not to be"

# ---- Where the command runs --------------------------------------------------------------------

# The number of standard error is the memory file's, if nothing prevents it.
"$cardmark" watch --json="$scratch/json" -- sh -c 'sleep 2.3; exit 4' 2>&-
got=$?
[ "$got" -eq 4 ] || fail "without standard error: exit status $got"
[ "$(field finished)" = True ] || fail "without standard error: no report"
"$cardmark" watch -- sh -c '[ -e /proc/self/fd/2 ]' 2>&- && fail "a descriptor that was closed is open in the program"
got=$( (ulimit -f 0 && "$cardmark" watch true; echo "status $?") 2>&1)
case $got in
*RLIMIT_FSIZE*"nothing was started"*"status 1") ;;
*) fail "RLIMIT_FSIZE: $got" ;;
esac
got=$( (ulimit -S -f 0 && "$cardmark" watch sh -c 'ulimit -f'; echo "status $?") 2>/dev/null)
[ "$got" = "0
status 0" ] || fail "a limit that can be raised: $got"
got=$( (ulimit -S -s 64 && "$cardmark" watch true; echo "status $?") 2>&1)
case $got in
*"true (process "*"status 0") ;;
*) fail "a stack of 64 KiB: $got" ;;
esac
finish
