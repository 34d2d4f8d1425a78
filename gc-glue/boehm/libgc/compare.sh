#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
set -uo pipefail

usage()
{
	cat <<'END_OF_TEXT'
Usage: compare.sh [--runs=N] NAME=PREFIX[,VARIABLE=VALUE]... -- PROGRAM [ARG]...
Runs a program with several libgc that build.sh has installed, in turns (default: 3), and
prints medians, and ratios to the first: total and processor time in seconds, the number of
stops, all of them and the longest in milliseconds, the longest one's processor time (work;
with GC_MARKERS=1 that is the stop on a machine without other work), mappings at the end, largest memory in
MiB, and the processor time of two idle seconds at the end, in milliseconds. An example:

  compare.sh stop=P mprotect=P,GC_ENABLE_INCREMENTAL=1,GC_USE_GETWRITEWATCH=0 \
             ours=P,GC_ENABLE_INCREMENTAL=1 -- build/bench/boehm/trees
END_OF_TEXT
}

runs=3 variants=()
while (($# > 0)); do
	case $1 in
	--runs=*) runs=${1#*=} ;;
	--help)
		usage
		exit 0
		;;
	--)
		shift
		break
		;;
	*=*) variants+=("$1") ;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
if (($# == 0 || ${#variants[@]} == 0)); then
	usage >&2
	exit 2
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
${CC:-cc} -O2 -fPIC -shared -o "$work/stops.so" "$(dirname "${BASH_SOURCE[0]}")/stops.c" -ldl || exit 1

# one VARIANT PROGRAM...: a line of numbers, or what went wrong
one()
{
	local name=${1%%=*} settings prefix

	IFS=, read -r -a settings <<<"${1#*=}"
	prefix=${settings[0]}
	shift
	env LD_LIBRARY_PATH="$prefix/lib" LD_PRELOAD="$work/stops.so" "${settings[@]:1}" "$@" >"$work/out" 2>"$work/err" </dev/null
	if grep '^stops.c: ' "$work/err" | sed "s/^stops.c:/$name/" >>"$work/all"; then
		return
	fi
	echo "$name failed: $(tail -n 1 "$work/err")" >&2
}

for ((run = 0; run < runs; run++)); do
	for variant in "${variants[@]}"; do
		one "$variant" "$@"
	done
done
awk '
function median(name, field, n, i, j, t, v) {
	n = 0
	for (i = 1; i <= count[name]; i++)
		v[++n] = value[name, i, field]
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j] < v[j - 1]; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	return v[int((n + 1) / 2)]
}
{
	if (!count[$1]++)
		order[++names] = $1
	for (i = 2; i < NF; i += 2)
		value[$1, count[$1], $i] = $(i + 1) + 0
}
END {
	printf "%-16s %4s %14s %14s %6s %9s %9s %9s %9s %9s %7s\n", "libgc", "runs", "total, s", "processor, s",
		"stops", "stopped", "longest", "work", "mappings", "memory", "idle"
	for (k = 1; k <= names; k++) {
		name = order[k]
		printf "%-16s %4d %7.2f (%4.2f) %7.2f (%4.2f) %6d %9.0f %9.1f %9.1f %9d %9d %7.0f\n", name, count[name],
			median(name, "total"), median(name, "total") / median(order[1], "total"),
			median(name, "processor"), median(name, "processor") / median(order[1], "processor"),
			median(name, "stops"), median(name, "stopped") * 1000, median(name, "longest") * 1000,
			median(name, "work") * 1000,
			median(name, "mappings"), median(name, "resident"), median(name, "idle") * 1000
	}
}' "$work/all"
