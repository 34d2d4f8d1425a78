#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END_OF_TEXT'
Usage: build.sh [OPTION]... PREFIX
Takes the source of libgc, applies our patches, builds it, and installs it in PREFIX,
for programs that are started by cardmark run --libgc=PREFIX. Nothing else on the
system changes.

  --version=V     the source package of this version, from Debian (default: 8.2.2)
  --source=DIR    the source in DIR instead, which stays as it is
  --patches=LIST  all (default), none, or numbers: --patches='01 02'
  --off           applies the patches, but does not define their macros
  --define=MACRO  defines a macro more (MACRO=VALUE), in all files
  --check         runs libgc's own tests
  --work=DIR      where it is unpacked and built (default: PREFIX/unpacked)
  --cache=DIR     where packages are kept (default: WORK/cache)
  --list          names the patches
  --help

The exit status is 0, 1 for a failure, 2 for wrong usage.
END_OF_TEXT
}

say()
{
	printf 'libgc: %s\n' "$*"
}

fail()
{
	say "$*" >&2
	exit 1
}

wrong()
{
	say "$*, see --help" >&2
	exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=8.2.2 source='' patches=all off='' check='' work='' cache='' prefix='' list=''
defines=() more_defines=()
for arg; do
	case $arg in
	--version=*) version=${arg#*=} ;;
	--source=*) source=${arg#*=} ;;
	--patches=*) patches=${arg#*=} ;;
	--off) off=yes ;;
	--define=*) more_defines+=("-D${arg#*=}") ;;
	--check) check=yes ;;
	--work=*) work=${arg#*=} ;;
	--cache=*) cache=${arg#*=} ;;
	--list) list=yes ;;
	--help)
		usage
		exit 0
		;;
	-*) wrong "unknown option \"$arg\"" ;;
	*)
		[[ -z $prefix ]] || wrong "two prefixes: \"$prefix\" and \"$arg\""
		prefix=$arg
		;;
	esac
done

# The head of a patch has "Key: value" lines. Made-for: FILE SHA256, Macro: NAME.
values()
{
	sed -nE "/^---/q; s/^$1: +//p" "$2"
}

if [[ -n $list ]]; then
	for patch in "$here"/*/[0-9]*.patch; do
		printf '%s\n' "$(basename "$(dirname "$patch")")/$(basename "$patch"): $(values Subject "$patch")"
	done
	exit 0
fi

[[ -n $prefix ]] || wrong "no prefix is named"
mkdir -p "$prefix" || exit 1
prefix=$(cd "$prefix" && pwd)
mkdir -p "${work:=$prefix/unpacked}" || exit 1
work=$(cd "$work" && pwd)
cache=${cache:-$work/cache} src=$work/src
jobs=$(nproc)

# step NAME COMMAND...: all that it prints is in WORK/NAME.log
step()
{
	local name=$1

	shift
	"$@" >"$work/$name.log" 2>&1 && return
	tail -n 15 "$work/$name.log" | sed 's/^/    /' >&2
	fail "$name failed, see $work/$name.log"
}

take_source()
{
	rm -rf "$src" "$work/build"
	if [[ -n $source ]]; then
		[[ -f $source/mark.c ]] || fail "$source has no mark.c: it is not the source of libgc"
		say "source: $source"
		cp -a "$source" "$src" || exit 1
		version=$(sed -nE 's/^AC_INIT\(\[?gc\]?,\[?([0-9.]+).*/\1/p' "$src/configure.ac")
		[[ -n $version ]] || fail "$source/configure.ac does not say which version it is"
	else
		say "source: Debian's package of libgc $version"
		step fetch "$here/fetch.sh" "$cache" "$version" "$src"
	fi
}

# Sets `series` to the patches that were asked for.
choose()
{
	local number found dir=$here/$version

	series=()
	[[ $patches != none ]] || return 0
	[[ -d $dir ]] || fail "there are no patches for libgc $version (there are for: $(
		cd "$here" && echo [0-9]*/
	))"
	if [[ $patches == all ]]; then
		series=("$dir"/[0-9]*.patch)
		return
	fi
	for number in $patches; do
		found=("$dir/$number"-*.patch)
		[[ -f ${found[0]} ]] || fail "there is no patch \"$number\" for libgc $version, see --list"
		series+=("${found[0]}")
	done
}

# All are made for the files as they were released: checked before any of them is applied.
check_made_for()
{
	local patch file sum

	for patch in "${series[@]}"; do
		while read -r file sum; do
			[[ -f $src/$file ]] || fail "$(basename "$patch") changes $file, which this source does not have"
			[[ $(sha256sum <"$src/$file") == "$sum "* ]] ||
				fail "$(basename "$patch") was made for another $file than the one here: nothing is built"
		done < <(values Made-for "$patch")
	done
}

apply()
{
	local file patch macro

	for file in $(for patch in "${series[@]}"; do values Made-for "$patch" | cut -d' ' -f1; done | sort -u); do
		awk -v file="$file" -f "$here/apply.awk" "${series[@]}" "$src/$file" >"$work/patched" || exit 1
		cat "$work/patched" >"$src/$file" || exit 1
	done
	for patch in "${series[@]}"; do
		say "patch: $(basename "$patch" .patch)${off:+ (its macro is not defined)}"
		[[ -z $off ]] || continue
		for macro in $(values Macro "$patch"); do
			defines+=("-D$macro")
		done
	done
	defines+=("${more_defines[@]}") # may say another number than the patch
}

# As Debian configures it.
configure()
{
	local multiarch_options=(--enable-cplusplus --enable-shared --disable-static --disable-docs
		--disable-dependency-tracking --with-libatomic-ops=none)

	[[ -x $src/configure ]] || (cd "$src" && ./autogen.sh) || return 1
	# autoconf's files may look older than what they are made from after a copy
	touch "$src"/aclocal.m4 "$src"/configure "$src"/*/config.h.in "$src"/Makefile.in
	mkdir -p "$work/build" && cd "$work/build" &&
		"$src/configure" -q --prefix="$prefix" --libdir="$prefix/lib" "${multiarch_options[@]}" \
			CFLAGS="${CFLAGS:--O2 -g}" CPPFLAGS="${CPPFLAGS:-} ${defines[*]}"
}

run_tests()
{
	make -C "$work/build" -j "$jobs" check
}

take_source
choose
check_made_for
apply
say "building libgc $version${defines[*]:+ with ${defines[*]}}"
step configure configure
step make make -C "$work/build" -j "$jobs"
if [[ -n $check ]]; then
	say "its own tests"
	step check run_tests
	sed -nE 's/^# (TOTAL|PASS|SKIP|FAIL|ERROR): +([0-9]+)$/libgc: \1 \2/p' "$work/check.log" | paste -sd' '
fi
step install make -C "$work/build" install
{
	echo "libgc $version"
	for patch in "${series[@]}"; do
		basename "$patch" .patch
	done
} >"$prefix/series"
say "installed: $prefix/lib/libgc.so.1"
