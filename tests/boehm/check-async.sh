#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END'
Usage: make check-async [LIBGC_PATCHED=PREFIX] [LIBGC_HEAD=DIR]
       check-async.sh --build=BUILDDIR [--prefix=PREFIX] [--head=DIR] | --help

Patch 03 for libgc (gc-glue/boehm/libgc), asynchronous userfaultfd: programs that look for lost
objects run on it without the adapter, on a kernel that fails in every way we know, and after each
of its rules was broken: then objects must be lost. PREFIX has an installed libgc with the patch,
by build.sh, and its work folder (default: what make check-patches has built, or BUILDDIR/libgc/async,
which is built if it is not there). With DIR, the source of libgc's head, patch 04 is tested, too.
CARDMARK_TEST_SEED=N repeats a run.
END
}

build='' prefix='' head=''
for arg; do
	case $arg in
	--build=*) build=$(cd "${arg#*=}" && pwd) ;;
	--prefix=*) prefix=${arg#*=} ;;
	--head=*) head=${arg#*=} ;;
	--help)
		usage
		exit 0
		;;
	*)
		echo "check-async: unknown option \"$arg\", see --help" >&2
		exit 2
		;;
	esac
done
[[ -n $build ]] || {
	usage >&2
	exit 2
}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
patches=$source/gc-glue/boehm/libgc
dir=$build/libgc/async-tests
rm -rf "$dir"
mkdir -p "$dir"
passed=0 failed=0 skipped=0
seed=${CARDMARK_TEST_SEED:-$RANDOM}
unset GC_ENABLE_INCREMENTAL GC_USE_GETWRITEWATCH BREAK_UFFD LD_PRELOAD
export GC_FREE_SPACE_DIVISOR=3

pass()
{
	echo "pass: $*"
	((passed += 1))
}

fail()
{
	echo "FAIL: $*"
	[[ ! -f $dir/out ]] || grep -v '^GC\|^[0-9]* free\|^[A-Z][a-z].*: [0-9]*$' "$dir/out" | tail -n 8 | sed 's/^/    /'
	((failed += 1))
}

skip()
{
	echo "skip: $*"
	((skipped += 1))
}

# on LIBS VAR=VALUE... -- PROGRAM ARG...: incremental, for at most a minute; output in $dir/out,
# status in $got
on()
{
	local libs=$1 settings=()

	shift
	while [[ $1 != -- ]]; do
		settings+=("$1")
		shift
	done
	shift
	{ # the shell itself reports killed programs
		timeout 60 env LD_LIBRARY_PATH="$libs" GC_ENABLE_INCREMENTAL=1 GC_PRINT_STATS=1 \
			"${settings[@]}" "$@" >"$dir/out" 2>&1 </dev/null
		got=$?
	} 2>/dev/null
}

value()
{
	sed -n "s/.*$1 *\\([0-9][0-9]*\\).*/\\1/p" "$dir/out" | tail -n 1
}

asynchronous()
{
	grep -q '^Using asynchronous userfaultfd' "$dir/out"
}

# The program that on() ran has lost nothing, and its back end was ours (yes) or another one (no).
keeps()
{
	local what=$1 ours=$2 had=no

	! asynchronous || had=yes
	if [[ $got != 0 || $(value lost:) != 0 ]]; then
		fail "$what: status $got, lost $(value lost:)"
	elif [[ $had != "$ours" ]]; then
		fail "$what: asynchronous userfaultfd in use: $had, expected: $ours"
	else
		pass "$what: lost 0${3:+, $3}"
	fi
}

# Objects freed too early may also crash or hang it.
loses()
{
	local lost

	lost=$(value 'lost[a-z ]*:')
	if ! asynchronous; then
		fail "$1: asynchronous userfaultfd is not in use, so this shows nothing"
	elif [[ $lost -gt 0 || $got -ge 124 ]]; then
		pass "$1: lost ${lost:-?}, status $got"
	else
		fail "$1: nothing was lost, status $got"
	fi
}

bin=$build/tests/boehm
torture=("$bin/torture" -s "$seed" -d 2)

# ---- As it is ------------------------------------------------------------------------

