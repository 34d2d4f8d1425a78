#!/bin/bash
# make fuzz: fuzz.sh SOURCES DIRECTORY SECONDS, with absolute paths. Fuzzes each target for
# so long, from the committed corpus and what earlier runs have left in DIRECTORY. Fails
# at the first finding: its input is in DIRECTORY, and the last lines say how to repeat it.
# FUZZ_MERGE=1 instead writes a minimal corpus of both to DIRECTORY/TARGET.merged.
set -euo pipefail
sources=$1 directory=$2 seconds=$3
targets=(ranges query cards)
clang=${FUZZ_CC:-clang}

if ! command -v "$clang" >/dev/null; then
	echo "make fuzz: needs clang with libFuzzer: there is no $clang (FUZZ_CC names another)" >&2
	exit 1
fi
mkdir -p "$directory"
printf '#define PACKAGE_VERSION "fuzz"\n' >"$directory/config.h"
if ! echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
	"$clang" -x c -fsanitize=fuzzer,address,undefined -o "$directory/probe" - 2>"$directory/probe.log"; then
	cat "$directory/probe.log" >&2
	echo "make fuzz: $clang has no -fsanitize=fuzzer,address,undefined here (Debian: libclang-rt-dev)" >&2
	exit 1
fi
rm -f "$directory/probe" "$directory/probe.log"

cd "$sources"
# Bytes are operations: what is compared is never in the input. Tracing it took most of the time.
compile=("$clang" -std=gnu11 -D_GNU_SOURCE "-I$sources/include" "-I$sources" "-I$directory" -O2 -g
	-pthread "-fsanitize=fuzzer,address,undefined" -fno-sanitize-recover=all
	-fno-sanitize-coverage=trace-cmp)
mkdir -p "$directory/lib"
(cd "$directory/lib" && rm -f -- *.o && "${compile[@]}" -c "$sources"/lib/{,os/,backend/}*.c)
for target in "${targets[@]}"; do
	mkdir -p "$directory/$target.o"
	(cd "$directory/$target.o" && rm -f -- *.o &&
		"${compile[@]}" -c "$sources/tests/support/fake_kernel.c" \
			"$sources/tests/fuzz/${target}"_*.c "$sources/tests/fuzz/fuzzer.c")
	"${compile[@]}" -o "$directory/$target" "$directory"/{lib,"$target.o"}/*.o
done
for target in "${targets[@]}"; do
	mkdir -p "$directory/$target.found"
	if [[ -n ${FUZZ_MERGE-} ]]; then
		rm -rf "$directory/$target.merged"
		mkdir "$directory/$target.merged"
		"$directory/$target" -merge=1 "$directory/$target.merged" \
			"tests/fuzz/corpus/$target" "$directory/$target.found"
		continue
	fi
	echo "== $target, $seconds seconds"
	log=$directory/$target.log
	if ! "$directory/$target" -max_total_time="$seconds" -max_len=600 -timeout=20 -print_final_stats=1 \
		-artifact_prefix="$directory/$target-" \
		"$directory/$target.found" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
		tail -n 60 "$log"
		echo "make fuzz: $target failed. Repeat: $directory/$target INPUT, or tests/fuzz/${target}_fuzz INPUT"
		exit 1
	fi
	grep -E '^(Done|stat::(number_of_executed_units|new_units_added))' "$log"
done
