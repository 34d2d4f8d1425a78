#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: no object may be lost that lives by roots which come and go, on any backend and in
# both ways; where roots are watched most of them are not scanned, and verify mode finds nothing
# missed. Two controls must lose objects: roots that count as watched and are not, and roots that
# stay watched while they are none. With a pause target, roots are unmapped between two slices of
# marking; the control, which does not end the collection before, must crash.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
seed=${CARDMARK_TEST_SEED:-$(date +%s)}
libraries=
for i in 1 2 3; do
	cp "$bin/.libs/rootlib.so" "$scratch/library$i.so"
	libraries="$libraries $scratch/library$i.so"
done

# rooted VAR=VALUE... -- ARGS...
rooted()
{
	settings=
	while [ "$1" != -- ]; do
		settings="$settings $1"
		shift
	done
	shift
	rm -f "$scratch/stats"
	# shellcheck disable=SC2086
	under CARDMARK_STATS="$scratch/stats" $settings -- "$bin/rootchange" -s "$seed" "$@" || return
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ]; then
		pass "$what: $(tr '\n' ' ' <"$scratch/out")"
	else
		fail "$what: status $got, seed $seed"
	fi
}

# A number of the report.
counter()
{
	sed -n "s/.*\"$1\": \\([0-9]*\\)[,} ].*/\\1/p" "$scratch/stats"
}

for backend in pagemap softdirty uffd mprotect alldirty; do
	# shellcheck disable=SC2086
	rooted CARDMARK_BACKEND="$backend" CARDMARK_PAUSE_TARGET=1 -- -t 1 -d 1 $libraries
	rooted CARDMARK_BACKEND="$backend" CARDMARK_PAUSE_TARGET=2 -- -t 3 -d 1
done
# shellcheck disable=SC2086
rooted CARDMARK_BACKEND=auto -- -t 1 -d 1 $libraries
# shellcheck disable=SC2086
rooted CARDMARK_GC_MODE=libgc-mprotect CARDMARK_PAUSE_TARGET=1 -- -t 1 -d 1 $libraries
# shellcheck disable=SC2086
loses CARDMARK_BACKEND=mprotect CARDMARK_PAUSE_TARGET=1 CARDMARK_GC_TEST_NO_FINISH=1 -- \
	"$bin/rootchange" -t 1 -d 5 $libraries
rooted CARDMARK_BACKEND=auto CARDMARK_GC_WAY=B -- -t 2 -d 1
# shellcheck disable=SC2086
rooted CARDMARK_BACKEND=auto CARDMARK_GC_WAY=B CARDMARK_PAUSE_TARGET=1 -- -t 1 -d 1 $libraries

if rooted CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=A CARDMARK_PAUSE_TARGET=1 -- -t 1 -f -d 2; then
	text="watched $(counter watched_bytes) bytes of $(counter bytes), scanned \
$(counter scanned_bytes) in $(counter passes) passes"
	if [ "$(counter watched_bytes)" -gt 0 ]; then
		pass "$text"
	else
		fail "$text"
	fi
	for hook in STALE UNARMED; do
		loses CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=A CARDMARK_PAUSE_TARGET=1 \
			CARDMARK_GC_TEST_ROOTS_$hook=1 -- "$bin/rootchange" -t 1 -f -d 4
	done
	rooted CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=A CARDMARK_VERIFY=hash -- -t 3 -d 2
	text="verify: changed $(counter verify_changed) missed $(counter verify_missed)"
	if [ "$(counter verify_changed)" -gt 0 ] && [ "$(counter verify_missed)" = 0 ]; then
		pass "$text"
	else
		fail "$text, seed $seed"
	fi
fi
finish
