#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: libgc before 8.2.8 misses the last page of an unaligned root. With our adapter it
# does not; without the adapter's defence it does.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
library=$bin/.libs/rootmod.so

under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A -- "$bin/roots" "$library" || finish
if [ "$got" -eq 0 ] && [ "$(value 'lost added:')" = 0 ] && [ "$(value 'lost library:')" = 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
else
	fail "$what: status $got"
fi
# In GiB. The further, the more numbers look like pointers.
memory=$(awk '/^MemTotal:/ { print int($2 / 1048576) + 1 }' /proc/meminfo)
[ "$(value apart:)" -le $((memory * 4 + 16)) ] || fail "$what: the heap is far from the libraries"
if grep -q 'does not show\|not loaded' "$scratch/out"; then
	fail "the library is not laid out as needed"
fi
under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A CARDMARK_GC_TEST_NO_ROOT_DEFENCE=1 -- \
	"$bin/roots" "$library" || finish
if [ "$(value 'lost added:')" -gt 0 ] && [ "$(value 'lost library:')" -gt 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
elif [ "$(value libgc:)" -ge $((8 << 16 | 2 << 8 | 8)) ]; then
	skips=$((skips + 1))
	echo "skip: $what: this libgc, 8.2.8 or later, misses nothing by itself"
else
	fail "$what: nothing was lost"
fi
finish
