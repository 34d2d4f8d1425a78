#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the pause target beside a program's own stop function, in each of our
# backends and in libgc's own mode; and what the report says of a target that can't be met.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

# The number of a key of the report's pace.
pace()
{
	sed -n "s/.*\"pace\": {.*\"$1\": *\\([0-9]*\\).*/\\1/p" "$scratch/stats"
}

check()
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
	check CARDMARK_BACKEND=$backend
done
check CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=B
check CARDMARK_GC_MODE=libgc-mprotect
finish
