#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Description: quickstart installs under a prefix of one's own, and each line that it tells to
# type works when it is typed, in a new shell; without the lines about the environment they do
# not (the control). Takes minutes: the row install of .ci/run, not make check.
# quickstart.sh TREE: a clean copy of TREE is built.
set -u
# shellcheck source=tests/install/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

# What quickstart told to type, of the last run: the lines under the words.
told()
{
	awk -v words="$1" '/^quickstart: / { on = index($0, words) > 0; next } on && /^    /' "$work/log" |
		sed 's/^    //'
}

# typed FILE: each of its lines in one new shell that has nothing of this one's environment.
typed()
{
	env -i HOME="$work" PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb MANPAGER=cat PAGER=cat \
		bash -c 'cd "$1" && set -e && . "$2"' typed "$work" "$1" >"$work/typed.log" 2>&1 </dev/null
}

copy_tree "$work/tree"
sed -n '/^```c$/,/^```$/p' "$src/README.md" | sed '1d;$d' >"$work/PROGRAM.c"

# From another folder, as one does.
cd "$work" || exit 1
tree/quickstart install "$work/own" >"$work/log" 2>&1 </dev/null || fail "quickstart install"
cat "$work/log"
told 'Type this first' >"$work/environment"
told 'next: ' >"$work/next"
[[ $(wc -l <"$work/environment") == 3 ]] || fail "a private prefix needs three lines of environment"
[[ $(wc -l <"$work/next") == 4 ]] || fail "no four lines to type next"
while IFS= read -r line; do
	{ cat "$work/environment" && printf '%s\n' "$line"; } >"$work/type"
	if typed "$work/type"; then
		echo "ok: $line"
	else
		fail "does not work when typed: $line"
		cat "$work/typed.log"
	fi
	printf '%s\n' "$line" >"$work/type"
	typed "$work/type" && fail "control: works without the environment: $line"
done <"$work/next"
"$work/own/bin/cardmark" -V || fail "the command does not start by itself"

# A second time there is little to do; then it is taken away.
tree/quickstart build >"$work/log" 2>&1 </dev/null || fail "quickstart build"
told 'Next:' | grep -v 'quickstart install' >"$work/type"
[[ -s $work/type ]] || fail "build says nothing to type next"
typed "$work/type" || fail "does not work when typed: $(cat "$work/type" "$work/typed.log")"
make -C tree/build uninstall >/dev/null || fail "make uninstall"
left=$(find "$work/own" -type f)
[[ -z $left ]] || fail "left after make uninstall: $left"
exit $failed
