#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: mark stacks that libgc puts into its heap are tracked, though no block in
# them has a header yet; without the rule for them they count as dirty at every stop.
# libgc's own walk is what makes them grow.
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
finish
