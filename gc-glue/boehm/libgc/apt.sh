# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# apt with state, lists and cache in a folder of our own: nothing is installed, and the host's stay
# as they are. It checks what it fetches against Debian's signature. Sourced, never run.

# use_apt FOLDER TYPE ARCHIVE SUITE [ARCHITECTURE]: writes FOLDER/apt.conf. The host's apt.conf.d is
# read first, because it may name a proxy. Its hooks are not for us.
use_apt()
{
	local apt=$1

	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	: >"$apt/status"
	echo "$2 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $3 $4 main" >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
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
	[[ -z ${5:-} ]] || cat >>"$apt/apt.conf" <<-END
		#clear APT::Architectures;
		APT::Architecture "$5";
		APT::Architectures { "$5"; };
	END
}
