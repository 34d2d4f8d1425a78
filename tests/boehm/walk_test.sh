#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the walk over all block headers is left out, and nothing is lost: whatever the
# backend, a target, the kind of the objects (kinds.c), heap that is not tracked, a full mark
# stack, a program that sets GC_push_other_roots unseen by us. Each has a control that loses
# objects or is noticed. A variable keeps the walk.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
seed=${CARDMARK_TEST_SEED:-$(date +%s)}
echo "# seed $seed"

walk()
{
	sed -n "s/^  \"walk\": .*\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\}[, ].*/\1/p" "$scratch/stats"
}

# run SETTING... -- PROGRAM OPTION...
run()
{
	rm -f "$scratch/stats"
	under CARDMARK_GC_WAY=A CARDMARK_STATS="$scratch/stats" "$@"
}

# keeps SETTING... -- PROGRAM OPTION...: nothing is lost, and walks were left out
keeps()
{
	run "$@" || return
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ] && [ "$(walk left_out)" -gt 0 ] &&
		[ -z "$(walk why_not)" ]; then
		pass "$what: $(walk left_out) walks left out"
	else
		fail "$what: status $got, seed $seed, $(grep '"walk"' "$scratch/stats")"
	fi
}

for backend in pagemap softdirty uffd mprotect alldirty; do
	keeps CARDMARK_BACKEND=$backend -- "$bin/kinds" -s "$seed" -d 1 -f
	# If everything is dirty, no stop is short.
	[ $backend = alldirty ] || keeps CARDMARK_BACKEND=$backend CARDMARK_PAUSE_TARGET=3 -- "$bin/kinds" -s "$seed" -d 1
done
# Where libgc marks with one thread, and with many.
keeps GC_MARKERS=1 -- "$bin/kinds" -s "$seed" -d 1
keeps GC_MARKERS=4 -- "$bin/torture" -s "$seed" -t 4 -d 1 -f
keeps CARDMARK_GC_TEST_UNTRACKED=2 -- "$bin/kinds" -s "$seed" -d 1
keeps CARDMARK_GC_TEST_UNTRACKED=2 -- "$bin/torture" -s "$seed" -t 2 -d 1
keeps CARDMARK_GC_TEST_WALK_NO_ROOM=50 -- "$bin/kinds" -o -s "$seed" -d 1
keeps CARDMARK_GC_TEST_WALK_NO_ROOM=50 GC_MARKERS=1 -- "$bin/torture" -s "$seed" -t 2 -d 1
keeps CARDMARK_BACKEND=auto -- "$bin/large" -s "$seed" -d 1 -P -w 400

loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_DROP=20 -- "$bin/kinds" -d 2
loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_UNTRACKED=2 CARDMARK_GC_TEST_WALK_TRACKED_ONLY=1 -- "$bin/kinds" -d 2
loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_WALK_LENGTHS_ONLY=1 -- "$bin/kinds" -d 2
loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_WALK_MARKED_ONLY=1 -- "$bin/kinds" -d 2
loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_WALK_NO_ROOM=50 CARDMARK_GC_TEST_WALK_NO_SPILL=1 -- "$bin/kinds" -o -d 2

if run CARDMARK_GC_TEST_WALK_NOT_BACK=1 -- "$bin/kinds" -s "$seed" -d 1; then
	case $(walk why_not) in
	*'still left out'*) pass "$what: noticed" ;;
	*) loses CARDMARK_GC_WAY=A CARDMARK_GC_TEST_WALK_NOT_BACK=1 -- "$bin/kinds" -d 1 ;;
	esac
fi

if run CARDMARK_GC_WALK=libgc -- "$bin/kinds" -s "$seed" -d 1; then
	if [ "$got" -eq 0 ] && [ "$(walk left_out)" = 0 ] &&
		[ "$(walk why_not)" = CARDMARK_GC_WALK=libgc ]; then
		pass "$what"
	else
		fail "$what: status $got, $(grep '"walk"' "$scratch/stats")"
	fi
fi
finish
