#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the adapter and `cardmark run` in odd surroundings: directories, locales,
# wrappers, children, several programs behind one report, static links, privileges, and the
# messages for all failures.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
use_command
mkdir else

skip()
{
	echo "skip: $*"
	skips=$((skips + 1))
}

unsaid()
{
	if grep -qE -- "$1" "$scratch/out"; then
		fail "$2: something about \"$1\""
	else
		pass "$2"
	fi
}

# get FILE KEY...: members of a report, which must be valid JSON in UTF-8
get()
{
	python3 -c '
import json, sys
with open(sys.argv[1], encoding="utf-8") as f:
    report = json.load(f)
print(*[report[key] for key in sys.argv[2:]])' "$@" 2>&1
}

count()
{
	# shellcheck disable=SC2086 # a pattern
	set -- $1
	[ -e "$1" ] && echo $# || echo 0
}

# ---- The directory ---------------------------------------------------------------------

run 0 "$cardmark" run --stats=cd.json -- "$program" chdir else collect 1
check "$(get cd.json mode)" auto "cardmark run: the report is where it was started"
run 0 env CARDMARK_STATS=cd2.json LD_PRELOAD="$object" "$program" chdir else
check "$(get cd2.json mode)" auto "CARDMARK_STATS: the report is where the program was started"
check "$(count 'else/*')" 0 "no report is where the program went"
ln -s "$object" relative.so
run 0 env CARDMARK_PRELOAD=relative.so "$cardmark" run --stats=rel.json -- "$program" chdir else \
	run "$program" collect 1
check "$(count 'rel.json.*')" 1 "a relative preload object is found from another directory"
mkdir 'a b'
cp -L relative.so 'a b/preload.so'
run 1 env CARDMARK_PRELOAD="a b/preload.so" "$cardmark" run -- "$program"
said 'spaces and colons' "a preload object that LD_PRELOAD cannot name is an error"

mkdir '%pure' '%pure/else'
cd '%pure' || exit 99
run 0 "$cardmark" run --stats=name.json -- "$program" chdir else
run 0 "$cardmark" run --stats=%p.id -- "$program" chdir else
cd .. || exit 99
check "$(get '%pure/name.json' mode) $(count '%pure/*.id')" "auto 1" "a %p in a directory's name is no process id"

# ---- The locale, and names -----------------------------------------------------------------

