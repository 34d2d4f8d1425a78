#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Description: the files of a library, and those of the command, call each other in one direction.
# A call that closes a circle fails. Control: a circle that is put in is found.
set -u
export LC_ALL=C
build=${CARDMARK_BUILDDIR:?run by make check}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

check()
{
	if "${@:2}"; then
		echo "ok: $1"
	else
		echo "not ok: $1"
		failed=1
	fi
}

# calls OBJECT...: a line for each file that uses a symbol of another one, the user first. Folders
# stay in the names: two of them may have a file of one name.
calls()
{
	nm -A "$@" | awk -v build="$build/" '{
		split($0, part, ":")
		file = substr(part[1], length(build) + 1)
		sub(/[a-z]*_la-/, "", file)
		if ($(NF - 1) ~ /^[TDBRVWC]$/)
			of[$NF] = file
		else if ($(NF - 1) == "U")
			uses[file " " $NF]
	}
	END {
		for (u in uses) {
			split(u, part, " ")
			if (part[2] in of && of[part[2]] != part[1] && !seen[part[1], of[part[2]]]++)
				print part[1], of[part[2]]
		}
	}'
}

# is_one_way CALLS: prints the files that are in a circle.
is_one_way()
{
	tsort "$1" 2>&1 >/dev/null | sed -n 's/^tsort: /  /p' >"$work/circle"
	cat "$work/circle"
	[[ ! -s $work/circle ]]
}

is_found()
{
	! is_one_way "$1" >/dev/null
}

# look_at ROOM PATTERN: the objects of that name, unless this build leaves the room out.
look_at()
{
	local room=$1 pattern=$2 objects

	mapfile -t objects < <(find "$build/$room" -name "$pattern" ! -path '*/.libs/*')
	((${#objects[@]} > 0)) || return 0
	calls "${objects[@]}" >"$work/calls"
	check "$room: ${#objects[@]} files, $(wc -l <"$work/calls") calls between them" test -s "$work/calls"
	check "$room: no circle" is_one_way "$work/calls"
	awk 'NR == 1 { print $2, $1 } { print }' "$work/calls" >"$work/broken"
	check "$room: a call the other way round is found" is_found "$work/broken"
}

look_at lib 'libcm_la-*.o'
look_at gc-glue/boehm 'libcmgc_la-*.o'
look_at gc-glue/jemalloc 'libcmje_la-*.o'
look_at tools 'cardmark-*.o'
look_at bench/micro '*.o'
exit "$failed"
