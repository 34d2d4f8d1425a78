#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: in incremental mode libgc collects less often than by itself, unless the user sets
# a divisor. A program sees the divisor that it set, and a larger one has an effect.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
unset GC_FREE_SPACE_DIVISOR

number()
{
	sed -n "s/.*$1: *\\([0-9]*\\).*/\\1/p" "$scratch/out" | tail -1
}

# check DIVISOR LEAST MOST [ARG]: the collections, in per cent of $plain, are in this range
check()
{
	share=$(($(number collections) * 100 / plain))
	if [ "$got" -eq 0 ] && [ "$(number divisor)" = "$1" ] && [ $share -ge "$2" ] && [ $share -le "$3" ]; then
		pass "$what: $(cat "$scratch/out"), $share % of $plain"
	else
		fail "$what: status $got, $share % of $plain, not between $2 and $3, or not divisor $1"
	fi
}

for mode in auto libgc-mprotect; do
	under CARDMARK_GC_MODE=$mode GC_FREE_SPACE_DIVISOR=3 -- "$bin/growth" || continue
	plain=$(number collections)
	[ "${plain:-0}" -gt 20 ] || fail "$what: ${plain:-no} collections show nothing"
	under CARDMARK_GC_MODE=$mode -- "$bin/growth" || continue
	check 3 20 80
	less=$(number collections)
	under CARDMARK_GC_MODE=$mode -- "$bin/growth" 6 || continue
	check 6 $((less * 110 / plain)) 160
done

# measured WANT BACKEND: does the measured cost of a fault on it differ from the usual one?
measured()
{
	under CARDMARK_BACKEND=$2 CARDMARK_STATS="$scratch/stats" -- "$bin/growth" || return
	ns=$(sed -n 's/.*"fault_ns": \([0-9]*\).*/\1/p' "$scratch/stats")
	if grep -q '"least_bytes": 0,' "$scratch/stats"; then
		echo "skip: $what: this libgc cannot be asked for a least allocation"
		skips=$((skips + 1))
		return
	fi
	case $ns in
	0 | '' | 800 | 5000 | 30000) was=no ;;
	*) was=yes ;;
	esac
	if [ $was = "$1" ]; then
		pass "$what: a fault costs ${ns:-?} ns"
	else
		fail "$what: a fault costs ${ns:-?} ns"
	fi
}

measured yes pagemap
measured yes uffd
measured no mprotect # the control
finish