check_sound()
{
	local before=$failed

	on "$libs" -- "${torture[@]}" -t 3 -f
	if ! asynchronous && grep -q 'Asynchronous userfaultfd does not work here' "$dir/out" &&
		[[ ",${CARDMARK_REQUIRE:-}," != *,pagemap,* ]]; then
		skip "this kernel has no asynchronous userfaultfd"
		return 1
	fi
	keeps 'threads, fork children' yes "$(value children:) children"
	on "$libs" -- "${torture[@]}" -f -l 5
	keeps 'a time limit, fork children' yes
	on "$libs" -- "$bin/efault"
	keeps 'read(2) into the heap' yes "efault $(value efault:)"
	[[ $(value efault:) == 0 ]] || fail "read(2) into the heap fails: EFAULT $(value efault:) times"
	on "$libs" GC_USE_GETWRITEWATCH=0 -- "$bin/efault"
	if [[ $(value efault:) -gt 0 ]]; then
		pass "control: with mprotect, EFAULT $(value efault:) times"
	else
		fail 'control: with mprotect, read(2) does not fail'
	fi
	on "$libs" -- "$bin/roots" "$bin/.libs/rootmod.so"
	if [[ $(value 'lost added:') == 0 && $(value 'lost library:') == 0 ]] && asynchronous; then
		pass "unaligned roots: lost 0"
	else
		fail "unaligned roots: $(tail -n 1 "$dir/out")"
	fi
	on "$libs" -- "$bin/rootchange"
	if [[ $got == 0 ]] && asynchronous; then
		pass 'roots that come and go'
	else
		fail "roots that come and go: status $got"
	fi
	[[ $failed == "$before" ]]
}

# ---- A kernel that fails ---------------------------------------------------------------

check_failures()
{
	local how

	for how in scan register close reuse; do
		on "$libs" LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=$how -- "${torture[@]}" -t 2
		keeps "a kernel that fails: $how" yes "of $(value scans:) scans $(value failed:) failed"
		[[ $(value failed:) -gt 0 ]] || fail "$how: nothing failed"
		[[ $how != scan || $(value failed:) -lt $(value scans:) ]] || fail "$how: all failed"
	done
	# After the descriptors were closed, new ones are opened.
	on "$libs" LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=close -- "${torture[@]}"
	if [[ $(value opened:) -gt 2 && $(value failed:) -lt $(($(value scans:) / 2)) ]]; then
		pass "descriptors are opened again: $(value opened:) times"
	else
		fail "descriptors are not opened again: $(value opened:), of $(value scans:) scans $(value failed:) failed"
	fi
	for how in absent blind; do
		on "$libs" LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=$how -- "${torture[@]}"
		keeps "a kernel without: $how" no
	done
	on "$libs" LD_PRELOAD="$bin/.libs/dropscan.so" -- "${torture[@]}" -t 2
	loses 'control: a kernel that loses writes'
}

# ---- Rules that are broken ---------------------------------------------------------------

# compile SOURCE LIBGC [FLAG...]: in one piece, which takes seconds
compile()
{
	local from=$1 to=$2

	shift 2
	mkdir -p "$to"
	${CC:-cc} -O1 -g -w -fPIC -shared -fvisibility=hidden -Wl,-soname,libgc.so.1 -I "$from/include" \
		-DGC_THREADS -DTHREAD_LOCAL_ALLOC -DPARALLEL_MARK -DGC_BUILTIN_ATOMIC -DUSE_MMAP -DUSE_MUNMAP \
		-DHANDLE_FORK -DALL_INTERIOR_POINTERS -D_REENTRANT -DNO_EXECUTE_PERMISSION -DGC_DLL \
		-DHAVE_PTHREAD_SETNAME_NP_WITH_TID -DGC_VISIBILITY_HIDDEN_SET -DHAVE_DL_ITERATE_PHDR \
		"$@" -o "$to/libgc.so.1" "$from/extra/gc.c" -lpthread -ldl >"$dir/compile.log" 2>&1
}

# break_rule NAME EXPRESSION [VAR=VALUE...] -- PROGRAM...: sed's expression must change the
# source, and then objects must be lost
break_rule()
{
	local name=$1 expression=$2

	shift 2
	sed -i.whole "$expression" "$dir/src/os_dep.c"
	if cmp -s "$dir/src/os_dep.c" "$dir/src/os_dep.c.whole"; then
		fail "broken rule: $name: the source has no such line"
	elif ! compile "$dir/src" "$dir/broken" -DUFFD_ASYNC_VDB; then
		fail "broken rule: $name: does not compile: $(grep -m 1 error "$dir/compile.log")"
	else
		on "$dir/broken" "$@"
		loses "broken rule: $name"
	fi
	mv "$dir/src/os_dep.c.whole" "$dir/src/os_dep.c"
}

