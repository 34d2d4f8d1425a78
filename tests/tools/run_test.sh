#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: cardmark run passes arguments, exit status and environment on,
# and says clearly what it cannot do.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

status 127 "$cardmark" run no-such-program-anywhere
said err "not found in the directories of PATH"
status 127 "$cardmark" run --stats "$scratch/report.json" true
said err "--stats=FILE"
status 127 "$cardmark" run "$scratch/nothing"
echo text >"$scratch/plain"
status 126 "$cardmark" run "$scratch/plain"
said err "not executable"
status 126 "$cardmark" run "$scratch"
said err "is a directory"
status 127 "$cardmark" run "$scratch/plain/program"
said err "Not a directory"

# Without the preload object nothing runs.
status 1 env CARDMARK_PRELOAD="$scratch/missing.so" "$cardmark" run true
said err "missing.so"

# A backend that cannot work here is an error with its reason, never another.
"$cardmark" probe >"$scratch/probe"
for backend in pagemap softdirty uffd mprotect; do
	grep -q "^ *$backend *no " "$scratch/probe" || continue
	status 1 "$cardmark" run --backend="$backend" true
	said err "$backend cannot work here: "
done

[ -r "$preload" ] || skip "the rest: this build has no preload object"

status 0 "$cardmark" run true
status 7 "$cardmark" run -- sh -c 'exit 7'
status 0 "$cardmark" run -- printf '%s|' a 'b  c' --backend=nosuch ''
said out "a|b  c|--backend=nosuch||"
[ "$("$cardmark" run sh -c 'kill -TERM $$'; echo $?)" -eq 143 ] || fail "a signal's status is lost"

# The contract with the preload object is the environment.
status 0 "$cardmark" run --backend=libgc-mprotect --pause-target=7.5 --stats="$scratch/s-%p" \
	--raw --verbose env
said out "CARDMARK_GC_MODE=libgc-mprotect"
said out "CARDMARK_PAUSE_TARGET=7.5"
said out "CARDMARK_STATS=$scratch/s-%p"
said out "CARDMARK_STATS_RAW=1"
said out "CARDMARK_RUN_VERBOSE=1"
said out "CARDMARK_RUN_PID="
said out "LD_PRELOAD="
status 0 env CARDMARK_BACKEND=uffd "$cardmark" run --backend=alldirty --way=B --stats env
said out "CARDMARK_GC_MODE=auto"
said out "CARDMARK_BACKEND=alldirty"
said out "CARDMARK_GC_WAY=B"
said out "CARDMARK_STATS=/dev/stderr"
status 0 env CARDMARK_VERIFY=off "$cardmark" run --verify env
said out "CARDMARK_VERIFY=hash"
# What is preloaded already stays, behind ours.
other=$(cd "$builddir" && pwd)/lib/.libs/libcardmark.so
if [ -r "$other" ]; then
	status 0 env LD_PRELOAD="$other" "$cardmark" run env
	said out "libcardmark-preload.so:$other"
fi

# A program that does not use libgc: a clear message, its own status.
status 3 "$cardmark" run sh -c 'exit 3'
said err "does not use libgc"

# Programs that LD_PRELOAD cannot reach run as they are, and it is said.
cat >"$scratch/static.c" <<'END'
int main(void) { return 5; }
END
if ${CC:-cc} -static -o "$scratch/static" "$scratch/static.c" 2>/dev/null; then
	status 5 "$cardmark" run "$scratch/static"
	said err "statically linked"
fi
# What the preload object looked up and did not find is not the program's next dlerror().
cat >"$scratch/text.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
	const char *text = dlerror();

	return text == NULL ? 5 : (fprintf(stderr, "dlerror: %s\n", text), 6);
}
END
if ${CC:-cc} -o "$scratch/text" "$scratch/text.c" -ldl 2>/dev/null; then
	status 5 "$cardmark" run "$scratch/text"
fi

# A libgc for this program alone: in DIR or DIR/lib, by its full path, before what was there.
mkdir -p "$scratch/private/lib" "$scratch/elsewhere"
: >"$scratch/private/lib/libgc.so.1"
: >"$scratch/elsewhere/libgc.so.1"
# The shell is not a program of ours: an empty libgc does it no harm.
# shellcheck disable=SC2016
status 0 env LD_LIBRARY_PATH=/none "$cardmark" run --libgc="$scratch/private" \
	/bin/sh -c 'echo "path: $LD_LIBRARY_PATH"'
said out "path: $scratch/private/lib:"
said out ":/none"
status 0 env -u LD_LIBRARY_PATH sh -c 'cd "$1" && exec "$2" run --libgc=elsewhere \
	/bin/sh -c "echo path: \$LD_LIBRARY_PATH"' sh "$scratch" "$cardmark"
said out "path: $scratch/elsewhere"
status 1 "$cardmark" run --libgc="$scratch" true
said err "there is no libgc.so.1 in $scratch, nor in its lib/"
status 1 "$cardmark" run --libgc="$scratch/a:b" true
said err "colons"

linker=$(ls /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 2>/dev/null | head -n 1)
if [ -n "$linker" ]; then
	status 3 "$cardmark" run -- "$linker" /bin/sh -c 'exit 3'
	said err "does not use libgc"
	grep -q "statically linked" "$scratch/err" && fail "the dynamic linker is called static"
fi

# The path of the current directory may be longer than any that can be given.
deep=$scratch/deep
mkdir "$deep"
status 1 sh -c '
	cd "$1" || exit 9
	name=$(printf "%0200d" 0)
	i=0
	while [ $i -lt 22 ]; do
		mkdir "$name" && cd -P "$name" || exit 9
		i=$((i + 1))
	done
	exec "$2" run --stats=file true' sh "$deep" "$cardmark"
said err "too long"
rm -rf "$deep"

# The cause, not only "not found", for a program that is there.
printf '#!%s\n' "$scratch/no-such-interpreter" >"$scratch/script"
chmod +x "$scratch/script"
status 127 "$cardmark" run "$scratch/script"
said err "interpreter"
printf '\177ELFnonsense' >"$scratch/script"
status 126 "$cardmark" run "$scratch/script"

# A script without a first line runs as a shell runs it.
printf 'exit 9\n' >"$scratch/script"
chmod +x "$scratch/script"
status 9 "$cardmark" run "$scratch/script"
finish
