#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The snapshot example on a program that writes, empties, unmaps, moves and protects
# its memory from three threads: every dump restores to exactly the memory of its
# instant, a dumper that is broken on purpose does not, and what is damaged is refused.
# An argument, or CARDMARK_TEST_SEED, is the seed. Exit 0, 1 or 77.
set -u
builddir=${CARDMARK_BUILDDIR:-$PWD}
. "${CARDMARK_SRCDIR:-.}/examples/snapshot/common.sh"
churn=$builddir/tests/snapshot/churn
seed=${1:-${CARDMARK_TEST_SEED:-$((RANDOM % 10000))}}
last=6
failures=0 host=0 compared=0 differ=0
echo "seed $seed"

fail()
{
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# begin DIR: the program under the dumper, and dumps 0 to $last of it.
begin()
{
	local i

	if ! host "$1" "$churn" 60 "$seed"; then
		if grep -q 'no snapshots' "$1/log" &&
			[[ ,${CARDMARK_REQUIRE-}, != *,pagemap,* ]]; then
			echo "SKIP: $(cat "$1/log")"
			exit 77
		fi
		fail "no dump: $(cat "$1/log" "$1/output")"
		exit 1
	fi
	for ((i = 0; i <= last; i++)); do
		snap "$1" "$i" || fail "no dump $i"
		sleep 0.15
	done
}

# ---- Sound -------------------------------------------------------------------------

dir=$scratch/sound
begin "$dir"
for ((k = 0; k <= last; k++)); do
	differing "$dir" "$k" || fail "dump $k does not restore"
	echo "dump $k: $(field "$dir" "$k" pages) pages written, $differ of $compared differ"
	# On a busy machine the program has hardly begun at the first.
	((compared > (k == 0 ? 100 : 1000))) || fail "dump $k: only $compared pages"
	((differ == 0)) || fail "dump $k: $differ pages differ"
	# An increment is less than everything, or nothing is shown.
	((k == 0 || $(field "$dir" "$k" pages) < compared)) || fail "dump $k holds everything"
done

# The program has its own exit status, and is not told about children of ours.
kill -TERM "$host"
wait "$host"
[[ $? == 143 ]] || fail "the program did not end by the signal"

# ---- From outside --------------------------------------------------------------------

# Stopped: twice the same. It runs on after a dump that had to stop it.
"$churn" 60 "$seed" >/dev/null &
outside=$!
pids+=("$outside")
sleep 0.2
kill -STOP "$outside"
while grep -qE '\) [^T] ' /proc/"$outside"/task/*/stat; do
	sleep 0.01
done
for k in 1 2; do
	"$snapshot" dump "$outside" "$dir/outside-$k" || fail "no dump from outside"
done
cmp "$dir/outside-1" "$dir/outside-2" || fail "a stopped program has changed"
kill -CONT "$outside"
for k in 3 4; do
	sleep 0.2
	"$snapshot" dump "$outside" "$dir/outside-$k" || fail "no dump of a running program"
done
"$snapshot" compare "$dir/outside-3" "$dir/outside-4" >/dev/null 2>&1 &&
	fail "the program does not run on"
kill -KILL "$outside"
wait "$outside" 2>/dev/null

# ---- Damaged -----------------------------------------------------------------------

refused()
{
	"$@" >"$scratch/out" 2>&1 && fail "not refused: ${*##*/}"
	[[ -s $scratch/out ]] || fail "refused without a word: ${*##*/}"
}

size=$(stat -c %s "$dir/dump-001")
head -c $((size - 1)) "$dir/dump-001" >"$dir/short"
head -c $((size / 2)) "$dir/dump-001" >"$dir/shorter"
{ cat "$dir/dump-001" && printf x; } >"$dir/long"
for k in short shorter long output; do
	refused "$snapshot" restore -o "$dir/image" "$dir/dump-000" "$dir/$k"
done
refused "$snapshot" restore -o "$dir/image" "$dir/dump-001"
refused "$snapshot" restore -o "$dir/image" "$dir/dump-000" "$dir/dump-002"
rm -rf "$dir"

# ---- Controls ------------------------------------------------------------------------

for broken in lose-a-run look-too-early; do
	export SNAPSHOT_BREAK=$broken
	begin "$scratch/$broken"
	unset SNAPSHOT_BREAK
	kill -KILL "$host"
	wait "$host" 2>/dev/null
	found=0
	for ((k = 0; k <= last; k++)); do
		differing "$scratch/$broken" "$k" || fail "$broken: dump $k does not restore"
		found=$((found + differ))
	done
	echo "control $broken: $found pages differ"
	((found > 0)) || fail "$broken goes unnoticed"
	rm -rf "${scratch:?}/$broken"
done

exit $((failures != 0))
