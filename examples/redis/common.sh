# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What throughput.sh and the test share. Sourced, never run. Wants $builddir; a scratch
# folder that goes at the end is $scratch, the server that was started last $server.

builddir=${builddir:?}
preload=$builddir/examples/redis/.libs/preload.so
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cardmark-redis-XXXXXX") || exit 1
server='' dir=''

clean_up()
{
	[[ -z $server ]] || kill -KILL "$server" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# If Redis cannot be used here, prints the reason.
why_not()
{
	local tool

	for tool in redis-server redis-cli redis-benchmark; do
		command -v "$tool" >/dev/null || {
			echo "no $tool here: apt-get install redis-server redis-tools"
			return
		}
	done
	ldd "$(command -v redis-server)" | grep -q libjemalloc ||
		echo "the malloc of this redis-server is not the system's jemalloc"
}

redis()
{
	timeout 60 redis-cli -s "$dir/socket" "$@"
}

# start NAME CONF [PRELOAD]: a server with that MALLOC_CONF, its files in $dir. The huge arena of
# jemalloc is off: jemalloc makes it so late that it cannot be adopted empty.
start()
{
	local i

	dir=$scratch/$1
	mkdir -p "$dir"
	env ${3:+LD_PRELOAD="$3"} CARDS_OUT="$dir/counts" MALLOC_CONF="oversize_threshold:0${2:+,$2}" \
		redis-server --port 0 --unixsocket "$dir/socket" --dir "$dir" \
		--save '' --appendonly no --jemalloc-bg-thread yes >"$dir/log" 2>&1 </dev/null &
	server=$!
	for ((i = 0; i < 1000; i++)); do
		[[ $(redis ping 2>/dev/null) == PONG ]] && return 0
		kill -0 "$server" 2>/dev/null || return 1
		sleep 0.02
	done
	return 1
}

# Ends it; its status is the server's. The counts are in $dir/counts then.
stop()
{
	local status

	redis shutdown nosave >/dev/null 2>&1
	wait "$server"
	status=$?
	server=''
	return "$status"
}

# load REQUESTS TESTS: redis-benchmark prints a line for each.
load()
{
	timeout 300 redis-benchmark -s "$dir/socket" -q --csv -n "$1" -r "$1" -d 200 -c 8 -P 4 -t "$2"
}

# count NAME
count()
{
	sed -n "s/^$1=//p" "$dir/counts"
}
