#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark bench micro on a few small cases: one file of all backends and
# blocks that Google Benchmark's readers understand, a page of it, and answers that are
# checked. Control: cards taken out of the answers are noticed.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

file=$scratch/micro.json
status 2 "$cardmark" bench micro --blocks=0
micro=$builddir/bench/cardmark-micro
if [ ! -x "$micro" ]; then
	status 1 "$cardmark" bench micro
	said err "libbenchmark-dev"
	skip "cardmark-micro was not built: no C++ compiler with Google Benchmark"
fi
small='collect/.*/(dense|uniform)/heap_mib:16/dirty_pct:10/|fault/.*/random'
status 0 "$cardmark" bench micro --filter="$small" --blocks=2 --seed=7 --json="$file"
said out "2 blocks, seed 7"
said err "block 2 of 2, alldirty"
for text in '"collect/alldirty/uniform/heap_mib:16/dirty_pct:10/iterations:15/manual_time"' \
	'"fault/alldirty/random/' '"repetition_index": 1' '"repetitions": 2' '"over_reported"' \
	'"kernel_calls"' '"faults"' '"vmas"' '"p999_ns"' '"blocks": "2"' '"seed": "7"'; do
	grep -qF "$text" "$file" || fail "no $text in the results"
done
grep -qF error_occurred "$file" && fail "a benchmark reported an error"
status 0 "$cardmark" report --micro="$file" -o "$scratch/micro.html"
grep -qF "cheapest with the faults" "$scratch/micro.html" || fail "no table of who wins where"

status 1 "$cardmark" bench micro --filter=nothing_is_called_so --blocks=1 --json="$file"
said err "does the filter match anything?"
status 2 "$micro" --seed=none
status 2 "$micro" --backend=none
status 2 "$micro" more
usage_error "$cardmark" bench micro --seed=5000000000

for backend in pagemap bare uffd mprotect; do
	"$micro" --backend=$backend --benchmark_list_tests >"$scratch/list" 2>&1 || {
		echo "# $backend: $(tail -n 1 "$scratch/list")"
		continue
	}
	status 1 "$micro" --backend=$backend --lose --benchmark_filter=heap_mib:16/dirty_pct:1/
	said err "WRITES MISSED: 1 of 40 dirty cards"
	status 0 "$micro" --backend=$backend --benchmark_filter=heap_mib:16/dirty_pct:1/
done
finish
