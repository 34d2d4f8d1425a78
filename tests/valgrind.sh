#!/bin/sh
# Runs the core's unit tests, the live tests of the pagemap and alldirty backends, and
# tests of the jemalloc adapter, under valgrind's memcheck. Usage: valgrind.sh BUILDDIR
# Left out: the property test and its controls (time), traps by signal, jemalloc as
# the program's malloc (it is replaced), and forks beside threads that allocate
# (one thread at a time runs, and those that wait for each other take minutes).
set -u
build=${1:?usage: valgrind.sh BUILDDIR}
passed=0
failed=0
skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

if ! command -v valgrind >/dev/null; then
	echo "valgrind is not installed"
	exit 77
fi

# Threads that a raw clone leaves behind and blocks of killed children are not
# leaks: only errors and definite leaks count. Threads take turns: with the default lock
# two that never sleep can keep a third out until its alarm. And a store that faults is
# run again after the handler, which needs the registers as they were at the store.
run() {
	libtool=$build/libtool
	if "$libtool" --quiet --mode=execute valgrind --quiet --error-exitcode=99 --leak-check=full \
		--fair-sched=yes --vex-iropt-register-updates=allregs-at-mem-access \
		--errors-for-leak-kinds=definite --trace-children=no "$@" >"$out" 2>&1; then
		passed=$((passed + 1))
	else
		status=$?
		if [ $status -eq 77 ]; then
			skipped=$((skipped + 1))
			echo "SKIP: $*: $(sed -n 's/.*# SKIP //p' "$out" | head -1)"
			return
		fi
		failed=$((failed + 1))
		echo "FAIL ($status): $*"
		grep -E '^not ok|failed|==' "$out" | head -40
	fi
}

for t in "$build"/tests/unit/*_test; do
	[ -x "$t" ] && CARDMARK_TEST_SEED=1 run "$t"
done
for t in collect table query chunks remap track; do
	for backend in pagemap alldirty; do
		run "$build/tests/live/${t}_test" $backend
	done
done
for t in arena hooks; do
	[ -x "$build/tests/jemalloc/${t}_prefixed_test" ] || continue
	for backend in pagemap alldirty; do
		run "$build/tests/jemalloc/${t}_prefixed_test" $backend
	done
done
echo "valgrind: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
