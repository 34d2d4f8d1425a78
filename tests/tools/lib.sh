# shellcheck shell=sh disable=SC2034
# SPDX-License-Identifier: MIT
# What the tests of the command share. Sourced, never run.
# A test is a shell script: exit 0 passed, 1 failed, 77 skipped with a reason.

builddir=${CARDMARK_BUILDDIR:-.}
cardmark=$builddir/tools/cardmark
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-test-XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0

skip()
{
	echo "SKIP: $*"
	exit 77
}

fail()
{
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# status WANT COMMAND...: runs it; its output is in $scratch/out and /err.
status()
{
	want=$1
	shift
	"$@" >"$scratch/out" 2>"$scratch/err" </dev/null
	got=$?
	[ "$got" -eq "$want" ] && return 0
	fail "exit status $got, not $want: $*"
	sed 's/^/  /' "$scratch/out" "$scratch/err"
	return 1
}

# said out|err TEXT: was that printed by the last command?
said()
{
	grep -qF -e "$2" "$scratch/$1" && return 0
	fail "nothing about \"$2\" in the $1put:"
	sed 's/^/  /' "$scratch/$1"
}

# Bad usage is one line on standard error and nothing else.
usage_error()
{
	status 2 "$@" || return
	[ "$(wc -l <"$scratch/err")" -eq 1 ] || fail "not one line of help: $*"
	[ -s "$scratch/out" ] && fail "bad usage wrote to standard output: $*"
	return 0
}

# check_results SCHEMA FILE: a program on standard input looks at them with schema.py.
check_results()
{
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${CARDMARK_SRCDIR:-.}/tests/tools python3 - "$@"
}

finish()
{
	[ "$failures" -eq 0 ] && exit 0
	echo "$failures checks failed"
	exit 1
}

[ -x "$cardmark" ] || skip "the cardmark command was not built"

# A build without jansson has no bench and report. A test that needs neither sets needs_bench=no
# before it sources this.
has_bench()
{
	"$cardmark" help bench >"$scratch/bench" 2>&1
}
[ "${needs_bench:-yes}" = no ] || has_bench || skip "$(cat "$scratch/bench")"

# The preload object, where this build has it.
preload=$builddir/gc-glue/boehm/.libs/libcardmark-preload.so
