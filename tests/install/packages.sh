#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Description: the Debian packages are built from a clean copy of the tree, lintian finds nothing
# in them that debian/ does not explain, and what is installed from them works: the tests of
# debian/tests. Control: before the packages are installed, those tests fail.
# packages.sh TREE: takes minutes: the row packages of .ci/run, not make check.
# The packages are installed in a copy of this system that is thrown away (an overlay, for root),
# or else only unpacked. DEB_BUILD_OPTIONS=nocheck leaves out the tests of the build.
set -u
# shellcheck source=tests/install/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

# run_tests COMMAND...: each of debian/tests, through COMMAND.
run_tests()
{
	local test bad=0
	for test in library command; do
		if (cd "$work/src" && "$@" "debian/tests/$test") >"$work/$test.log" 2>&1; then
			echo "ok: debian/tests/$test"
		else
			echo "not ok: debian/tests/$test"
			tail -n 20 "$work/$test.log" | sed 's/^/  /'
			bad=$((bad + 1))
		fi
	done
	return $bad
}

# ---- In a copy of this system: a second run of this script, in a mount namespace ------------

in_overlay()
{
	local root=$work/overlay/root

	mkdir -p "$work/overlay" && mount -t tmpfs none "$work/overlay" &&
		mkdir "$work/overlay/"{upper,work,root} &&
		mount -t overlay overlay -o "lowerdir=/,upperdir=$work/overlay/upper,workdir=$work/overlay/work" \
			"$root" &&
		mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" &&
		mkdir -p "$root$work" && mount --rbind "$work/packages" "$root/mnt" || return 77
	cp -r "$work/src" "$root/srv/src" || return 77
	# What somebody installed by hand there is not what is tested.
	rm -rf "$root"/usr/local/{bin/cardmark,lib/libcardmark*,lib/pkgconfig/libcardmark*,include/cardmark}
	inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C sh -c 'cd /srv/src && exec "$@"' sh "$@"; }
	inside ldconfig
	run_tests inside >"$work/control.log"
	[[ $? == 2 ]] || { cat "$work/control.log" && fail "control: without the packages the tests must fail"; }
	inside sh -c 'dpkg -i /mnt/*.deb' >"$work/dpkg.log" 2>&1 ||
		{ tail "$work/dpkg.log" && fail "the packages cannot be installed"; }
	run_tests inside || fail "the installed packages do not work"
	inside cardmark bench programs --program=trees --blocks=1 --size=2 --live-mb=8 --json=/root/x.json \
		>"$work/bench.log" 2>&1 || { cat "$work/bench.log" && fail "cardmark bench"; }
	inside sh -c 'dpkg --purge cardmark-bench cardmark libcardmark-doc libcardmark-dev libcardmark-gc1 libcardmark-jemalloc1 libcardmark1' \
		>"$work/dpkg.log" 2>&1 || { tail "$work/dpkg.log" && fail "the packages cannot be purged"; }
	return $failed
}

if [[ ${2-} == --in-overlay ]]; then
	trap - EXIT
	rm -rf "$work"
	work=$3
	in_overlay
	exit
fi

# ---- Only unpacked ---------------------------------------------------------------------------

unpacked()
{
	local root=$work/root libdir package

	for package in "$work"/packages/*.deb; do
		dpkg-deb -x "$package" "$root" || return 1
	done
	libdir=$(dirname "$(find "$root" -name libcardmark.so)")
	run_tests env PATH="$root/usr/bin:$PATH" LD_LIBRARY_PATH="$libdir" \
		PKG_CONFIG_PATH="$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root" \
		CMAKE_PREFIX_PATH="$root/usr" CARDMARK_PRELOAD="$libdir/libcardmark/libcardmark-preload.so"
}

# ---- All -------------------------------------------------------------------------------------

copy_tree "$work/src"
mkdir "$work/packages"
if ! (cd "$work/src" && dpkg-buildpackage -us -uc) >"$work/build.log" 2>&1; then
	tail -n 40 "$work/build.log"
	fail "dpkg-buildpackage"
	exit 1
fi
grep -E '^# (TOTAL|PASS|SKIP|FAIL|ERROR)' "$work/build.log"
grep 'dpkg-gensymbols: warning' "$work/build.log" && fail "debian/*.symbols"
ls "$work"/*.deb
mv "$work"/*.deb "$work/packages/"
rm -f "$work"/packages/*-dbgsym_*
if command -v lintian >/dev/null; then
	# Not --show-overrides: its status then counts what is explained as an error.
	lintian --allow-root --fail-on error,warning "$work"/packages/*.deb "$work"/*.dsc ||
		fail "lintian"
else
	echo "# skipped: lintian is not installed"
fi
if ((EUID == 0)); then
	unshare -m "${BASH_SOURCE[0]}" "$src" --in-overlay "$work"
	case $? in
	0) ;;
	77)
		echo "# no overlay can be mounted here: the packages are only unpacked"
		unpacked || fail "the unpacked packages do not work"
		;;
	*) failed=1 ;;
	esac
else
	unpacked || fail "the unpacked packages do not work"
fi
exit $failed
