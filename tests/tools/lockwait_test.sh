#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench lock-wait at a tiny size: it names the machine and the
# seed, has a row for each case, and says no to what it can't do.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

usage_error "$cardmark" bench lock-wait 1
status 2 "$cardmark" bench lock-wait --size=100000
status 0 "$cardmark" bench lock-wait --size=1 --blocks=2 --seed=7
grep -q "cannot work here" "$scratch/out" && skip "$(cat "$scratch/out")"
for text in "40 MiB, seed 7" "$(uname -r)" "whole range" "rests, default" "2 threads" \
	"first write to a page" "A/A" "100 %" "Put off a CPU"; do
	said out "$text"
done
said err "2 of 2"
finish