check_rules()
{
	cp -a "$prefix/unpacked/src" "$dir/src"
	break_rule 'what is not registered counts as clean' \
		's/= ASYNC_SCAN_WP_MATCHING | ASYNC_SCAN_CHECK_WPASYNC;/= ASYNC_SCAN_WP_MATCHING;/' \
		-- "${torture[@]}"
	break_rule 'a range whose scan failed counts as clean' \
		's/^      async_set_grungy_pages(start, limit);/      ;/' \
		LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=scan -- "${torture[@]}"
	break_rule 'after a full buffer, the rest counts as clean' \
		's/if (n < ASYNC_REGIONS)$/if (n <= ASYNC_REGIONS)/; s/^# define ASYNC_REGIONS 512/# define ASYNC_REGIONS 8/' \
		-- "${torture[@]}"
	break_rule 'a child process uses what its parent opened' \
		's/if (!async_buf -> here || async_reopen)/if (async_reopen)/; s/^          uffd_async_update_child();/          ;/; s/MADV_WIPEONFORK/MADV_NORMAL/' \
		-- "${torture[@]}" -f
	break_rule 'no trial' 's/uffd_async_on = async_works();/uffd_async_on = TRUE;/' \
		LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=blind -- "${torture[@]}"
	break_rule 'roots count as clean' 's/; (int)i < n_root_sets; ++i)/; (int)i < 0; ++i)/' \
		-- "$bin/roots" "$bin/.libs/rootmod.so"
}

# ---- Issue 949 of the head --------------------------------------------------------------

# built_head NAME [PATCH]: its synchronous mode, with a patch or without
built_head()
{
	cp -a "$head" "$dir/$1"
	if [[ -n ${2:-} ]]; then
		awk -v file=os_dep.c -f "$patches/apply.awk" "$2" "$head/os_dep.c" >"$dir/$1/os_dep.c" || return 1
	fi
	compile "$dir/$1" "$dir/$1-lib"
}

check_head()
{
	local patch=("$patches"/8.3.0/04-*.patch)

	if [[ -z $head ]]; then
		skip "patch 04: the source of libgc's head is not here (LIBGC_HEAD)"
		return
	fi
	if ! built_head head-as-it-is || ! built_head head-with-04 "${patch[0]}" ||
		! ${CC:-cc} -O2 -w -D_GNU_SOURCE -I "$head/include" -o "$dir/lostwrite" "$source/tests/boehm/lostwrite.c" \
			-L "$dir/head-with-04-lib" -l:libgc.so.1 -lpthread -ldl 2>"$dir/out"; then
		fail "libgc's head does not compile: $(grep -m 1 error "$dir/compile.log")"
		return
	fi
	on "$dir/head-with-04-lib" LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=lag -- "$dir/lostwrite"
	if [[ $got == 0 && $(value lost:) == 0 ]] && grep -q 'Using Linux userfaultfd' "$dir/out"; then
		pass 'patch 04: lost 0'
	else
		fail "patch 04: status $got, lost $(value lost:)"
	fi
	on "$dir/head-as-it-is-lib" LD_PRELOAD="$dir/breakuffd.so" BREAK_UFFD=lag -- "$dir/lostwrite"
	if [[ $(value lost:) -gt 0 ]]; then
		pass "control: the head without it: lost $(value lost:), in $(value late:) of $(value rounds:) windows"
	else
		fail 'control: the head without it loses nothing'
	fi
}

# ------------------------------------------------------------------------------------------

printf 'check-async: seed %s\n' "$seed"
# Reuses the builds of check-patches.sh.
for place in "$build/libgc-patches/all" "$build/libgc/async"; do
	[[ -n $prefix ]] || ! grep -qs '^03-' "$place/series" || prefix=$place
done
if [[ -z $prefix ]]; then
	prefix=$build/libgc/async
	"$patches/build.sh" --cache="$build/libgc-patches/cache" --patches=03 "$prefix" || exit 1
fi
grep -qs '^03-' "$prefix/series" || {
	echo "check-async: $prefix has no libgc with patch 03" >&2
	exit 1
}
libs=$prefix/lib
if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -fPIC -shared -I "$source" -I "$source/include" -I "$build" \
	-o "$dir/breakuffd.so" "$source/tests/boehm/breakuffd.c" -ldl; then
	echo 'check-async: breakuffd.c does not compile' >&2
	exit 1
fi
if check_sound; then
	check_failures
	check_rules
fi
check_head
echo "libgc: $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
