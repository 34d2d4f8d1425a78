#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: no object may be lost, with any way, backend and number of threads, with forks and
# with a pause target. The way is in the name of the test: torture_a.sh and torture_b.sh run this
# file.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
way=${1:?way}
seed=${CARDMARK_TEST_SEED:-$(date +%s)}

# Collections of the last run that were not full.
partial()
{
	awk -F '[:,{}]+ *' '/^  "collections"/ { all = $2 } /^  "cadence"/ { full = $3 } END { print all - full }' \
		"$scratch/stats"
}

torture()
{
	backend=$1
	shift
	under CARDMARK_BACKEND="$backend" CARDMARK_GC_WAY="$way" CARDMARK_STATS="$scratch/stats" \
		$target $arm -- "$bin/torture" -s "$seed" "$@" || return
	lost=$(value lost:)
	grep -q "\"way\": \"$way\"" "$scratch/stats" || fail "$what: not way $way"
	if [ "$got" -eq 0 ] && [ "$lost" = 0 ]; then
		pass "$what $*: $(tr '\n' ' ' <"$scratch/out")"
	else
		fail "$what $*: status $got, lost ${lost:-?}, seed $seed"
	fi
}

arm=
for backend in pagemap softdirty uffd mprotect alldirty; do
	target=
	torture $backend -t 1 -d 2 -f
	target=CARDMARK_PAUSE_TARGET=3
	torture $backend -t 4 -d 2 -f
done
target=
torture auto -t 2 -d 4
# Full collections that arm nothing; and, if a small heap is armed, partial ones after them.
unset GC_FREE_SPACE_DIVISOR
for arm in '' CARDMARK_GC_TEST_ARM_SMALL=1; do
	target=
	torture auto -t 2 -d 4
	[ "$arm" = '' ] || [ "$(partial)" -gt 0 ] || fail "$what: no collection was partial"
	target=CARDMARK_PAUSE_TARGET=3
	torture auto -t 4 -d 2 -f
	[ "$arm" = '' ] || [ "$(partial)" -gt 0 ] || fail "$what: no collection was partial"
done
finish
