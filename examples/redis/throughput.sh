#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# examples/redis/throughput.sh [BUILDDIR [BLOCKS [REQUESTS]]]
#
# What tracking costs redis-server: requests a second with all of its arenas under watch and a
# collect every 100 ms, against the same server as it is. Each block runs the server as it is,
# once more as it is (the control: its ratio should be 1), and tracked, in turning order. Prints
# the median of the blocks' ratios, an interval of at least 95 % for it, and what was counted. On
# a busy machine the ratio of processor time is more reliable than that of requests a second.
# Needs redis-server and redis-tools.
set -u
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
builddir=$(cd "${1:-$root/build}" && pwd) || exit 1
blocks=${2:-9} requests=${3:-40000}
tests=set,get,lpush,hset,zadd
. "$root/examples/redis/common.sh"
unset CARDMARK_VERIFY CARDS_DROP
export CARDS_INTERVAL_MS=100

why=$(why_not)
[[ -z $why ]] || {
	echo "$why"
	exit 77
}
[[ -f $preload ]] || make -C "$builddir" examples/redis/preload.la >/dev/null || exit 1
[[ $blocks =~ ^[0-9]+$ && $requests =~ ^[0-9]+$ ]] && ((blocks >= 6 && requests >= 1000)) || {
	echo "BLOCKS must be at least 6, or no interval has 95 %; REQUESTS at least 1000"
	exit 2
}

# Page faults and processor time of the server so far.
usage()
{
	awk -v hz="$(getconf CLK_TCK)" '{ print $10, ($14 + $15) / hz }' "/proc/$server/stat"
}

# run BLOCK ARM: one server, filled and then measured. Appends to $scratch/results: block, arm,
# requests a second, seconds, page faults and processor time of the server.
run()
{
	local before used

	start "$1-$2" '' "$([[ $2 == tracked ]] && echo "$preload")" || {
		cat "$dir/log"
		exit 1
	}
	load "$requests" set,lpush,hset,zadd >/dev/null || exit 1
	before=$(usage)
	load "$requests" "$tests" >"$dir/csv" || exit 1
	used="$before $(usage)"
	stop || exit 1
	awk -F'"' -v block="$1" -v arm="$2" -v n="$requests" -v used="$used" '
		$4 + 0 > 0 { seconds += n / $4; tests++ }
		END {
			split(used, u, " ")
			print block, arm, tests * n / seconds, seconds, u[3] - u[1], u[4] - u[2]
		}' "$dir/csv" >>"$scratch/results"
	[[ $2 == tracked ]] && cat "$dir/counts" >>"$scratch/counts"
	rm -rf "$dir"
}

arms=(plain again tracked)
for ((b = 0; b < blocks; b++)); do
	for ((k = 0; k < 3; k++)); do
		run "$b" "${arms[(b + k) % 3]}"
	done
	[[ ! -t 2 ]] || printf 'block %d of %d\r' $((b + 1)) "$blocks" >&2
done

echo "$(redis-server --version | sed -nE 's/.*(v=[0-9.]+).*malloc=([^ ]+).*/redis-server \1, \2/p')," \
	"Linux $(uname -r), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs," \
	"load average $(cut -d' ' -f1 /proc/loadavg)"
echo "$blocks blocks, $requests requests each of $tests, 8 clients, pipelines of 4"
awk '
function sort_it(v, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
}
function median(v, n) { return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
# The k-th smallest and largest enclose the median unless fewer than k are on one side.
function edge(n,    k, p, sum) {
	p = 0.5 ^ n
	for (k = 0; sum + p <= 0.025; k++) {
		sum += p
		p = p * (n - k) / (k + 1)
	}
	return k
}
function tell(name, of, arm,    b, n, v, k) {
	for (b = 0; (b, arm, of) in value; b++)
		v[++n] = value[b, arm, of] / value[b, "plain", of]
	sort_it(v, n)
	k = edge(n)
	printf "%-30s %.3f (%.3f to %.3f)\n", name, median(v, n), v[k], v[n + 1 - k]
}
function typical(of, arm,    b, n, v) {
	for (b = 0; (b, arm, of) in value; b++)
		v[++n] = value[b, arm, of]
	sort_it(v, n)
	return median(v, n)
}
function tell_all(of, what, format) {
	printf "%s, median: plain " format ", again " format ", tracked " format "\n", what,
		typical(of, "plain"), typical(of, "again"), typical(of, "tracked")
}
FILENAME ~ /results$/ {
	value[$1, $2, "rate"] = $3
	value[$1, $2, "faults"] = $5
	value[$1, $2, "cpu"] = $6
	next
}
{ split($0, f, "="); sum[f[1]] += f[2] }
END {
	tell_all("rate", "requests a second", "%.0f")
	tell("  again / plain", "rate", "again")
	tell("  tracked / plain", "rate", "tracked")
	tell_all("cpu", "processor time of the server, s", "%.2f")
	tell("  again / plain", "cpu", "again")
	tell("  tracked / plain", "cpu", "tracked")
	tell_all("faults", "its page faults", "%d")
	r = sum["rounds"]
	if (r == 0)
		exit 1
	printf "%d collects: each stopped the world for %.2f ms, %.2f ms of them in the kernel and the tracker,\n",
		r, sum["stopped_us"] / r / 1e3, sum["collect_ns"] / r / 1e6
	printf "  and found %.0f dirty cards in %.0f runs by %.1f kernel calls\n", sum["walked_cards"] / r,
		sum["runs"] / r, sum["kernel_calls"] / r
	printf "hooks: alloc %d, dalloc %d, decommit %d, purge_forced %d; track failed %d\n", sum["alloc"],
		sum["dalloc"], sum["decommit"], sum["purge_forced"], sum["track_failed"]
}' "$scratch/results" "$scratch/counts"
