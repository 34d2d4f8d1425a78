#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the torture program under verify mode: no changed page is missed, on
# every backend, in both ways, with threads and fork children. The controls have
# a kernel that loses writes preloaded underneath the library (dropscan.c): without verify objects
# are lost; with it every loss is found and repaired.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
seed=${CARDMARK_TEST_SEED:-$(date +%s)}

counter()
{
	sed -n "s/.*\"verify_$1\": \\([0-9]*\\),.*/\\1/p" "$scratch/stats"
}

# verified BACKEND WAY TORTURE-ARGS...
verified()
{
	backend=$1 way=$2
	shift 2
	rm -f "$scratch/stats"
	under CARDMARK_BACKEND="$backend" CARDMARK_GC_WAY="$way" CARDMARK_VERIFY=hash \
		CARDMARK_STATS="$scratch/stats" -- "$bin/torture" -s "$seed" "$@" || return
	counters="checked $(counter checked) changed $(counter changed) missed $(counter missed) \
false $(counter false)"
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ] && [ "$(counter missed)" = 0 ] &&
		[ "$(counter changed)" -gt 0 ] && ! grep -q '^cardmark: verify:' "$scratch/out"; then
		pass "$what $*: $counters"
	else
		fail "$what $*: status $got, $counters, seed $seed"
	fi
}

threads=1
for backend in pagemap softdirty uffd mprotect alldirty; do
	for way in A B; do
		verified $backend $way -t $threads -d 2 -f
		threads=$((threads % 4 + 1))
	done
done
for threads in 2 4 8; do
	verified auto A -t $threads -d 1
done

shim=$bin/.libs/dropscan.so
for way in A B; do
	rm -f "$scratch/stats"
	under CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=$way CARDMARK_VERIFY=hash \
		CARDMARK_STATS="$scratch/stats" -- "$bin/torture" -s 1 -t 1 -d 2 || continue
	named=$(grep -c '^cardmark: verify: 0x[0-9a-f]* changed and was not reported: range 0x[0-9a-f]* to 0x[0-9a-f]*, backend pagemap, kernel [0-9]' \
		"$scratch/out")
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ] && [ "$(counter missed)" -gt 0 ] &&
		[ "$named" -gt 0 ]; then
		pass "$what over a kernel that loses writes: found $(counter missed) of \
$(counter changed), lost no object"
	else
		fail "$what over a kernel that loses writes: status $got, named $named, missed $(counter missed)"
	fi
	# Not verified, over the same kernel.
	loses CARDMARK_BACKEND=pagemap CARDMARK_GC_WAY=$way -- "$bin/torture" -t 1 -d 3
done
finish
