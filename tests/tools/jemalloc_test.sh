#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench jemalloc at a tiny size: it names the machine and the
# seed, has both parts and a row for each case.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -x "${CARDMARK_BUILDDIR:-.}/bench/cardmark-jemalloc" ] || skip "built without jemalloc"
usage_error "$cardmark" bench jemalloc 1
status 2 "$cardmark" bench jemalloc --size=0
status 0 "$cardmark" bench jemalloc --size=1 --blocks=2 --seed=7
for text in "4000 pairs, seed 7" "$(uname -r)" "16 to 512 B" "64 KiB to 1 MiB" "A/A" \
	"retain:false" "more an extent" "    1000 "; do
	said out "$text"
done
finish
