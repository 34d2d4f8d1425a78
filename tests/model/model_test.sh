#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the protocol's model (docs/model.md), checked by spin in every
# interleaving: nothing is lost, and with any one rule broken something is.
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

# verify DEPTH SWITCH...: all interleavings, or until an error; the verdict goes to out.
verify()
{
	depth=$1
	shift
	rm -f pan pan.* ./*.trail
	spin -a "$@" "$src/cardmark.pml" >out 2>&1 &&
		${CC:-cc} -O1 -w -DSAFETY -DMEMLIM=1500 -o pan pan.c >>out 2>&1 &&
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
	verify 2000000 -DTELL "$@" && proved && sed -n 's/^reached: //p' out >>reached
}

lost()
{
	grep -q '^pan:1: assertion violated .*owed' out
}

# Is each of them in the page's table?
documented()
{
	for rule in $rules; do
		grep -q "^| \`$rule\`" "$top/docs/model.md" || echo "no $rule"
	done >out
	[ ! -s out ]
}

deadlock()
{
	grep -q '^pan:1: invalid end state' out
}

: >reached
for model in '' -DFORK -DSOFTDIRTY; do
	# shellcheck disable=SC2086
	check "nothing is lost${model:+ ($model)}" sound $model
	echo "# $(states) states"
done

# What must be possible is: else little would have been proved.
sed -n 's/.*reached("\([^"]*\)".*/\1/p' "$src"/*.pml | sort -u >wanted
while read -r state; do
	check "reached: $state" grep -qxF "$state" reached
done <wanted

# A rule broken: most lose a write for good, some only report it late.
rules=$(sed -n 's/.*BREAK_\([A-Z0-9_]*\).*/\1/p' "$src"/*.pml | sort -u)
for rule in $rules; do
	switches=-DFOR_GOOD error=lost what='a write is lost for good'
	case $rule in
	R4 | BARGE_IN | TIME_OUT) switches='' what='a write is reported too late' ;;
	R5_*) switches='-DFORK -DFOR_GOOD' ;;
	R12) switches='-DSOFTDIRTY -DFOR_GOOD' ;;
	NO_LIMIT) switches='' error=deadlock what='a collect waits for ever' ;;
	esac
	# shellcheck disable=SC2086
	verify 2000000 "-DBREAK_$rule" $switches
	check "BREAK_$rule: $what" $error
done
check "docs/model.md tells of each" documented

# The checks can fail: a search cut short is not a proof, nor is one that fails.
verify 10 -DSOFTDIRTY
check "a search that is cut short is noticed" eval '! proved'
verify 2000000 -DSOFTDIRTY -DBREAK_R12
check "an error is noticed" eval '! proved'
echo "1..$n"
exit $failed
