#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: each benchmark program prints the same result hash with every
# way of collecting, with a seed of its own, at a tiny size.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

[ -r "$preload" ] || skip "this build has no preload object"
bench=$builddir/bench
modes="stop-the-world libgc-mprotect"
for backend in pagemap softdirty uffd mprotect alldirty; do
	"$cardmark" probe | grep -q "^ *$backend *usable" && modes="$modes $backend"
done

# same NAME COMMAND...
same()
{
	name=$1
	shift
	first=
	for mode in plain $modes "auto 5"; do
		# The mprotect backend cannot let the kernel write into clean memory:
		# guile's read(2) into its heap fails there, not in every run, and only in
		# this way: it ends, or a text is missing and the hash is another.
		case $name,$mode in
		guile,mprotect)
			"$cardmark" run --backend=mprotect -- "$@" >"$scratch/out" 2>"$scratch/err"
			got=$?
			if grep -q "Bad address" "$scratch/err"; then
				echo "$name, $mode: read(2) fails with EFAULT: the documented limit"
				continue
			fi
			[ $got -eq 0 ] || {
				fail "$name, $mode: exit status $got: $(cat "$scratch/err")"
				continue
			}
			;;
		*,plain) status 0 "$@" ;;
		*,"auto 5") status 0 "$cardmark" run --pause-target=5 -- "$@" ;;
		*) status 0 "$cardmark" run --backend="$mode" -- "$@" ;;
		esac || continue
		hash=$(sed -n 's/^hash: //p' "$scratch/out")
		echo "$name, $mode: $hash"
		case $hash in
		????????????????) ;;
		*) fail "$name, $mode: no hash of 16 digits" ;;
		esac
		[ -n "$first" ] || first=$hash
		[ "$hash" = "$first" ] || fail "$name, $mode: hash $hash, not $first"
	done
}

same trees "$bench/boehm/trees" --live-mb=8 --work=10 --seed=3
a=$first
same trees "$bench/boehm/trees" --live-mb=8 --work=10 --seed=4
[ "$a" != "$first" ] || fail "trees: the seed changes nothing"
same kv "$bench/boehm/kv" --live-mb=8 --work=10 --seed=3
a=$first
# Neither the rate nor whether it is kept changes what is done.
for rate in 30000 10000000; do
	same "kv at $rate/s" "$bench/boehm/kv" --live-mb=8 --work=10 --seed=3 --rate=$rate
	[ "$a" = "$first" ] || fail "kv: the rate changes the result: $first, not $a"
done
same kv "$bench/boehm/kv" --live-mb=8 --work=10 --seed=4
[ "$a" != "$first" ] || fail "kv: the seed changes nothing"
usage_error "$bench/boehm/kv" --keys=few
usage_error "$bench/boehm/kv" --rate=fast
usage_error "$bench/boehm/trees" --live-mb=0
if [ -r /usr/share/common-licenses/GPL-3 ]; then
	same words "$bench/boehm/words" --live-mb=2 --work=10 --seed=3
	guile=$(command -v guile-3.0 || command -v guile)
	if [ -n "$guile" ]; then
		same guile "$guile" --no-auto-compile "$bench/share/words.scm" --live-mb=1 \
			--work=5 --seed=3
	else
		echo "guile is not installed: left out"
	fi
else
	echo "no text on this machine: words and guile are left out"
fi
finish
