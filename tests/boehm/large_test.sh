#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: of a large object only the dirty pages are marked from, and nothing is lost,
# whatever the backend, the way, a target, and other users of GC_push_other_roots. If those pages
# are forgotten, objects are lost.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
seed=${CARDMARK_TEST_SEED:-$(date +%s)}
echo "# seed $seed"

kept()
{
	sed -n 's/^  "large_cards": \([0-9]*\),$/\1/p' "$scratch/stats"
}

# check BACKEND WAY TARGET OPTION...; a TARGET of - is none
check()
{
	more="CARDMARK_BACKEND=$1 CARDMARK_GC_WAY=$2"
	[ "$3" = - ] || more="$more CARDMARK_PAUSE_TARGET=$3"
	shift 3
	# shellcheck disable=SC2086
	under $more CARDMARK_STATS="$scratch/stats" -- "$bin/large" -s "$seed" -d 1 "$@" || return
	if [ "$got" -ne 0 ] || [ "$(value lost:)" != 0 ]; then
		fail "$what $*: status $got, seed $seed"
	elif ! [ "$(kept)" -gt 0 ]; then
		fail "$what $*: no card of a large object was kept apart"
	else
		pass "$what $*: $(tr '\n' ' ' <"$scratch/out") $(kept) cards"
	fi
}

for backend in pagemap uffd mprotect softdirty; do
	check $backend A -
	check $backend A 1 -w 400 -t 2 -f
done
check auto B -
check auto B 1 -w 400 -t 2 -f
check auto A - -t 4 -f
for own in -p -P; do
	check auto A - $own
	check auto A 1 $own
	check auto B 1 $own
done
for way in A B; do
	loses CARDMARK_BACKEND=auto CARDMARK_GC_WAY=$way CARDMARK_GC_WALK=libgc CARDMARK_GC_TEST_LARGE_FORGET=1 -- \
		"$bin/large" -d 2
done
finish
