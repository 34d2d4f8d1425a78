#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: mark stacks that libgc puts into its heap are tracked, though no block in
# them has a header yet; without the rule for them they count as dirty at every stop.
# libgc's own walk makes them grow. The mark stack is enlarged before a program with several
# marking threads needs it (markstack.c), so no collection must begin again for it.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

# MiB of heap that are not tracked.
untracked()
{
	sed -n 's/^  "\(heap\|tracked\)_bytes": \([0-9]*\),$/\1 \2/p' "$scratch/stats" |
		awk '{ v[$1] = $2 } END { print int((v["heap"] - v["tracked"]) / 1048576) }'
}

under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A CARDMARK_GC_WALK=libgc CARDMARK_STATS="$scratch/stats" -- \
	"$bin/stacks" || finish
if [ "$got" -eq 0 ] && [ "$(untracked)" -lt 16 ]; then
	pass "$what: $(tail -1 "$scratch/out"), $(untracked) MiB not tracked"
else
	fail "$what: status $got, $(untracked) MiB not tracked"
fi
under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A CARDMARK_GC_WALK=libgc CARDMARK_STATS="$scratch/stats" \
	CARDMARK_GC_TEST_NO_STACK_DEFENCE=1 -- "$bin/stacks" || finish
if [ "$(untracked)" -ge 16 ]; then
	pass "$what: $(untracked) MiB not tracked"
else
	fail "$what: $(untracked) MiB not tracked: the program does not show it"
fi

# A full stack makes libgc throw entries away, and mark from the whole heap again.
thrown_away()
{
	grep -c 'No room to copy back mark stack\|Mark stack overflow' "$scratch/out"
}

export GC_MARKERS=2 GC_PRINT_VERBOSE_STATS=1
under CARDMARK_BACKEND=auto -- "$bin/stacks" deep || finish
if [ "$got" -eq 0 ] && [ "$(thrown_away)" -eq 0 ]; then
	pass "$what: $(grep links: "$scratch/out"), enlarged $(grep -c 'Grew mark stack' "$scratch/out") times, never full"
else
	fail "$what: status $got, the mark stack was full $(thrown_away) times"
fi
under CARDMARK_BACKEND=auto CARDMARK_GC_TEST_NO_MARK_STACK=1 -- "$bin/stacks" deep || finish
if [ "$got" -eq 0 ] && [ "$(thrown_away)" -gt 0 ]; then
	pass "$what: the mark stack was full $(thrown_away) times"
else
	fail "$what: status $got, the mark stack was never full: the program does not show it"
fi
finish
