#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: reports survive how a program ends: by signals that it does not handle, by _exit,
# in forked children. There are also reports before the end, at intervals and on request. A signal
# may come at any point. CARDMARK_TEST_SEED chooses when.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
use_command
inmalloc=$top/tests/boehm/.libs/inmalloc.so
seed=${CARDMARK_TEST_SEED:-$(($(date +%s) % 100000))}
echo "seed $seed"

# get FILE KEY: "none" without the file; it must be whole
get()
{
	[ -e "$1" ] || {
		echo none
		return
	}
	python3 -c '
import json, sys
print(json.load(open(sys.argv[1], encoding="utf-8"))[sys.argv[2]])' "$@"
}

count()
{
	find . -maxdepth 1 -name "$1" | wc -l
}

# until COMMAND...: waits for it to succeed, half a minute
until_true()
{
	tries=0
	until "$@" 2>/dev/null; do
		sleep 0.1
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
	done
}

# ---- Signals -------------------------------------------------------------------------------

for signal in 1:SIGHUP 2:SIGINT 15:SIGTERM; do
	number=${signal%:*} name=${signal#*:}
	run $((128 + number)) "$cardmark" run --stats="$name.json" -- "$program" collect 2 raise "$number"
	check "$(get "$name.json" ended)" "$name" "$name: the report, and the status"
done
run 137 "$cardmark" run --stats=kill.json -- "$program" collect 2 raise 9
check "$(get kill.json ended)" none "the control: SIGKILL leaves none"
run 143 "$cardmark" run --summary -- "$program" collect 2 raise 15
check "$(grep -cE "^(cardmark run: |  )" out)" 5 "SIGTERM: the summary"
run 0 "$cardmark" run --stats=own.json -- "$program" handle 15 action 15 raise 15 collect 1
said 'handled 15' "a handler of the program's own is called"
check "$(get own.json ended) $(grep -c "action 15: its own" out)" "exit 1" "and stays"
run 0 "$cardmark" run --stats=seen.json -- "$program" action 1 action 2 action 15
check "$(grep -c ': default' out)" 3 "the program sees none of ours"
run 143 "$cardmark" run --stats=again.json -- "$program" action 15 raise 15
check "$(get again.json ended)" SIGTERM "where it sets the default action, the report comes all the same"
run 0 env CARDMARK_PRELOAD="$hooks" CARDMARK_GC_TEST_NO_SIGNAL_DEFENCE=1 "$cardmark" run --stats=seen.json -- \
	"$program" action 1 action 2 action 15
check "$(grep -c ": another's" out)" 3 "the control: without the redirection it does"
# shellcheck disable=SC2016
run 0 sh -c 'trap "" 1; exec "$@"' sh "$cardmark" run --stats=hup.json -- "$program" raise 1 action 1 collect 1
said 'action 1: ignored' "what is ignored stays so"
run 143 "$cardmark" run --stats=exec.json -- "$program" exec sh -c 'kill -TERM $$'
run 143 "$cardmark" run --stats=tiny.json -- "$program" tiny 15
check "$(get tiny.json ended)" SIGTERM "on a stack of 16 KiB"
timeout 60 env CARDMARK_PRELOAD="$hooks" CARDMARK_GC_TEST_NO_OWN_STACK=1 "$cardmark" run --stats=flat.json -- \
	"$program" tiny 15 >out 2>&1
got=$?
if [ $got -ne 143 ] && [ "$(get flat.json ended)" = none ]; then
	pass "the control: on the thread's own stack there is none ($got)"
else
	fail "the control: a report on a stack of 16 KiB"
fi

# Inside malloc our code must not call malloc.
for n in 1000 1500 2000; do
	run 143 env LD_PRELOAD="$inmalloc" "$cardmark" run --stats=in.json --trace=in.trace --log=in.log --summary -- \
		env INMALLOC=$((n + seed % 500)) "$program" collect 3 malloc 3000
	check "$(get in.json ended)" SIGTERM "a signal inside malloc number $((n + seed % 500))"
	rm -f in.json
done
run 88 env LD_PRELOAD="$inmalloc" "$cardmark" run --stats=in.json -- env INMALLOC=1500 "$program" handle 15 malloc 3000
said 'malloc inside malloc' "the control: a handler that calls malloc is found out"

# At any point: in a stop, in an allocation, while reports are written.
whole=0 i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	"$cardmark" run --stats=any.json --trace=any.trace --every=0.1 --pause-target=1 -- "$program" collect 1000000 \
		>out 2>&1 &
	id=$!
	sleep 0.$(((seed * 31 + i * 7919) % 400 + 100))
	kill -TERM $id
	wait $id
	got=$?
	# On a slow machine it may not have begun.
	if [ $got -eq 143 ] && [ "$(get any.json ended)" = SIGTERM ] &&
		[ "$(tail -c 3 any.trace)" = '}}' ]; then
		whole=$((whole + 1))
	elif [ $got -eq 143 ] && [ ! -e any.json ] && [ ! -s out ]; then
		echo "ended before it had begun"
		whole=$((whole + 1))
	else
		fail "a signal at a random time: status $got, $(get any.json ended)"
	fi
	rm -f any.json any.trace
done
check "$whole $(count '*.new')" "20 0" "20 signals at random times: whole reports, and nothing half written"

# ---- Other ends -----------------------------------------------------------------------------

run 5 "$cardmark" run --stats=quick.json -- "$program" collect 2 _exit 5
check "$(get quick.json ended)" _exit "_exit: the report"
run 0 "$cardmark" run --stats=exit.json -- "$program" collect 2
check "$(get exit.json ended)" exit "exit: the report"

# ---- Forked children, and other programs --------------------------------------------------------

run 0 "$cardmark" run --stats=fork.json --trace=fork.trace --log=fork.log -- "$program" collect 2 fork collect 2
check "$(count 'fork.json*') $(count 'fork.trace*') $(count 'fork.log*')" "2 2 2" "a forked child that collects: files of its own"
said 'which surroundings forked, has collected too: its counters are in .*/fork.json.[0-9]' "it is announced"
child=$(echo fork.json.*)
check "$child" "fork.json.$(get "$child" pid)" "its process id is in the name"
check "$(get "$child" parent_pid)" "$(get fork.json pid)" "and its parent's in the report"
run 0 "$cardmark" run --stats=leave.json -- "$program" collect 2 fork collect 2 _exit 0
check "$(count 'leave.json*')" 2 "a forked child that leaves by _exit, too"
run 0 "$cardmark" run --stats=idle.json --trace=idle.trace --log=idle.log -- "$program" collect 2 fork sleep 1
check "$(count 'idle.json*') $(count 'idle.trace*') $(count 'idle.log*')" "1 1 1" "the control: one that does not collect"
run 99 "$cardmark" run --stats=term.json -- "$program" collect 2 fork collect 2 raise 15
check "$(get term.json ended) $(count 'term.json.*')" "exit 1" "a forked child that a signal ends"
run 0 "$cardmark" run --stats -- "$program" collect 2 fork collect 2
check "$(grep -c '"format"' out) $(grep -c 'has collected too: its counters are not written here' out)" "1 1" \
	"on standard error: one report, and a line"
# shellcheck disable=SC2016
printf '#!/bin/sh\n"$1" collect 3\n"$1" collect 3\n' >two
chmod +x two
run 0 "$cardmark" run --stats=two.json --trace=two.trace --log=two.log -- ./two "$program"
check "$(count 'two.json.*') $(count 'two.trace.*') $(count 'two.log.*')" "2 2 2" "a script of two programs: files of their own"
said 'their counters are in .*/two.json.PID' "it is announced"

# ---- Names -------------------------------------------------------------------------------------

mkdir else
run 0 "$cardmark" run --stats=there.json --trace=there.trace --log=there.log -- "$program" chdir else collect 1
check "$(count 'there.*') $(find else -type f | wc -l)" "3 0" "relative names after chdir"
for option in --stats --log --trace; do
	run 1 "$cardmark" run $option=no/such -- "$program" forget started
	said 'no/such: its directory does not exist; nothing was started' "$option: a missing directory"
	run 1 "$cardmark" run $option=/proc/none -- "$program" forget started
	said '/proc/none: no file can be made in its directory; nothing was started' "$option: in /proc"
	run 1 "$cardmark" run $option=else -- "$program" forget started
	said 'else: Is a directory; nothing was started' "$option: a directory"
done
[ -e started ] && fail "the program was started"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	mkdir -m 755 mine
	echo old >mine/file
	chmod 755 "$scratch"
	cp -L "$top/gc-glue/boehm/.libs/libcardmark-preload.so" preload.so
	for name in file new; do
		run 1 setpriv --reuid 65534 --regid 65534 --clear-groups env CARDMARK_PRELOAD="$scratch/preload.so" \
			"$cardmark" run --stats="$scratch/mine/$name" -- true
		said "mine/$name: Permission denied; nothing was started" "another user's directory: $name"
	done
	chmod 777 mine
	run 0 setpriv --reuid 65534 --regid 65534 --clear-groups env CARDMARK_PRELOAD="$scratch/preload.so" \
		"$cardmark" run --stats="$scratch/mine/new" -- true
	check "$(cat mine/file)$(count 'mine/*')" old0 "the control: with the right, it starts, and the trial leaves nothing"
	[ -e mine/new ] && fail "the trial left a file"
else
	echo "skip: another user's directory: need root and setpriv"
	skips=$((skips + 1))
fi
run 0 "$cardmark" run --stats=- -- "$program" collect 1
timeout 60 "$cardmark" run --stats=- -- "$program" action 1 collect 1 >stdout 2>stderr
check "$(head -1 stdout) $(grep -c '"format"' stdout) $(wc -c <stderr)" "action 1: default 1 0" "- is standard output"
timeout 60 "$cardmark" run --stats -- "$program" collect 1 >stdout 2>stderr
check "$(grep -c '"format"' stderr) $(wc -c <stdout)" "1 0" "without a name it is standard error"

# ---- While it runs -----------------------------------------------------------------------------

"$cardmark" run --stats=every.json --every=0.2 -- "$program" collect 2 sleep 60000 >out 2>&1 &
id=$!
"$cardmark" run --stats=never.json -- "$program" collect 2 sleep 60000 >out2 2>&1 &
other=$!
until_true test -e every.json
check "$(get every.json ended) $(get never.json ended)" "running none" "--every: a report while it runs; the control has none"
rm -f every.json
until_true test -e every.json
check "$(get every.json ended)" running "and another"
kill $id $other
wait $id $other
check "$(get every.json ended) $(get never.json ended)" "SIGTERM SIGTERM" "both have one at the end"

"$cardmark" run --live --trace=live.trace -- "$program" collect 2 sleep 3000 sleep 60000 >live.out 2>&1 &
id=$!
"$cardmark" run -- "$program" collect 2 sleep 60000 >out2 2>&1 &
other=$!
until_true sh -c "grep -q cardmark-report /proc/$id/task/*/comm"
run 0 "$cardmark" stats $id
python3 -c '
import json, sys
r = json.load(open("out"))
assert r["ended"] == "running" and r["pid"] == int(sys.argv[1]), r
json.load(open("live.trace"))' $id
check $? 0 "cardmark stats: a report of the running program, and its trace"
run 0 "$cardmark" stats $id
check "$(python3 -c 'import json; print(json.load(open("out"))["ended"])')" running "and another"
run 1 "$cardmark" stats $other
said "process $other cannot be asked: it was not started by cardmark run" "one that was not started so is said"
run 1 "$cardmark" stats 4194304
said 'there is no process 4194304' "a process that is not there is said"
# A thread of another name may have got the number: it is left alone.
kill -URG $other
kill -0 $other || fail "SIGURG ended a program"
check "$(grep -c interrupted live.out)" 0 "no system call of the program was interrupted"
kill $id $other
wait $id $other
"$cardmark" run -- "$program" handle 10 action 10 sleep 60000 exit 3 >live.out 2>&1 &
id=$!
until_true grep -q 'its own' live.out
until_true sh -c "kill -USR1 $id && sleep 0.1 && grep -q interrupted live.out"
wait $id
check "$? $(grep -c interrupted live.out)" "3 1" "the control: a signal with a handler interrupts it"

# A child of the program has a reporter of its own, as soon as it collects.
"$cardmark" run --live -- "$program" collect 1 fork collect 5 malloc 100000 sleep 60000 >out 2>&1 &
id=$!
until_true sh -c "grep -q cardmark-report /proc/\$(cat /proc/$id/task/$id/children | tr -d ' ')/task/*/comm"
child=$(tr -d ' ' </proc/$id/task/$id/children)
run 0 "$cardmark" stats "$child"
check "$(python3 -c 'import json; print(json.load(open("out"))["pid"])')" "$child" "cardmark stats of a forked child"
kill "$child" $id
wait $id
finish
