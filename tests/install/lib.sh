# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: MIT
# What the tests of a whole tree share. Sourced with the tree as the first argument, never run.
export LC_ALL=C
src=$(cd "$1" && pwd) || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

# copy_tree FOLDER: what git has or would take, changes of the day too.
copy_tree()
{
	mkdir "$1"
	git -C "$src" ls-files -co --exclude-standard -z | tar -C "$src" -c --null -T - | tar -C "$1" -x
}
