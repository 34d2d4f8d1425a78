#!/bin/sh
# The long property test: ten seeds of ten seconds on each backend, then totals.
# Usage: ten-seeds.sh RANDOM_TEST [FIRST_SEED [SECONDS]]
set -u
program=$1
seed=${2:-1}
seconds=${3:-10}
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
failed=0
for backend in ${CARDMARK_TEST_BACKENDS:-pagemap softdirty uffd mprotect alldirty}; do
	"$program" "$backend" --seed="$seed" --seconds="$seconds" --seeds=10 >"$out" 2>&1
	status=$?
	[ $status -eq 0 ] || [ $status -eq 77 ] || failed=1
	grep -E '^not ok|^# (lost|track)' "$out"
	if [ $status -eq 77 ]; then
		sed -n 's/^ok - /skipped: /p' "$out"
		continue
	fi
	awk -v backend="$backend" '
		function number(before) {
			return match($0, "[0-9]+ " before) ? substr($0, RSTART) + 0 : 0
		}
		/operations/ {
			runs++
			operations += number("operations"); writes += number("writes")
			collects += number("collects"); running += number("with writers")
			checked += number("pages checked"); changed += number("changed")
			reported += number("reported"); over += number("over-reported")
			lost += number("lost")
		}
		END {
			printf "%s: %d seeds, %d operations, %d writes, %d collects " \
				"(%d with writers running), %d pages checked, %d changed, " \
				"%d reported, %d over-reported, %d lost\n", backend, runs, \
				operations, writes, collects, running, checked, changed, \
				reported, over, lost
			exit lost != 0 || runs != 10
		}' "$out" || failed=1
done
exit $failed
