#!/bin/sh
# Runs a live test program once for each backend, as one TAP stream. A program
# that dies is a failing line of its own. One whose cases are all for backends that
# are not asked for is a skip; one that says nothing is a plan of none.
set -u
# A tracker may start its monitor thread again in a fork child.
TSAN_OPTIONS=die_after_fork=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}
export TSAN_OPTIONS
program=$1
shift
for backend in ${CARDMARK_TEST_BACKENDS:-pagemap softdirty uffd mprotect alldirty}; do
	$program "$backend" "$@"
	status=$?
	case $status in
	0 | 1 | 77) ;;
	*) echo "not ok - $backend: the program ended with status $status" ;;
	esac
done | awk '
	{ print; fflush() }
	/^(not )?ok/ { n++ }
	/^# [a-z]+: no case is for this backend$/ { sub(":", "", $2); none = none " " $2 }
	END {
		if (n == 0 && none != "")
			print "ok - every case is for another backend # SKIP asked for:" none
		print "1.." (n == 0 && none != "" ? 1 : n + 0)
	}'
