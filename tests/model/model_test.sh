#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the models of the protocol and of what has no lock (docs/model.md), checked
# by spin in every interleaving: nothing is lost, and with any one rule broken something is.
set -u
top=$(cd "${CARDMARK_SRCDIR:-.}" && pwd)
src=$top/tests/model
n=0 failed=0

if ! command -v spin >/dev/null; then
	case ${CI:+spin},${CARDMARK_REQUIRE:-}, in
	*spin,*)
		printf '1..1\nnot ok 1 - spin is not installed\n'
		exit 1
		;;
	esac
	echo '1..0 # SKIP spin is not installed: the model is not checked'
	exit 0
fi
dir=$(cd "${CARDMARK_BUILDDIR:-.}" && mktemp -d "$PWD/model-XXXXXX") && cd "$dir" || exit 1
trap 'cd / && rm -rf "$dir"' EXIT

# check WHAT COMMAND...: a line of TAP. If it fails, out shows why.
check()
{
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
		return
	fi
	echo "not ok $n - $what"
	failed=1
	sed 's/^/# /' out
}

# verify DEPTH MODEL SWITCH...: all interleavings, or until an error; the verdict goes to out.
verify()
{
	depth=$1
	model=$2
	shift 2
	rm -f pan pan.* ./*.trail
	spin -a "$@" "$src/$model.pml" >out 2>&1 &&
		${CC:-cc} "-O$optimize" -w -DSAFETY -DMEMLIM=1500 -o pan pan.c >>out 2>&1 &&
		./pan "-m$depth" 2>&1 | grep -v '^Depth=' >out
}

# Did the last one go through everything, and find no error?
proved()
{
	grep -q '^Full statespace search' out && grep -q ' errors: 0$' out &&
		! grep -qiE 'not completed|too small|limit|resource|aborted|^error' out
}

states()
{
	sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out
}

sound()
{
	optimize=1
	verify 2000000 "$@" -DTELL && proved && sed -n 's/^reached: //p' out >>reached
}

lost()
{
	grep -q '^pan:1: assertion violated .*owed' out
}

deadlock()
{
	grep -q '^pan:1: invalid end state' out
}

two_inside()
{
	grep -q '^pan:1: assertion violated .*inside' out
}

rebuilt_twice()
{
	two_inside || torn_by_fork
}

torn_map()
{
	grep -q '^pan:1: assertion violated .*whole' out
}

torn_by_fork()
{
	grep -q '^pan:1: assertion violated .*was_forked' out
}

# The rules of a model: what its BREAK_ switches break.
rules()
{
	case $1 in
	cardmark) set -- cardmark kernel library ;;
	esac
	for file; do
		sed -n 's/.*BREAK_\([A-Z0-9_]*\).*/\1/p' "$src/$file.pml"
	done | sort -u
}

# Is each of them in the page's tables?
documented()
{
	for model in $models; do
		for rule in $(rules "$model"); do
			grep -q "^| \`$rule\`" "$top/docs/model.md" || echo "no $rule"
		done
	done >out
	[ ! -s out ]
}

models='cardmark told notes seqlock own crew fork'

: >reached
for run in cardmark 'cardmark -DFORK' 'cardmark -DSOFTDIRTY' 'cardmark -DCONSUMERS' told notes seqlock own 'crew -DNO_PLACE' fork; do
	# shellcheck disable=SC2086
	check "$run: nothing is lost" sound $run
	echo "# $(states) states"
done

# What must be possible is: else little would have been proved.
sed -n 's/.*reached("\([^"]*\)".*/\1/p' "$src"/*.pml | sort -u >wanted
while read -r state; do
	check "reached: $state" grep -qxF "$state" reached
done <wanted

# A rule broken: most lose a write for good, some only report it late. The search is short.
optimize=0
for model in $models; do
	for rule in $(rules "$model"); do
		switches='' error=lost what='a write is lost'
		case $model/$rule in
		cardmark/R4 | cardmark/BARGE_IN | cardmark/TIME_OUT) what='a write is reported too late' ;;
		cardmark/R5_*) switches='-DFORK -DFOR_GOOD' what='a write is lost for good' ;;
		cardmark/LATE_HAND_OVER) switches=-DCONSUMERS what='a write is reported too late' ;;
		cardmark/HAND_OVER | cardmark/PRECLEAN_ALONE | cardmark/GUESS_ALONE)
			switches='-DCONSUMERS -DFOR_GOOD' what='a write is lost for good'
			;;
		cardmark/R12) switches='-DSOFTDIRTY -DFOR_GOOD' what='a write is lost for good' ;;
		cardmark/NO_LIMIT) error=deadlock what='a collect waits for ever' ;;
		cardmark/*) switches=-DFOR_GOOD what='a write is lost for good' ;;
		crew/COUNT_FIRST) what='a write is reported too late' ;;
		notes/*) what='memory of the arena is called "not in it"' ;;
		seqlock/UNBOUNDED) error=deadlock what='a reader waits for ever' ;;
		own/*) what='what is no mapping of ours is called one, or one is missed' ;;
		seqlock/*) what='an answer is of no state that the map was in' ;;
		fork/NOT_CLAIMED) error=rebuilt_twice what='the child is rebuilt twice' ;;
		fork/UNLOCKED_TWICE) error=two_inside what='two threads are inside' ;;
		fork/EARLY_TORN) error=torn_by_fork what='a fork() tears a tracker' ;;
		fork/STALE_PREPARED | fork/TORN_BEFORE) error=torn_map what='a half changed map is walked' ;;
		fork/UNMASKED | fork/FORK_UNCHECKED) switches=-DFOR_GOOD error=deadlock what='the child hangs' ;;
		fork/*) switches=-DFOR_GOOD what='a write of the parent is lost for good' ;;
		esac
		# shellcheck disable=SC2086
		verify 2000000 "$model" "-DBREAK_$rule" $switches
		check "$model: BREAK_$rule: $what" $error
	done
done
check "docs/model.md tells of each" documented

# The checks can fail: a search cut short is not a proof, nor is one that fails.
verify 10 cardmark -DSOFTDIRTY
check "a search that is cut short is noticed" eval '! proved'
verify 2000000 cardmark -DSOFTDIRTY -DBREAK_R12
check "an error is noticed" eval '! proved'
echo "1..$n"
exit $failed
