#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fetches a Debian 12 package of any architecture and prints the .deb's path:
# fetch.sh CACHE ARCHITECTURE SUITE PACKAGE. Of a package that only depends on the
# one for the current version (linux-image-cloud-amd64) that one. Nothing is
# installed, and apt's state, lists and cache are a folder of our own: the host's
# stay as they are.
set -euo pipefail

cache=$(mkdir -p "$1" && cd "$1" && pwd) arch=$2 suite=$3 package=$4
apt=$cache/apt-$arch-$suite
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

archive=http://deb.debian.org/debian
[[ $suite != *-security ]] || archive=http://deb.debian.org/debian-security

# The host's apt.conf.d is read first, for the sake of proxies. Its hooks are not
# for us.
write_configuration()
{
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	: >"$apt/status"
	echo "deb [signed-by=$keyring] $archive $suite main" >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		#clear APT::Architectures;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Dir::Cache "$apt/cache";
		Dir::State "$apt";
		Dir::State::status "$apt/status";
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
	END
}

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

write_configuration
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
