#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the preload object's own behaviour: its messages, when it is silent, exit statuses,
# the report, and invalid settings.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

# A program without libgc: one line, its own status, silent children.
LD_PRELOAD="$preload" sh -c 'CARDMARK_RUN_PID=$$ exec sh -c "ls /nonexistent 2>/dev/null; exit 3"' \
	>"$scratch/out" 2>&1
check $? 3 "a program without libgc keeps its exit status"
check "$(cat "$scratch/out")" "cardmark run: sh itself ran unchanged; programs that it started and that \
use a shared libgc had their writes tracked" "only it is named, once"

# The report: by the program, not by its children, unless they get a name.
under CARDMARK_STATS="$scratch/stats" CARDMARK_PAUSE_TARGET=2.5 -- "$bin/torture" -d 1 -f
check "$got" 0 "torture runs"
for key in '"format": "cardmark-run"' '"version": 1' '"mode": "auto"' '"pause_target_ms": 2.5' \
	'"stops": { "count"' '"stalls"' '"phases"' '"vmas_at_exit"'; do
	check "$(grep -cF "$key" "$scratch/stats")" 1 "the report has $key"
done
under CARDMARK_STATS="$scratch/c.%p" CARDMARK_STATS_RAW=1 -- "$bin/torture" -d 1
check "$(cat "$scratch"/c.* | grep -c '"stops_ns": \[\[')" 1 "%p becomes the pid, raw stops are listed"

# Modes.
for mode in libgc-mprotect libgc-own stop-the-world; do
	under CARDMARK_GC_MODE=$mode CARDMARK_STATS="$scratch/stats" -- "$bin/torture" -d 1
	check "$got" 0 "mode $mode runs"
	check "$(grep -c "\"backend\": \"$mode\"" "$scratch/stats")" 1 "mode $mode is reported"
done

# Settings that cannot be followed.
for setting in CARDMARK_GC_MODE=x CARDMARK_GC_WAY=C CARDMARK_PAUSE_TARGET=soon \
	CARDMARK_PAUSE_TARGET=-1 CARDMARK_BACKEND=x; do
	timeout 60 env "$setting" LD_PRELOAD="$preload" "$bin/torture" -d 1 >"$scratch/out" 2>&1
	check $? 2 "$setting ends it"
	check "$(grep -c 'was not started:' "$scratch/out")" 1 "$setting is explained"
done
# A backend that is asked for by name, and cannot work here.
# shellcheck disable=SC3045 # dash has ulimit -n
(ulimit -n 4 && exec timeout 60 env CARDMARK_BACKEND=uffd LD_PRELOAD="$preload" "$bin/torture" -d 1) \
	>"$scratch/out" 2>&1
check $? 1 "a backend that cannot work ends it"
check "$(grep -c 'was not started:' "$scratch/out")" 1 "a backend that cannot work is explained"
# The installed object ignores the variables by which controls break it.
for object in "$builddir"/gc-glue/boehm/.libs/*.so "$builddir/lib/.libs/libcardmark.so" \
	"$builddir"/gc-glue/jemalloc/.libs/*.so "$builddir/tools/cardmark" "$builddir/tools/.libs/cardmark"; do
	[ -e "$object" ] || continue
	check "$(grep -ac 'CARDMARK_[A-Z_]*TEST' "$object")" 0 "$(basename "$object") has no test hooks"
done
check "$(grep -ac CARDMARK_GC_TEST_DROP "$hooks")" 1 "the controls' object has test hooks"
timeout 60 env CARDMARK_GC_TEST_DROP=100 LD_PRELOAD="$preload" "$bin/torture" -s 1 -d 2 >"$scratch/out" 2>&1
check "$? $(value lost:)" "0 0" "the preload object does not obey CARDMARK_GC_TEST_DROP"
finish
