# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What demo.sh and the test share. Sourced, never run. Wants $builddir; a scratch
# folder that goes at the end is $scratch.

builddir=${builddir:?}
snapshot=$builddir/examples/snapshot/snapshot
preload=$builddir/examples/snapshot/.libs/preload.so
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-snapshot-XXXXXX") || exit 1
pids=()

clean_up()
{
	local pid

	for pid in "${pids[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill -KILL "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# host DIR COMMAND...: starts a program with the object preloaded; dumps go to DIR. Its
# process id is $host. SNAPSHOT_BREAK and the like come from the caller's environment.
host()
{
	local dir=$1

	shift
	mkdir -p "$dir"
	env LD_PRELOAD="$preload" SNAPSHOT_DIR="$dir" SNAPSHOT_CHECK=1 \
		"$@" >"$dir/output" 2>&1 </dev/null &
	host=$!
	pids+=("$host")
	wait_for "$dir" 1
}

# wait_for DIR LINES: until the log has LINES lines; fails after 30 s, or when the log shows a
# failure.
wait_for()
{
	local i

	for ((i = 0; i < 3000; i++)); do
		if [[ -s $1/log ]]; then
			grep -E 'failed|no snapshots' "$1/log" && return 1
			(($(wc -l <"$1/log") >= $2)) && return 0
		fi
		sleep 0.01
	done
	echo "no snapshot within 30 s: $1"
	return 1
}

# snap DIR N: takes the dump of that number.
snap()
{
	echo snap >"$1/control"
	wait_for "$1" $(($2 + 2))
}

# field DIR N NAME: NAME=VALUE from the log's line of dump N.
field()
{
	sed -nE "s/^$2 .* $3=([0-9]+).*/\\1/p" "$1/log"
}

# differing DIR N: restores dumps 0 to N and compares the image with the reference of
# N page by page. Sets $compared and $differ.
# shellcheck disable=SC2034
differing()
{
	local dir=$1 number text

	number=$(printf '%03d' "$2")
	"$snapshot" restore -o "$dir/image" $(seq -f "$dir/dump-%03g" 0 "$2") || return 1
	text=$("$snapshot" compare "$dir/image" "$dir/ref-$number")
	(($? <= 1)) || return 1
	read -r compared _ _ differ _ <<<"$text"
}
