#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the one-call interface, with the shared libgc in both ways and with a
# static libgc (way B), and under the preload object, whose settings win.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

api()
{
	timeout 60 env $settings "$@" >"$scratch/out" 2>&1 </dev/null
	got=$?
	if [ $got -eq 0 ] && [ "$(value lost:)" = 0 ] &&
		grep -Eq "way: $way |way: B .*way A works with libgc 8.2 only" "$scratch/out"; then
		pass "$settings $(basename "$1"): $(tr '\n' ' ' <"$scratch/out")"
	elif [ $got -eq 77 ]; then
		echo "skip: $settings: $(cat "$scratch/out")"
		skips=$((skips + 1))
	else
		fail "$settings $*: status $got"
	fi
}

for way in A B; do
	settings=CARDMARK_GC_WAY=$way
	api "$bin/torture_api" -t 2 -d 2 -f
	settings="CARDMARK_GC_WAY=$way CARDMARK_BACKEND=mprotect"
	api "$bin/torture_api" -t 2 -d 1 -l 3
done
way=A settings="LD_PRELOAD=$preload"
api "$bin/torture_api" -d 1

# Statically linked.
lib=$builddir/gc-glue/boehm/.libs
way=B settings=
# static_torture NAME ADAPTER...: links it with a static libgc
static_torture()
{
	name=$1
	shift
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -DTORTURE_API -I"$srcdir" -I"$srcdir/include" -o "$scratch/$name" \
		"$srcdir/tests/boehm/torture.c" "$@" -L"$builddir/lib/.libs" -lcardmark -Wl,-rpath,"$lib" \
		-Wl,-rpath,"$builddir/lib/.libs" -Wl,-rpath-link,"$builddir/lib/.libs" \
		-l:libgc.a -lpthread -ldl 2>"$scratch/cc"
}

has_static_libgc || finish
if static_torture torture_static -L"$lib" -lcardmark-gc &&
	static_torture torture_hooks "$bin/.libs/libcmgc-hooks.a"; then
	api "$scratch/torture_static" -t 2 -d 2 -f
	api "$scratch/torture_static" -t 1 -d 1 -l 3
	settings=CARDMARK_GC_TEST_DROP=20
	timeout 60 env $settings "$scratch/torture_hooks" -s 1 -d 3 >"$scratch/out" 2>&1
	[ $? -ne 0 ] && pass "static, negative control: $(tail -1 "$scratch/out")" ||
		fail "static, negative control: nothing was lost"
else
	fail "static: does not compile: $(head -1 "$scratch/cc")"
fi

# Its heap is found in /proc/self/maps, where our own memory is, too: an adapter that takes our
# memory for heap reports its own bits, and verify mode notices.
if ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I"$srcdir/include" -o "$scratch/statics" "$srcdir/tests/boehm/statics.c" \
	-L"$lib" -L"$builddir/lib/.libs" -l:libgc.a -lcardmark-gc -lcardmark -Wl,-rpath,"$lib" \
	-Wl,-rpath,"$builddir/lib/.libs" -l:libgc.a -lpthread -ldl 2>"$scratch/cc"; then
	for backend in pagemap uffd mprotect alldirty; do
		timeout 60 env CARDMARK_BACKEND=$backend CARDMARK_VERIFY=hash CARDMARK_STATS="$scratch/stats" \
			"$scratch/statics" >"$scratch/out" 2>&1
		got=$?
		if [ $got -eq 0 ] && ! grep -q 'not reported' "$scratch/out" && grep -q '"verify_missed": 0' "$scratch/stats"; then
			pass "static, $backend, verified: $(tail -1 "$scratch/out")"
		elif [ $got -eq 77 ]; then
			skips=$((skips + 1))
			echo "skip: static, $backend: $(tail -1 "$scratch/out")"
		else
			fail "static, $backend: memory of our own was taken for heap, or lost: status $got"
		fi
	done
else
	fail "static, verified: does not compile: $(head -1 "$scratch/cc")"
fi
finish
