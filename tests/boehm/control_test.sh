#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the negative control of the torture program: with a share of the dirty cards
# reported as clean it must lose objects, otherwise it proves nothing.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

for way in A B; do
	loses CARDMARK_BACKEND=auto CARDMARK_GC_WAY=$way CARDMARK_GC_TEST_DROP=20 -- "$bin/torture" -t 1 -d 3
done
finish
