#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: programs that interfere with the adapter lose no object: they set callbacks of the
# collector and a SIGSEGV handler of their own, close all descriptors, load an object that sets
# callbacks past us, and have coroutines (guests.c). Each has a control that must lose. And a
# program that never collects, and one that loads libgc late.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
seed=${CARDMARK_TEST_SEED:-$(date +%s)}
module=$bin/.libs/guestmod.so

# guest BACKEND WAY SCENARIO
guest()
{
	under CARDMARK_BACKEND="$1" CARDMARK_GC_WAY="$2" CARDMARK_STATS="$scratch/stats" $more -- \
		"$bin/guests" "$3" "$module" "$seed" || return 1
	what="$what $3"
	if [ "$got" -eq 77 ]; then
		skipped
		return 1
	fi
	grep -q "\"way\": \"$2\"" "$scratch/stats" 2>/dev/null || [ "$got" -ge 128 ] || fail "$what: not way $2"
}

keeps()
{
	guest "$@" || return 1
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ]; then
		pass "$what: $(tail -1 "$scratch/out")"
	else
		fail "$what: status $got, seed $seed"
	fi
}

# As loses() of lib.sh: a scenario is what is run.
guest_loses()
{
	first=$seed
	while [ "$seed" -lt $((first + 10)) ]; do
		guest "$@" || break
		if lost_objects; then
			pass "$what: lost ${lost:-?}, status $got, seed $seed"
			seed=$first
			return
		fi
		seed=$((seed + 1))
	done
	[ "$seed" -eq "$first" ] || fail "$what: nothing was lost, status $got, seeds $first to $((seed - 1))"
	seed=$first
}

for way in A B; do
	for scenario in module events closefrom handler reporter coroutine manualoff idle; do
		for backend in pagemap softdirty uffd mprotect alldirty; do
			more=
			keeps $backend $way $scenario
		done
		[ $scenario = idle ] && continue
		more=CARDMARK_GC_TEST_DROP=50
		guest_loses auto $way $scenario
	done
	more=CARDMARK_PAUSE_TARGET=1
	keeps auto $way events || continue
	[ "$(value stops:)" -gt 0 ] || before_8_2 || fail "$what: its stop function was not called"
done

# A jump out of the collector does no harm: after it the module is noticed, and stalls are
# recorded.
for way in A B; do
	for scenario in chain alternate oom finalizer warn event resize stop; do
		for backend in pagemap uffd mprotect; do
			more=
			keeps $backend $way $scenario || continue
			stalls=$(sed -n 's/.*"stalls": { "count": \([0-9]*\),.*/\1/p' "$scratch/stats")
			[ "${stalls:-0}" -gt 1000 ] || fail "$what: ${stalls:-no} stalls recorded"
		done
	done
	for scenario in event stop; do
		more=CARDMARK_PAUSE_TARGET=1
		keeps auto $way $scenario
	done
done

# Without our defence, a handler that takes every fault for a crash ends the program.
more=CARDMARK_GC_TEST_NO_SIGNAL_DEFENCE=1
for way in A B; do
	guest mprotect $way reporter || continue
	if [ "$got" -eq 3 ]; then
		pass "$what: taken for a crash"
	else
		fail "$what: status $got: its handler saw no fault of ours"
	fi
done

# Without our defence, a handler that passes faults on gets our faults, and loses none.
keeps mprotect A handler && [ "$(value faults:)" -eq 0 ] && fail "$what: its handler saw no fault"

# Way B is fed by a callback that the module replaces.
more=CARDMARK_GC_TEST_NO_EVENT_DEFENCE=1
for scenario in module alternate oom; do
	guest_loses auto B $scenario
done

under -- "$bin/latelibgc"
if [ "$got" -eq 77 ]; then
	echo "skip: $what: $(cat "$scratch/out")"
	skips=$((skips + 1))
elif [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ] && [ "$(value incremental:)" = 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
else
	fail "$what: status $got"
fi
finish
