#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: forks beside threads that allocate, with the adapter enabled before and after libgc
# is started, or loaded after it. Libgc's fork handlers stop the world, and must not wait for a
# thread that has the core's locks: libgc would end the program.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
adapter=$builddir/gc-glue/boehm/.libs/libcardmark-gc.so

forking()
{
	timeout 60 env $settings "$bin/forking" "$@" >"$scratch/out" 2>&1 </dev/null
	got=$?
	what="$settings $(basename "$1") $2"
}

for order in before after loaded; do
	for backend in auto uffd mprotect alldirty; do
		settings=CARDMARK_BACKEND=$backend
		forking "$adapter" $order
		if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ]; then
			pass "$what: $(tr '\n' ' ' <"$scratch/out")"
		elif [ "$got" -eq 99 ] && ! required $backend; then
			skipped
		else
			fail "$what: status $got"
		fi
	done
done
settings="CARDMARK_BACKEND=auto CARDMARK_PAUSE_TARGET=3 CARDMARK_GC_TEST_NO_FORK_ORDER=1"
# One run in seven misses the case: so the control has a dozen runs.
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
	forking "$hooks" loaded
	[ "$got" -lt 128 ] || break
done
if [ "$got" -ge 128 ] && grep -q 'Signals delivery fails' "$scratch/out"; then
	pass "$what: libgc ended it, run $try"
else
	fail "$what: libgc should have ended it in one of $try runs, status $got"
fi
finish
