#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END'
Usage: make check-libgc [LIBGC='SUITE...']
       check-libgc.sh --build=BUILDDIR [SUITE...] | --help

The tests of the Boehm adapter on the libgc of other Debian suites (default: trixie;
bullseye has 8.0, sid the newest). The packages are fetched and unpacked in
BUILDDIR/libgc/SUITE, nothing is installed; where a libgc wants a newer C library than
the one here, that is fetched too, and the tests run on it. The project is configured
anew with PKG_CONFIG_PATH and built against it. All that was printed:
BUILDDIR/libgc/SUITE/*.log.
END
}

say()
{
	printf 'check-libgc: %s\n' "$*"
}

build='' suites=()
for arg; do
	case $arg in
	--build=*) build=${arg#*=} ;;
	--help)
		usage
		exit 0
		;;
	-*)
		say "unknown option \"$arg\", see --help" >&2
		exit 2
		;;
	*) suites+=("$arg") ;;
	esac
done
[[ -n $build ]] || {
	usage >&2
	exit 2
}
((${#suites[@]} > 0)) || suites=(trixie)
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$build/libgc/cache
jobs=$(nproc)
passed=0 failed=0 skipped=0

# unpack SUITE PACKAGE ROOT
unpack()
{
	local deb

	deb=$("$source/tests/kernels/fetch.sh" "$cache" "$(dpkg --print-architecture)" "$1" "$2" |
		tail -n 1) && [[ -n $deb ]] && dpkg -x "$deb" "$3"
}

# The newest version of the C library that an object asks for, and the one here.
wanted_libc()
{
	objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1 | cut -d_ -f2
}

host_libc()
{
	getconf GNU_LIBC_VERSION | cut -d' ' -f2
}

# prepare SUITE: unpacks; sets root, libs, ldflags
prepare()
{
	local suite=$1 wanted here loader triplet

	root=$build/libgc/$suite/root
	rm -rf "$build/libgc/$suite"
	mkdir -p "$root"
	unpack "$suite" libgc1 "$root" && unpack "$suite" libgc-dev "$root" || return 1
	triplet=$(gcc -print-multiarch)
	libs=$root/usr/lib/$triplet
	sed -i "s#^prefix=.*#prefix=$root/usr#" "$libs/pkgconfig/bdw-gc.pc" || return 1
	ldflags="-Wl,-rpath,$libs"
	wanted=$(wanted_libc "$libs/libgc.so.1") here=$(host_libc)
	if [[ $(printf '%s\n' "$wanted" "$here" | sort -V | tail -n 1) != "$here" ]]; then
		say "$suite: its libgc wants glibc $wanted, here is $here: fetched too"
		unpack "$suite" libc6 "$root" || return 1
		loader=$(find "$root" -name 'ld-linux*.so.*' -type f | head -n 1)
		[[ -n $loader ]] || return 1
		ldflags+=" -Wl,--dynamic-linker=$loader -Wl,--allow-shlib-undefined"
	fi
}

boehm_tests()
{
	make -s --no-print-directory -f - print-tests <<'END'
include Makefile
print-tests:
	@echo $(filter tests/boehm/%,$(TESTS))
END
}

# In the new build directory.
build_it()
{
	PKG_CONFIG_PATH=$libs/pkgconfig "$source/configure" --without-jemalloc LDFLAGS="$ldflags" &&
		make -j "$jobs" && make -j "$jobs" check TESTS=
}

count()
{
	sed -nE "s/^# $1: +([0-9]+)$/\1/p" "$2" | tail -n 1
}

run_suite()
{
	local suite=$1 dir=$build/libgc/$1 version

	if ! prepare "$suite" >"$build/libgc/$suite.log" 2>&1; then
		say "$suite: FAIL: its packages could not be had"
		sed 's/^/    /' "$build/libgc/$suite.log" | tail -n 10
		((failed += 1))
		return
	fi
	grep '^check-libgc:' "$build/libgc/$suite.log"
	version=$(sed -n 's/^Version: //p' "$libs/pkgconfig/bdw-gc.pc")
	say "$suite: libgc $version: building"
	mkdir -p "$dir/build"
	if ! (cd "$dir/build" && build_it) >"$dir/build.log" 2>&1; then
		say "$suite: FAIL: no build, see $dir/build.log"
		tail -n 10 "$dir/build.log" | sed 's/^/    /'
		((failed += 1))
		return
	fi
	say "$suite: libgc $version: testing"
	(cd "$dir/build" && make check TESTS="$(boehm_tests)") >"$dir/check.log" 2>&1
	if ! grep -q '^# TOTAL: ' "$dir/check.log"; then
		say "$suite: FAIL: the tests did not run, see $dir/check.log"
		((failed += 1))
		return
	fi
	passed=$((passed + $(count PASS "$dir/check.log")))
	skipped=$((skipped + $(count SKIP "$dir/check.log")))
	failed=$((failed + $(count FAIL "$dir/check.log") + $(count ERROR "$dir/check.log")))
	grep -E '^(PASS|FAIL|SKIP|ERROR): ' "$dir/check.log" | sed "s/^/libgc $version: /"
	cat "$dir"/build/tests/boehm/*.log | sed -nE 's/^([0-9]+ passed, [0-9]+ failed, [0-9]+ skipped)$/\1/p' |
		awk '{ p += $1; f += $3; s += $5 } END { print "# inside the scripts: " p " passed, " f " failed, " s " skipped" }'
}

mkdir -p "$cache"
for suite in "${suites[@]}"; do
	run_suite "$suite"
done
echo "libgc: $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
