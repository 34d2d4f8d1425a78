#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: where libgc is: in a file of another name, in an object that holds other things,
# in the program itself. The report describes it correctly, nothing is lost, and verify mode
# reports nothing.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"
module=$bin/.libs/guestmod.so

# said KEY: a text of the report
said()
{
	sed -n "s/.*\"$1\": \"\(.*\)\",.*/\1/p" "$scratch/stats"
}

number()
{
	sed -n "s/.*\"$1\": \([0-9]*\),.*/\1/p" "$scratch/stats"
}

# run VAR=VALUE... -- PROGRAM ARGS...: false if it failed
run()
{
	rm -f "$scratch/stats"
	under CARDMARK_STATS="$scratch/stats" CARDMARK_VERIFY=hash "$@" || return 1
	if [ "$got" -eq 0 ] && [ "$(value lost:)" = 0 ] && ! grep -q 'not reported' "$scratch/out"; then
		return 0
	fi
	fail "$what: status $got"
	return 1
}

libgc=$(ldd "$bin/guests" | sed -n 's/.*libgc\.so\.1 => \(.*\) (.*/\1/p')
new=mygcx.so.1 # as long as libgc.so.1

# Another name, in the library itself and in the programs that need it.
sed "s/libgc\.so\.1/$new/g" "$libgc" >"$scratch/$new"
sed "s/libgc\.so\.1/$new/g" "$bin/guests" >"$scratch/guests"
sed "s/libgc\.so\.1/$new/g" "$module" >"$scratch/guestmod.so"
chmod +x "$scratch/guests"
wanted=A
"$bin/guests" idle >"$scratch/out" 2>&1
run LD_LIBRARY_PATH="$scratch" CARDMARK_BACKEND=auto -- "$scratch/guests" module "$scratch/guestmod.so" 1 && {
	[ "$(value libgc:)" -ge $((8 << 16 | 2 << 8)) ] && [ "$(value libgc:)" -lt $((8 << 16 | 3 << 8)) ] || wanted=B
	if [ "$(said way)" = $wanted ] && [ "$(number tracked_bytes)" -gt 0 ]; then
		pass "$new: way $wanted"
	else
		fail "$new: way $(said way), $(number tracked_bytes) bytes tracked"
	fi
}
more=CARDMARK_GC_TEST_DROP=50
under LD_LIBRARY_PATH="$scratch" CARDMARK_BACKEND=auto $more -- "$scratch/guests" module "$scratch/guestmod.so" 1 && {
	if [ "$(value lost:)" -gt 0 ] || [ "$got" -ge 128 ]; then
		pass "$what: lost $(value lost:), status $got"
	else
		fail "$what: nothing was lost"
	fi
}

# Other contents: one of its functions, which no program here needs, has another name.
sed 's/GC_print_free_list/XX_print_free_list/g' "$scratch/$new" >"$scratch/x" && mv "$scratch/x" "$scratch/$new"
run LD_LIBRARY_PATH="$scratch" CARDMARK_BACKEND=auto -- "$scratch/guests" module "$scratch/guestmod.so" 1 && {
	if [ "$(said way)" = B ] && said why | grep -q 'with other code' && [ "$(number tracked_bytes)" -gt 0 ]; then
		pass "an object with other code: $(said why)"
	else
		fail "an object with other code: way $(said way), $(said why)"
	fi
}

# In the program, exported or not.
static()
{
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I"$srcdir" -o "$scratch/static" "$srcdir/tests/boehm/guests.c" "$@" -l:libgc.a \
		-lpthread -ldl 2>"$scratch/out"
}

has_static_libgc || finish
if static -rdynamic; then
	run -- "$scratch/static" events "$module" 1 && {
		if [ "$(said way)" = none ] && [ "$(said mode)" = stop-the-world ] &&
			[ "$(number tracked_bytes)" = 0 ] && said why | grep -q 'linked into the program'; then
			pass "static and exported: $(said why)"
		else
			fail "static and exported: way $(said way), $(said why)"
		fi
	}
	timeout 60 env CARDMARK_GC_WAY=B LD_PRELOAD="$preload" "$scratch/static" idle >"$scratch/out" 2>&1
	if [ $? -eq 1 ] && grep -q 'way B was asked for, but' "$scratch/out"; then
		pass "static and exported, way B asked for: $(cat "$scratch/out")"
	else
		fail "static and exported, way B asked for: not refused"
	fi
	timeout 60 env CARDMARK_GC_MODE=libgc-mprotect LD_PRELOAD="$preload" "$scratch/static" idle \
		>"$scratch/out" 2>&1
	if [ $? -eq 1 ] && grep -q 'linked into the program' "$scratch/out"; then
		pass "static and exported, libgc-mprotect asked for: $(cat "$scratch/out")"
	else
		fail "static and exported, libgc-mprotect asked for: not refused"
	fi
	static -Wl,--export-dynamic-symbol=GC_init
	timeout 60 sh -c 'CARDMARK_RUN_PID=$$ LD_PRELOAD="$1" exec "$2" idle' - "$preload" "$scratch/static" \
		>"$scratch/out" 2>&1
	if [ $? -eq 0 ] && grep -q 'ran unchanged' "$scratch/out"; then
		pass "static and exported in part: $(head -1 "$scratch/out")"
	else
		fail "static and exported in part"
	fi
else
	fail "static and exported: does not compile: $(head -1 "$scratch/out")"
fi
finish
