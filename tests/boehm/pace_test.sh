#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the pause target beside a program's own stop function, in each of our
# backends and in libgc's own mode; and the report on a target that can't be met.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

# The number of a key of the report's pace.
pace()
{
	sed -n "s/.*\"pace\": {.*\"$1\": *\\([0-9]*\\).*/\\1/p" "$scratch/stats"
}

target()
{
	under "$@" CARDMARK_STATS="$scratch/stats" CARDMARK_PAUSE_TARGET=0.2 -- "$bin/pace" || return
	if [ "$got" -eq 77 ]; then
		skipped
		return
	fi
	if [ "$got" -ne 0 ] || [ "$(value wrong:)" != 0 ] || [ "$(value full:)" != 4 ] ||
		[ "$(value cut:)" != 4 ] || ! [ "$(value asked:)" -gt 0 ]; then
		fail "$what: status $got: $(cat "$scratch/out")"
		return
	fi
	# Stops were given up, but not again and again without an end.
	if [ "$(pace given_up)" -gt 0 ] && [ "$(pace most_attempts)" -le 41 ] &&
		[ "$(pace fixed_ns)" -gt 0 ]; then
		pass "$what: $(tail -1 "$scratch/out"), $(grep '"pace"' "$scratch/stats")"
	else
		fail "$what: $(grep '"pace"' "$scratch/stats")"
	fi
}

for backend in pagemap uffd mprotect alldirty; do
	target CARDMARK_BACKEND=$backend
done
target CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=B
target CARDMARK_GC_MODE=libgc-mprotect

# Neither a stop function that stops now and then nor threads that end by pthread_exit() keep a
# collection from its end. The controls: without what ends it, the program goes on for ever.
ends()
{
	mode=$1
	shift
	under "$@" CARDMARK_PAUSE_TARGET=1 -- "$bin/pace" "$mode" || return
	check_end "$got"
}

check_end()
{
	[ "$1" -eq 77 ] && skipped && return
	if [ "$1" -eq 0 ]; then
		pass "$mode, $what: $(tail -1 "$scratch/out")"
	else
		fail "$mode, $what: status $1"
	fi
}

for mode in stops exits; do
	for backend in pagemap uffd mprotect alldirty; do
		ends $mode CARDMARK_BACKEND=$backend
	done
	ends $mode CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=B
	ends $mode CARDMARK_GC_MODE=libgc-mprotect
	# From 8.2.4 on libgc itself makes steps while collections are off.
	if [ "$mode" = exits ] && [ "$(value libgc:)" -ge $((8 << 16 | 2 << 8 | 4)) ]; then
		skipped
		continue
	fi
	for seconds in 3 10 60; do
		under CARDMARK_BACKEND=alldirty CARDMARK_PAUSE_TARGET=1 CARDMARK_GC_TEST_NO_FINISH=1 -- \
			"$bin/pace" "$mode" $seconds
		[ "$got" -eq 0 ] || break
	done
	check "$got" 142 "control: $mode, not ended"
done
finish
