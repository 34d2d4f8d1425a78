#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fetches libgc's source package from Debian and unpacks it: fetch.sh CACHE VERSION DIR.
set -euo pipefail
# shellcheck source=gc-glue/boehm/libgc/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

cache=$(mkdir -p "$1" && cd "$1" && pwd) version=$2 dir=$3

fail()
{
	echo "fetch.sh: $*" >&2
	exit 1
}

case $version in
8.2.2) suite=bookworm ;;
8.2.8) suite=trixie ;;
*) suite=sid ;;
esac
apt=$cache/apt-source-$suite
for tool in apt-get dpkg-source; do
	command -v $tool >/dev/null ||
		fail "$tool is not here: unpack libgc $version yourself, and name its directory with --source=DIR"
done

find_dsc()
{
	[[ ! -d $apt ]] || find "$apt" -maxdepth 1 -name "libgc_$version-*.dsc" | sort -V | tail -n 1
}

download()
{
	local has

	use_apt "$apt" deb-src http://deb.debian.org/debian "$suite"
	apt-get -c "$apt/apt.conf" update -qq >&2 || fail "Debian's list of packages could not be had"
	has=$(apt-get -c "$apt/apt.conf" source --print-uris libgc 2>/dev/null |
		sed -nE 's/.* libgc_(.*)-[^-]*\.dsc .*/\1/p' | head -n 1)
	[[ $has == "$version" ]] || fail "Debian's suite $suite has libgc ${has:-nowhere}, not $version"
	(cd "$apt" && apt-get -c apt.conf source -qq --download-only libgc >&2) ||
		fail "libgc $version could not be fetched"
}

[[ -n $(find_dsc) ]] || download
rm -rf "$dir"
dpkg-source --no-check -x "$(find_dsc)" "$dir" >&2
