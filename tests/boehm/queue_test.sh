#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: if partial collections keep all garbage, the heap stays near that of
# stop-the-world, with at most twice the collections.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
unset GC_FREE_SPACE_DIVISOR

# check VAR=VALUE...: heap and collections, per cent of stop-the-world's
check()
{
	under "$@" -- "$bin/queue" || return
	heap=$(($(value heap:) * 100 / plain_heap)) often=$(($(value collections:) * 100 / plain))
	if [ "$got" -eq 0 ] && [ $heap -le $most_heap ] && [ $often -le $most_often ]; then
		pass "$what: heap $heap %, collections $often %"
	else
		fail "$what: status $got, heap $heap % (at most $most_heap), collections $often % (at most $most_often)"
	fi
}

# As check, but the heap must be larger.
must_grow()
{
	under "$@" -- "$bin/queue" || return
	heap=$(($(value heap:) * 100 / plain_heap))
	if [ $heap -gt $most_heap ]; then
		pass "control $what: heap $heap %"
	else
		fail "control $what: heap $heap % is no larger than $most_heap"
	fi
}

under CARDMARK_GC_MODE=stop-the-world -- "$bin/queue"
plain=$(value collections:) plain_heap=$(value heap:)
most_heap=190 most_often=200
check CARDMARK_BACKEND=pagemap
check CARDMARK_BACKEND=pagemap CARDMARK_GC_TEST_ARM_SMALL=1
must_grow CARDMARK_BACKEND=pagemap CARDMARK_GC_TEST_NO_CADENCE=1
finish