mkdir locales
if localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 >/dev/null 2>&1 &&
	[ "$(LOCPATH=$scratch/locales LC_ALL=de_DE.UTF-8 python3 -c '
import locale
locale.setlocale(locale.LC_ALL, "")
print(locale.localeconv()["decimal_point"])')" = , ]; then
	run 0 env LOCPATH="$scratch/locales" "$cardmark" run --pause-target=2.5 --stats=locale.json -- \
		"$program" locale de_DE.UTF-8
	check "$(get locale.json pause_target_ms)" 2.5 "a report in a German program"
	run 0 env LOCPATH="$scratch/locales" CARDMARK_PAUSE_TARGET=0.25 CARDMARK_STATS=locale2.json \
		"$top/tests/boehm/surroundings_api" locale de_DE.UTF-8 enable collect 1
	check "$(get locale2.json pause_target_ms)" 0.25 "a setting read in a German program"
else
	skip "no locale whose decimal point is a comma: localedef makes no de_DE"
fi
for target in 2,5 1e3 0x10 -1 0 . 0.0000001 inf nan ' 5' 3600000.1 99999999999999999999; do
	run 2 env CARDMARK_PAUSE_TARGET="$target" LD_PRELOAD="$object" "$program"
	said 'was not started: CARDMARK_PAUSE_TARGET=' "a target of \"$target\" is an error"
done
run 0 env CARDMARK_PAUSE_TARGET=3600000 CARDMARK_STATS=most.json LD_PRELOAD="$object" "$program"
check "$(get most.json pause_target_ms)" 3600000 "the longest target"
real=$top/tests/boehm/.libs/surroundings
[ -x "$real" ] || real=$program
odd=$(printf '\377odd\303\251\340\200\342\202\254\355\240\200\360\237\222\251"\\\tname')
cp "$real" "$odd"
run 0 "$cardmark" run --stats="$odd.json" -- "./$odd"
name=$(get "$odd.json" program)
check "/${name##*/}" \
	"$(printf '/\357\277\275odd\303\251\357\277\275\357\277\275\342\202\254\357\277\275\357\277\275\357\277\275\360\237\222\251"\\\tname')" \
	"a name that is not UTF-8"

# ---- Wrappers ------------------------------------------------------------------------------

unchanged='does not use libgc'
printf '#!/bin/sh\nexec "$@"\n' >wrap
printf '#!/bin/sh\n"$@"\nexit 3\n' >start
chmod +x wrap start
for command in "./wrap" "env" "sh -c 'exec \"\$0\"'" "./wrap ./wrap env"; do
	eval "run 0 \"$cardmark\" run --verbose --stats=w.json -- $command \"$program\""
	unsaid "$unchanged|unchanged" "$command: nothing false"
	said 'surroundings has its writes tracked' "$command: the program is tracked"
	check "$(get w.json mode)" auto "$command: the report"
	rm -f w.json
done
run 7 "$cardmark" run -- sh -c 'exit 7'
check "$(grep -c "cardmark run: sh $unchanged" out)" 1 "a shell that leaves by _exit"
run 0 "$cardmark" run -- cat /dev/null
check "$(grep -c "cardmark run: cat $unchanged" out)" 1 "a program that leaves by exit"
run 0 "$cardmark" run -- "$top/tests/boehm/latelibgc"
unsaid "$unchanged" "a program that loads libgc later: nothing false"
said 'loaded libgc after its start' "it says so"
run 0 "$cardmark" run --stats=none.json -- cat /dev/null
said 'counted nothing' "that there is no report"
check "$(count 'none.json*')" 0 "no report"
run 0 "$cardmark" run --stats -- "$program" close 2
check "$(grep -c '"format"' out)" 1 "a program that closes standard error before it ends: the report"
# The child runs on, but does not keep standard error open for a reader.
for command in "$program forget daemon" "sh -c 'sleep 300 2>/dev/null & echo \$! >daemon'"; do
	rm -f daemon
	eval "\"$cardmark\" run --stats=daemon.json -- $command" 2>&1 >/dev/null </dev/null | cat >out &
	wait_for=0
	while kill -0 $! 2>/dev/null && [ $wait_for -lt 300 ]; do
		sleep 0.1
		wait_for=$((wait_for + 1))
	done
	if [ $wait_for -lt 300 ] && [ -s daemon ]; then
		pass "a child that runs on does not hold standard error: $command"
	else
		fail "a child that runs on holds standard error: $command"
	fi
	kill "$(cat daemon)"
done
run 137 "$cardmark" run -- sh -c 'kill -KILL $$'
unsaid "$unchanged" "nothing is said of what a signal ends"
run 3 "$cardmark" run -- ./start "$program"
unsaid "$unchanged" "a script that starts a program of libgc: nothing false"
said 'sh itself ran unchanged; programs that it started' "it says what was done"

# ---- Several programs behind one report ------------------------------------------------------

# shellcheck disable=SC2016
printf '#!/bin/sh\n"$1" collect 3\n"$1" collect 3\n' >two
chmod +x two
run 0 "$cardmark" run --stats=two.json -- ./two "$program"
check "$(count 'two.json')" 0 "a script of two programs: the name itself is nobody's"
check "$(count 'two.json.*')" 2 "a script of two programs: a report each"
for file in two.json.*; do
	check "$file" "two.json.$(get "$file" pid)" "its process id is in its name"
done
said 'their counters are in .*/two.json.PID' "where they are"
run 0 "$cardmark" run --stats=%p.twice -- ./two "$program"
check "$(count '*.twice')" 2 "%p: a report each"
run 0 "$cardmark" run --stats=chain.json -- "$program" collect 2 exec "$program" collect 5
check "$(count 'chain.json*') $(get chain.json mode)" "1 auto" "a program that becomes another: one report"
said 'was another program before.*counters were lost' "what is lost is said"
run 0 "$cardmark" run --stats=chain2.json -- "$program" collect 2 exec cat /dev/null
unsaid "$unchanged" "a program that becomes one without libgc: nothing false"
said 'cat itself ran unchanged; the program that it was before had its writes tracked, but' "what is lost is said"
run 0 "$cardmark" run --stats=parent.json -- "$program" run "$program"
check "$(count 'parent.json') $(count 'parent.json.*')" "1 1" "a program that starts another: a report each"
run 0 "$cardmark" run --stats -- "$program" run "$program"
check "$(grep -c '"format"' out) $(grep -c 'its counters are not written here' out)" "1 1" \
	"on standard error: one report, and a line"
run 0 env CARDMARK_STATS=both.json LD_PRELOAD="$object" "$program" run "$program"
check "$(count 'both.json') $(count 'both.json.*')" "1 1" "without cardmark run: a report each"
said 'another process wrote its counters.*are in .*both.json.[0-9]' "it says so"
sleep 0.1 # the clock of files ticks every 1 to 10 ms
run 0 env CARDMARK_STATS=both.json LD_PRELOAD="$object" "$program"
check "$(count 'both.json.*')" 1 "the same name in a later run is written anew"

# ---- Forks -------------------------------------------------------------------------------

run 0 "$cardmark" run --stats=forks.json -- "$program" fork sleep 1
check "$(count 'forks.json*') $(get forks.json forks)" "1 1" "a fork child that does not collect is counted by its parent"
run 0 env CARDMARK_VERIFY=hash "$cardmark" run --pause-target=1 --stats=fork.%p -- "$program" \
	collect 40 sleep 1100 fork collect 2
check "$(count 'fork.*')" 2 "with %p a fork child writes its own"
python3 - fork.* >out 2>&1 <<'END'
import json, sys
a, b = [json.load(open(f)) for f in sys.argv[1:]]
parent, child = (a, b) if a["forks"] else (b, a)
assert parent["forks"] == 1 and child["forks"] == 0
# The parent waits for the child, and had slept for longer than a second before.
assert child["wall_ns"] + 1000000000 < parent["wall_ns"], (child["wall_ns"], parent["wall_ns"])
for key in "collections", "collects", "kernel_calls", "verify_checked", "cpu_ns":
    assert 0 <= child[key] < parent[key], (key, child[key], parent[key])
# Each collection is one stop or, where a target is not met, some.
assert 2 <= child["collections"] <= 20, child["collections"]
assert child["stops"]["count"] <= 200
END
check $? 0 "what a fork child counts begins at the fork"

# ---- Files -------------------------------------------------------------------------------

run 0 env CARDMARK_STATS="$scratch/no/such.json" LD_PRELOAD="$object" "$program"
said "cardmark: the counters cannot be written to $scratch/no/such.json: No such file" "a missing directory is said"
run 0 env CARDMARK_STATS=else LD_PRELOAD="$object" "$program"
said 'else: Is a directory' "a directory is said"
# Not root's own /dev/full: a fault would replace it.
full=/dev/full
[ "$(id -u)" -ne 0 ] || { mknod full c 1 7 2>/dev/null && full=$scratch/full; }
if [ "$full" = /dev/full ] && [ "$(id -u)" -eq 0 ]; then
	skip "a full disk: root cannot make a device here"
elif [ -w "$full" ] && (echo >"$full") 2>/dev/null || [ ! -w "$full" ]; then
	skip "a full disk: $full does not work as one"
else
	run 0 "$cardmark" run --stats="$full" -- "$program"
	said 'full: No space left on device' "a full disk is said"
fi
run 0 env CARDMARK_STATS="$(printf '%05000d' 1)" LD_PRELOAD="$object" "$program"
said 'longer than 4095 bytes' "a name that is too long is said"
echo old >linked.json
ln -s linked.json link.json
chmod 640 linked.json
for name in linked.json link.json; do
	before=$(stat -c %i linked.json)
	run 0 "$cardmark" run --stats=$name -- "$program"
	check "$(get linked.json mode) $(stat -c %a linked.json)" "auto 640" "$name is written, its mode stays"
	if [ $name = link.json ]; then
		check "$(stat -c %i linked.json) $(readlink link.json)" "$before linked.json" "$name stays a link"
	elif [ "$(stat -c %i linked.json)" != "$before" ]; then
		pass "$name is replaced as a whole"
	else
		fail "$name was written in place"
	fi
done
check "$(count '*.new')" 0 "no temporary file is left"
# Another program has it open and locked: its output stays.
if command -v flock >/dev/null; then
	run 0 flock linked.json "$cardmark" run --stats=link.json -- "$program"
	said 'another process is writing to that file' "a file under another's lock is said"
else
	skip "no flock command"
fi
echo before >stdout
timeout 60 "$cardmark" run --stats=/dev/stdout -- "$program" >>stdout 2>err </dev/null
check "$(head -1 stdout)" before "/dev/stdout keeps what was written to it before"
# There is no reader: the status is the program's own, not that of SIGPIPE.
mkfifo pipe
sh -c 'exec 3<pipe; exec 3<&-; : >gone' &
reader=$!
(
	exec 4>pipe
	wait_for=0
	while [ ! -e gone ] && [ $wait_for -lt 600 ]; do
		sleep 0.1
		wait_for=$((wait_for + 1))
	done
	timeout 60 "$cardmark" run --stats -- "$program" collect 1 exit 5 2>&4 4>&-
	echo $? >broken
)
wait $reader
check "$(cat broken)" 5 "a reader that has gone changes no exit status"

mkfifo lonely
run 0 "$cardmark" run --stats=lonely -- "$program" collect 1
said 'lonely: it is a pipe without a reader' "a pipe without a reader does not keep the program"
cat lonely >late &
run 0 "$cardmark" run --stats=lonely -- "$program" collect 1
wait $!
check "$(grep -c '"format"' late)" 1 "a pipe with a reader has the report"

# ---- Words of the calls ----------------------------------------------------------------------

api=$top/tests/boehm/surroundings_api
run 0 "$api" info 0 write x.json enable info 4 info 64 write "" write else write no/x.json write api.json \
	cancelled cancelled.json
said '^info: -2: .*not enabled' "info before it is enabled"
said '^write: -2: .*not enabled' "write_stats before it is enabled"
said '^info: -22: .*_INIT' "info with a size that is too small"
said '^info: 0: $' "info with a size that fits"
said '^write: -22: .*no file is named' "write_stats without a name"
said '^write: -5: .* else: Is a directory$' "write_stats to a directory"
said '^write: -5: .* no/x.json: No such file or directory$' "write_stats to a missing directory"
said '^write: 0: $' "write_stats to a file"
said '^cancelled: 0: $' "write_stats is no cancellation point"
said '^cancelled after it: yes$' "the thread is cancelled later"
check "$(get cancelled.json mode)" auto "its report is whole"
# The preloaded adapter, which answers then, has a core of its own.
run 0 "$cardmark" run -- "$api" enable write else
said '^write: -5: .* else: Is a directory' "under cardmark run the program finds the words, too"

# ---- Static links, and privileges ---------------------------------------------------------------

# static_link NAME API: from the objects of the two libraries, as archives of them are.
static_link()
{
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -DSURROUNDINGS_API="$2" -I"$srcdir/include" -o "$1" \
		"$srcdir/tests/boehm/surroundings.c" "$top/gc-glue/boehm/.libs/libcmgc.a" "$top/lib/.libs/libcm.a" \
		-lgc -lpthread -ldl 2>cc
}

if static_link static 1 && static_link privileged 2; then
	run 0 env CARDMARK_STATS=static.json ./static chdir else enable collect 1
	check "$(get static.json mode)" auto "linked statically: CARDMARK_STATS is written"
	run 0 "$cardmark" run --stats=static2.json --backend=mprotect -- ./static enable collect 1
	check "$(get static2.json backend)" mprotect "linked statically, under cardmark run: that has chosen"
	check "$(count 'static2.json*')" 1 "one report"
	run 0 "$cardmark" run --stats=static3.json --backend=mprotect -- ./privileged enable write static4.json
	check "$(get static4.json backend)" mprotect "its own report is that of the preload object"
	said '^mode 0 way [12]' "so is what it asks for"
	run 0 "$cardmark" run -- ./privileged enable write else
	said '^write: -5: .* else: Is a directory' "so are the words"
else
	skip "no static link: $(head -1 cc)"
fi

# As a user of no rights, with a variable that names a file of root's.
unprivileged()
{
	rm -f out
	timeout 60 setpriv --reuid 65534 --regid 65534 --clear-groups env CARDMARK_STATS="$scratch/root/file" \
		CARDMARK_LOG="$scratch/root/log" CARDMARK_TRACE="$scratch/root/trace" CARDMARK_SUMMARY=1 CARDMARK_LIVE=1 \
		CARDMARK_GC_MODE=stop-the-world CARDMARK_PAUSE_TARGET=nonsense CARDMARK_RUN_PID=1 "$@" >out 2>&1 </dev/null
}

chmod 711 "$scratch"
mkdir -m 700 root
echo precious >root/file
if [ "$(id -u)" -ne 0 ] || ! command -v setpriv >/dev/null; then
	skip "set-user-ID programs: need root and setpriv"
elif [ ! -x privileged ]; then
	skip "set-user-ID programs: no static link"
elif ! unprivileged ./privileged exit 0; then
	skip "set-user-ID programs: another user cannot run programs here"
else
	chown 0:0 privileged
	chmod 4755 privileged
	unprivileged ./privileged enable collect 1
	if ! grep -q 'euid 0 uid 65534' out; then
		skip "set-user-ID programs: this file system ignores the bit"
	else
		said '^enable: 0: ' "a set-user-ID program is enabled"
		said '^mode 0 ' "it does not obey CARDMARK_GC_MODE and CARDMARK_PAUSE_TARGET"
		# CARDMARK_RUN_PID would make it another's, and the name FILE.PID.
		unprivileged env -u CARDMARK_GC_MODE -u CARDMARK_PAUSE_TARGET -u CARDMARK_RUN_PID ./privileged enable collect 1
		check "$(cat root/file) $(ls root)" "precious file" "it obeys neither CARDMARK_STATS nor _LOG nor _TRACE"
		check "$(grep -c 'what would help' out)" 0 "nor CARDMARK_SUMMARY"
		# The control: the same program, of root's own.
		run 0 env CARDMARK_STATS="$scratch/root/file" CARDMARK_LOG="$scratch/root/log" CARDMARK_SUMMARY=1 \
			CARDMARK_TRACE="$scratch/root/trace" CARDMARK_GC_MODE=stop-the-world ./privileged enable collect 1
		check "$(find root -type f | wc -l) $(grep -c 'what would help' out)" "3 1" "the control: the same program obeys root in these"
		check "$(get root/file mode)" stop-the-world "the control: the same program obeys root"
	fi
fi
finish
