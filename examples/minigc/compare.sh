#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# compare.sh [--blocks=N] [--seed=N] [--build=DIR] [PROGRAM:SIZE...]
# Runs programs with every barrier and prints a table for each. A block is one run of each row,
# and starts at another row each time. Ratios are to the first row of the same block, so that
# other work on the machine affects all of them. The second row repeats the first: its distance
# from 1 is the noise, and a smaller distance means nothing. Columns: CPU time of the whole run
# and of its pauses, and the median pause, as ratios; the median and the longest pause in ms; the
# part of a pause that finds dirty cards and looks at the old objects there; the number of cards.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../build
blocks=5
seed=1
programs=()
for arg; do
	case $arg in
	--blocks=*) blocks=${arg#*=} ;;
	--seed=*) seed=${arg#*=} ;;
	--build=*) build=${arg#*=} ;;
	*:*) programs+=("$arg") ;;
	*)
		sed -n 's/^# \(compare.sh .*\)/usage: \1/p' "$0" | head -n 1 >&2
		exit 2
		;;
	esac
done
((${#programs[@]} > 0)) || programs=(trees:15 updates:11 words:20 scatter:18 sparse:17)
minigc=$build/examples/minigc/minigc
[[ -x $minigc ]] || { echo "compare.sh: $minigc is not built: make check TESTS=" >&2; exit 1; }
scratch=$(mktemp -d "${TMPDIR:-/tmp}/minigc-compare-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

rows=(cardmark cardmark-again plain cards cards-4k oracle dirty none)

# one ROW PROGRAM SIZE SEED ARGUMENT...: appends "row name value" lines; the result is in out.
one()
{
	local row=$1 program=$2 size=$3 run_seed=$4 command=("$minigc" "--barrier=$1")
	shift 4
	case $row in
	cardmark-again) command=("$minigc" --barrier=cardmark) ;;
	plain) command=("$minigc-plain" --barrier=cardmark) ;;
	esac
	"${command[@]}" --stats --size="$size" --seed="$run_seed" "$here/$program.lisp" "$@" \
		>"$scratch/out" 2>"$scratch/err" || { cat "$scratch/err" >&2; exit 1; }
	awk -v row="$row" -v block="$block" '{ print block, row, $1, $2 }' "$scratch/err" \
		>>"$scratch/runs"
}

print_table()
{
	awk -v names="${rows[*]}" -v blocks="$blocks" '
	function sort(v, n,   i, k, t) {
		for (i = 2; i <= n; i++)
			for (k = i; k > 1 && v[k - 1] > v[k]; k--) {
				t = v[k]; v[k] = v[k - 1]; v[k - 1] = t
			}
	}
	# Of what(row, block) over all blocks: low, middle, high.
	function spread(n) {
		sort(v, n)
		middle = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	function ratio(row, name,   b) {
		for (b = 1; b <= blocks; b++)
			v[b] = x[b, row, name] / x[b, first, name]
		spread(blocks)
		return sprintf("%.2f [%.2f, %.2f]", middle, v[1], v[blocks])
	}
	function median(row, name,   b) {
		for (b = 1; b <= blocks; b++)
			v[b] = x[b, row, name]
		spread(blocks)
		return middle
	}
	{ x[$1, $2, $3] = $4 }
	END {
		n = split(names, row, " ")
		first = row[1]
		for (b = 1; b <= blocks; b++)
			for (i = 1; i <= n; i++) {
				r = row[i]
				# Where every collection is full, the full ones are the pauses.
				kind = x[b, r, "young"] > 0 ? "young" : "full"
				count = x[b, r, kind] > 0 ? x[b, r, kind] : 1
				x[b, r, "pause"] = x[b, r, kind "_p50_ns"]
				x[b, r, "find"] = (x[b, r, "cards_ns"] + x[b, r, "scan_ns"]) / count
				x[b, r, "dirty"] = x[b, r, "dirty_cards"] / count
				m = x[b, r, "young_max_ns"]
				x[b, r, "max"] = m > x[b, r, "full_max_ns"] ? m : x[b, r, "full_max_ns"]
			}
		print "| barrier | CPU time | in pauses | median pause | its ms | longest, ms |" \
			" finding, ms | dirty cards | young, full |"
		print "|---|---|---|---|---|---|---|---|---|"
		for (i = 1; i <= n; i++) {
			r = row[i]
			printf "| %s | %s | %s | %s | %.2f | %.1f | %.2f | %d | %d, %d |\n", r,
				ratio(r, "cpu_ns"), ratio(r, "pauses_cpu_ns"), ratio(r, "pause"),
				median(r, "pause") / 1e6, median(r, "max") / 1e6,
				median(r, "find") / 1e6, median(r, "dirty"),
				median(r, "young"), median(r, "full")
		}
	}' "$scratch/runs"
}

printf 'Linux %s, %s, %d CPUs, load %s; %d blocks, seeds from %d\n' "$(uname -r)" \
	"$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
	"$(cut -d ' ' -f 1-3 /proc/loadavg)" "$blocks" "$seed"
for spec in "${programs[@]}"; do
	program=${spec%%:*}
	size=${spec#*:}
	arguments=()
	if [[ $program == words ]]; then
		arguments=(/usr/share/common-licenses/*)
	fi
	: >"$scratch/runs"
	for ((block = 1; block <= blocks; block++)); do
		rm -f "$scratch/wanted"
		for ((i = 0; i < ${#rows[@]}; i++)); do
			one "${rows[(block + i) % ${#rows[@]}]}" "$program" "$size" \
				$((seed + block - 1)) "${arguments[@]}"
			[[ -e $scratch/wanted ]] || cp "$scratch/out" "$scratch/wanted"
			cmp -s "$scratch/out" "$scratch/wanted" ||
				{ echo "compare.sh: $program: results differ" >&2; exit 1; }
		done
	done
	printf '\n%s, size %s\n\n' "$program" "$size"
	print_table
done
