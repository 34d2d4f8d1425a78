#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: libgc before 8.2.8 misses the last page of an unaligned root; ours
# does not, and without the defence it does.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
library=$bin/.libs/rootmod.so

under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A -- "$bin/roots" "$library" || finish
if [ "$got" -eq 0 ] && [ "$(value 'lost added:')" = 0 ] && [ "$(value 'lost library:')" = 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
else
	fail "$what: status $got"
fi
if grep -q 'does not show\|not loaded' "$scratch/out"; then
	fail "the library is not laid out as needed"
fi
under CARDMARK_BACKEND=auto CARDMARK_GC_WAY=A CARDMARK_GC_TEST_NO_ROOT_DEFENCE=1 -- \
	"$bin/roots" "$library" || finish
if [ "$(value 'lost added:')" -gt 0 ] && [ "$(value 'lost library:')" -gt 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
else
	fail "$what: nothing was lost"
fi
finish
