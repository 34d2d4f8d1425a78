#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: what check-kernels makes of a guest's console: a guest that does not
# boot, a program that hangs, dies, says nothing or skips what the kernel can do are
# failures that say so; a complete log is none.
set -u
here=${CARDMARK_SRCDIR:-.}/tests/kernels
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0

# expect WHAT 'PASSED FAILED SKIPPED' LINE: of the log on standard input. hung is set.
expect()
{
	awk -v expected='tests/unit/a tests/live/b tests/live/c' -v hung="$hung" -v status=0 \
		-v kernel=amd64-6.1 -v skips="$here/skips" -f "$here/tap.awk" >"$scratch/tap"
	got=$(awk '/^ok .* # SKIP / { s++; next } /^ok / { p++ } /^not ok / { f++ }
		END { print p + 0, f + 0, s + 0 }' "$scratch/tap")
	if [ "$got" = "$2" ] && grep -q -e "$3" "$scratch/tap"; then
		echo "ok - $1"
		return
	fi
	echo "FAIL: $1: passed, failed, skipped: $got, not $2, or nothing about \"$3\":"
	sed 's/^/  /' "$scratch/tap"
	failures=$((failures + 1))
}

# log [PROGRAM-B'S LINES]: a guest in which everything else is well.
log()
{
	printf '%s\n' 'firmware@@ booted 6.1.0 5.1' '@@ begin tests/unit/a' \
		'ok - a: zero' '1..1' '@@ end tests/unit/a 0 6.0' '@@ begin tests/live/b'
	[ $# -eq 0 ] || printf '%s\n' "$@"
	printf '%s\n' '@@ end tests/live/b 0 7.0' '@@ begin tests/live/c' 'ok - uffd: three' \
		'1..1' '@@ end tests/live/c 0 8.0' '@@ done'
}

hung=''
log 'ok - uffd: one' '1..1' | expect 'a complete log' '3 0 0' '^ok 2 - b: uffd: one$'
log 'not ok - uffd: one' '1..1' | expect 'a failure' '2 1 0' '^not ok 2 - b: uffd: one$'
log 'ok - uffd: one' '1..2' | expect 'a result is missing' '3 1 0' 'announced 2 results, 1 arrived'
log 'ok - uffd: one' | expect 'no plan' '3 1 0' 'b: it ended before its plan'
log '1..0' | expect 'no result' '2 1 0' 'b: it reported nothing'
log 'ok - uffd: one # SKIP uffd lacks the capability SHARED' '1..1' |
	expect 'an expected skip' '2 0 1' '^ok 2 - b: uffd: one # SKIP'
log 'ok - uffd: one # SKIP no swap here' '1..1' |
	expect 'a skip of what the kernel can do' '2 1 0' '^not ok 2 - b: uffd: one: skipped'
log 'ok - pagemap: one # SKIP pagemap is not usable here' '1..1' |
	expect 'a backend that is missing' '2 1 0' '^not ok 2 - b: pagemap: one: skipped'
log 'ok - uffd: one' '1..1' | sed '/begin.*\/c/,$d' |
	expect 'an end in between' '2 2 0' '^not ok 4 - the guest powers off: it did not'
echo 'Kernel panic' | expect 'no boot' '0 2 0' 'the guest boots: it did not'

hung=300
log 'ok - uffd: one' | sed '/end.*\/b/,$d' |
	expect 'a hang' '2 4 0' '^not ok 3 - b: the guest hung in it: nothing said for 300 s$'

[ $failures -eq 0 ]
