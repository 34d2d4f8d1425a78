#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: an object that another thread is loading is left alone until it is relocated,
# and its calls are redirected after that, however it is linked. Without that ld.so dies.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

# link NAME FLAGS...: builds the module with these flags
link()
{
	name=$1
	shift
	${CC:-cc} -std=gnu11 -shared -fPIC -w "$@" -o "$scratch/$name.so" "$srcdir/tests/boehm/loadmod.c" \
		2>"$scratch/out" || {
		skips=$((skips + 1))
		echo "skip: $name: $(head -1 "$scratch/out")"
		return 1
	}
}

loads()
{
	under CARDMARK_BACKEND=auto CARDMARK_GC_WAY="$way" $more -- "$bin/loading" "$scratch/$name.so" || return 1
	what="$what, $name"
	[ "$got" -ne 77 ] || skipped
	[ "$got" -ne 77 ]
}

for way in A B; do
	for flags in relro,-z,now relro,-z,lazy norelro,-z,now norelro,-z,lazy; do
		link $flags -Wl,-z,$flags || continue
		more=
		loads || continue
		if [ "$got" -eq 0 ] && [ "$(value redirected:)" = 1 ]; then
			pass "$what: $(tail -1 "$scratch/out")"
		else
			fail "$what: status $got"
		fi
	done
	link relro,-z,now -Wl,-z,relro,-z,now || continue
	more=CARDMARK_GC_TEST_NO_LOADING_DEFENCE=1
	loads || continue
	if [ "$got" -ge 128 ]; then
		pass "$what: status $got"
	else
		fail "$what: it did not crash, status $got"
	fi
done
finish
