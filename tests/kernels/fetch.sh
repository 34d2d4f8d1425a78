#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fetches a Debian 12 package of any architecture and prints the .deb's path:
# fetch.sh CACHE ARCHITECTURE SUITE PACKAGE. Of a package that only depends on the
# one for the current version (linux-image-cloud-amd64) that one.
set -euo pipefail
# shellcheck source=gc-glue/boehm/libgc/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../gc-glue/boehm/libgc/apt.sh"

cache=$(mkdir -p "$1" && cd "$1" && pwd) arch=$2 suite=$3 package=$4
apt=$cache/apt-$arch-$suite
archive=http://deb.debian.org/debian
[[ $suite != *-security ]] || archive=http://deb.debian.org/debian-security

# Once a run is enough. Without a network the lists of the last time will do, if
# what they name is here too.
update()
{
	[[ ${CARDMARK_FETCH_RUN:-} != "" && -e $apt/updated-$CARDMARK_FETCH_RUN ]] && return
	rm -f "$apt"/updated-*
	apt-get -c "$apt/apt.conf" update -qq >&2 ||
		echo "fetch.sh: apt-get update failed: going on with what is here" >&2
	[[ ${CARDMARK_FETCH_RUN:-} == "" ]] || : >"$apt/updated-$CARDMARK_FETCH_RUN"
}

use_apt "$apt" deb "$archive" "$suite" "$arch"
update
real=$(apt-cache -c "$apt/apt.conf" depends "$package" |
	sed -nE 's/^ +Depends: (linux-image-[^ ]+)$/\1/p' | head -n 1)
real=${real:-$package}
deb=$(apt-get -c "$apt/apt.conf" download --print-uris "$real" | awk '{ print $2; exit }')
if [[ -z $deb ]]; then
	echo "fetch.sh: $suite has no package $package for $arch" >&2
	exit 1
fi
mkdir -p "$cache/debs"
cd "$cache/debs"
[[ -e $deb ]] || apt-get -c "$apt/apt.conf" download -qq "$real" >&2
printf '%s\n' "$cache/debs/$deb"
