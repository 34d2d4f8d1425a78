# shellcheck shell=sh disable=SC2034
# SPDX-License-Identifier: MIT
# Shared by the tests of the Boehm adapter. Sourced, never run. A test is a shell script: exit 0
# passed, 1 failed, 77 skipped. The programs run under the preload object, told what to do by the
# environment as `cardmark run` does it.

builddir=${CARDMARK_BUILDDIR:-.}
srcdir=${CARDMARK_SRCDIR:-.}
bin=$builddir/tests/boehm
preload=$builddir/gc-glue/boehm/.libs/libcardmark-preload.so
# The same with test hooks (gc-glue/boehm/testhooks.h), for controls.
hooks=$bin/.libs/hooks.so
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-boehm-XXXXXX") || exit 99
trap 'rm -rf "$scratch"' EXIT
# Of one run. A hang is longer. On a machine with ten busy processes for each processor a stop waits
# for threads that do not run, and torture with forks took 54 s.
most_seconds=180
failures=0 passes=0 skips=0 shim=
unset CARDMARK_STATS CARDMARK_GC_MODE CARDMARK_GC_WAY CARDMARK_PAUSE_TARGET CARDMARK_VERIFY \
	CARDMARK_BACKOFF CARDMARK_GC_WALK \
	GC_ENABLE_INCREMENTAL GC_USE_GETWRITEWATCH

# libgc's own rules of when to collect, which switches cadence.c off: small programs would have few
# collections, most of them full ones, and those lose nothing.
export GC_FREE_SPACE_DIVISOR=3

[ -e "$preload" ] || {
	echo "SKIP: no $preload"
	exit 77
}

fail()
{
	echo "FAIL: $*"
	sed 's/^/  /' "$scratch/out" 2>/dev/null
	failures=$((failures + 1))
}

pass()
{
	echo "pass: $*"
	passes=$((passes + 1))
}

# required BACKEND: does CARDMARK_REQUIRE name it?
required()
{
	case ",${CARDMARK_REQUIRE:-}," in
	*,"$1",*) return 0 ;;
	esac
	return 1
}

# What guests or roots printed last: is it from libgc before 8.2?
before_8_2()
{
	[ "$(value libgc:)" -lt $((8 << 16 | 2 << 8)) ]
}

# Counts a program's own skip (status 77).
skipped()
{
	skips=$((skips + 1))
	echo "skip: $what: $(tail -1 "$scratch/out")"
}

# under VAR=VALUE... -- PROGRAM ARGS...: runs it under the preload object, and $shim
# underneath if that is set, for at most a minute. Output in $scratch/out, exit status
# in $got. CARDMARK_GC_TEST_* takes the object that has these hooks. False if the backend
# cannot be had here, which is counted.
under()
{
	settings='' backend='' object=$preload
	while [ "$1" != -- ]; do
		case $1 in
		CARDMARK_BACKEND=*) backend=${1#*=} ;;
		CARDMARK_GC_TEST_*) object=$hooks ;;
		esac
		settings="$settings $1"
		shift
	done
	shift
	what="$settings $(basename "$1")"
	# shellcheck disable=SC2086
	timeout "$most_seconds" env $settings LD_PRELOAD="$object${shim:+:$shim}" "$@" >"$scratch/out" 2>&1 </dev/null
	got=$?
	if grep -q 'was not started:' "$scratch/out"; then
		if required "$backend"; then
			fail "$what: $(cat "$scratch/out")"
		else
			echo "skip: $what: $(cat "$scratch/out")"
			skips=$((skips + 1))
		fi
		return 1
	fi
	return 0
}

# For tests of the command: where it and its program are, in a folder of this test's own.
use_command()
{
	top=$(cd "$builddir" && pwd)
	srcdir=$(cd "$srcdir" && pwd)
	cardmark=$top/tools/cardmark
	program=$top/tests/boehm/surroundings
	object=$top/gc-glue/boehm/.libs/libcardmark-preload.so
	hooks=$top/tests/boehm/.libs/hooks.so
	[ -x "$cardmark" ] || {
		echo "SKIP: the cardmark command was not built (jansson is missing)"
		exit 77
	}
	command -v python3 >/dev/null || {
		echo "SKIP: no python3 to read the reports with"
		exit 77
	}
	cd "$scratch" || exit 99
}

# run STATUS COMMAND...: its output in $scratch/out
run()
{
	want=$1
	shift
	timeout "$most_seconds" "$@" >"$scratch/out" 2>&1 </dev/null
	got=$?
	[ "$got" -eq "$want" ] || fail "$*: status $got, not $want"
}

# check GOT WANTED NAME
check()
{
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		fail "$3: \"$1\", not \"$2\""
	fi
}

# said PATTERN NAME: the output has it
said()
{
	if grep -qE -- "$1" "$scratch/out"; then
		pass "$2"
	else
		fail "$2: nothing about \"$1\""
	fi
}

# The number after a word of the output: value lost:
value()
{
	sed -n "s/.*$1 *\\([0-9][0-9]*\\).*/\\1/p" "$scratch/out" | tail -1
}

# lost_objects: has the program that under() ran lost some? Objects freed too early may also crash
# it.
lost_objects()
{
	lost=$(value lost:)
	[ "${lost:-0}" -gt 0 ] || [ "$got" -ge 128 ]
}

# loses VAR=VALUE... -- PROGRAM [ARGS...]: a control. With the broken rule objects must be lost,
# if not with the first seed, then with one of nine more: on a busy machine a run has few
# collections, and one of 140 runs lost none. Without the breakage no seed loses any.
loses()
{
	broken=
	while [ "$1" != -- ]; do
		broken="$broken $1"
		shift
	done
	program=$2
	shift 2
	first=${seed:-1} tries=0
	while [ $tries -lt 10 ]; do
		# shellcheck disable=SC2086
		under $broken -- "$program" -s $((first + tries)) "$@" || return
		tries=$((tries + 1))
		if lost_objects; then
			pass "$what: lost ${lost:-?}, status $got, run $tries"
			return
		fi
	done
	fail "$what: nothing was lost, seeds $first to $((first + tries - 1))"
}

finish()
{
	echo "$passes passed, $failures failed, $skips skipped"
	[ $failures -eq 0 ] || exit 1
	[ $passes -gt 0 ] || exit 77
	exit 0
}

# Not every system has the archive. If it exists, programs must link with it.
has_static_libgc()
{
	[ -f "$(${CC:-cc} -print-file-name=libgc.a)" ] && return
	skips=$((skips + 1))
	echo "skip: no static libgc (libgc.a)"
	return 1
}
