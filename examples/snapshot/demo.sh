#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# examples/snapshot/demo.sh [BUILDDIR [INCREMENTS]]
#
# Takes incremental dumps of an unmodified Redis server under load, and proves them: each is
# restored and compared byte for byte with a full dump of the same instant. Then breaks the dumper
# in two ways, and the comparison must notice. Needs redis-server and redis-tools. Exit status 0
# if all held.
set -u
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
builddir=$(cd "${1:-$root/build}" && pwd) || exit 1
cd "$root" || exit 1
increments=${2:-10}
. examples/snapshot/common.sh
host=0 compared=0 differ=0 bad=0

for tool in redis-server redis-cli redis-benchmark; do
	command -v "$tool" >/dev/null || {
		echo "no $tool here: apt-get install redis-server redis-tools"
		exit 77
	}
done
[[ -x $snapshot && -f $preload ]] ||
	make -C "$builddir" examples/snapshot/snapshot examples/snapshot/preload.la >/dev/null || exit 1

redis()
{
	redis-cli -s "$dir/socket" "$@"
}

# start DIR: a server with some data, and a load that goes on.
start()
{
	dir=$1
	host "$dir" redis-server --port 0 --unixsocket "$dir/socket" --dir "$dir" \
		--save '' --appendonly no || return 1
	for ((i = 0; i < 500; i++)); do
		[[ $(redis ping 2>/dev/null) == PONG ]] && break
		sleep 0.01
	done
	redis-benchmark -s "$dir/socket" -q -n 100000 -r 100000 -d 400 -t set >/dev/null || return 1
	timeout 120 redis-benchmark -s "$dir/socket" -q -n 3000000 -r 20000 -d 100 -c 4 \
		-t set,get,lpush,hset,incr >/dev/null 2>&1 &
	load=$!
	pids+=("$load")
}

stop()
{
	kill "$load" 2>/dev/null
	redis shutdown nosave >/dev/null 2>&1
	wait "$host" || { echo "redis-server ended with status $?"; bad=1; }
}

echo "redis-server $(redis-server --version | sed -nE 's/.* v=([0-9.]+).*/\1/p') under load," \
	"one full dump and $increments increments:"
echo
start "$scratch/sound" || exit 1
for ((k = 0; k <= increments; k++)); do
	snap "$dir" "$k" || exit 1
	# A fork by the server itself does no harm.
	((k == increments / 2)) && redis bgsave >/dev/null
	sleep 0.2
done
requests=$(redis info stats | sed -nE 's/^total_commands_processed:([0-9]+).*/\1/p')
keys=$(redis dbsize)
stop
echo "  dump   written, KiB   full, KiB   of it   collect   clone   dump, ms   differing pages"
for ((k = 0; k <= increments; k++)); do
	differing "$dir" "$k" || exit 1
	bytes=$(field "$dir" "$k" bytes)
	full=$(stat -c %s "$dir/ref-$(printf '%03d' "$k")")
	printf '  %4d %14d %11d %5d %% %6.1f ms %4.1f ms %10d   %d of %d\n' "$k" $((bytes >> 10)) \
		$((full >> 10)) $((100 * bytes / full)) \
		"$(field "$dir" "$k" collect_us)e-3" "$(field "$dir" "$k" clone_us)e-3" \
		$(($(field "$dir" "$k" dump_us) / 1000)) "$differ" "$compared"
	((differ == 0 && compared > 0)) || bad=1
done
echo
echo "  $requests commands served, $keys keys"
rm -rf "$dir"

for broken in lose-a-run look-too-early; do
	export SNAPSHOT_BREAK=$broken
	start "$scratch/$broken" || exit 1
	unset SNAPSHOT_BREAK
	differ=0
	for ((k = 0; k <= 10 && differ == 0; k++)); do
		snap "$dir" "$k" || exit 1
		differing "$dir" "$k" || exit 1
		sleep 0.1
	done
	stop
	if ((differ > 0)); then
		echo "  broken on purpose ($broken): $differ of $compared pages differ in dump" \
			"$((k - 1)), as it must be"
	else
		echo "  broken on purpose ($broken): nothing noticed, so the comparison proves nothing"
		bad=1
	fi
	rm -rf "$dir"
done
echo
((bad == 0)) && echo "All dumps restored exactly." || echo "FAILED"
exit "$bad"
