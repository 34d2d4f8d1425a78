#!/bin/sh
# Description: what is installed works by itself: the header alone in strict C and
# C++, a program built with pkg-config and run against the installed library, and
# exactly the symbols that the header declares, with their version. Loaded by dlopen it
# allocates nothing for a thread's first error, and a set-user-ID program does not obey
# the environment.
set -u
build=${CARDMARK_BUILDDIR:?run by make check}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "not ok: $*"
	failed=1
}

# A sanitized library wants its run time in every program.
sanitize=$(sed -n 's/^CM_LDFLAGS = //p' "$build/Makefile")
CC=${CC:-$(sed -n 's/^CC = //p' "$build/Makefile")}

if ! (cd "$build" && MAKEFLAGS='' ${MAKE:-make} install DESTDIR="$dir") >"$dir/log" 2>&1; then
	tail -20 "$dir/log"
	fail "make install"
	exit 1
fi
header=$(find "$dir" -path '*/include/cardmark/cardmark.h' | head -1)
pc=$(find "$dir" -name libcardmark.pc | head -1)
library=$(find "$dir" -name 'libcardmark.so' | head -1)
[ -n "$header" ] && [ -n "$pc" ] && [ -n "$library" ] || {
	fail "header, libcardmark.pc or libcardmark.so is missing"
	exit 1
}
include=$(dirname "$(dirname "$header")")

# The header alone, as strict as it gets.
for h in "$include"/cardmark/*.h; do
	name=cardmark/$(basename "$h")
	printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "$name" "$name" >"$dir/alone.c"
	cp "$dir/alone.c" "$dir/alone.cc"
	for std in c99 c11 gnu17; do
		${CC} -std=$std -pedantic -Wall -Wextra -Werror -I"$include" -fsyntax-only "$dir/alone.c" ||
			fail "$name does not compile alone with -std=$std"
	done
	if command -v "${CXX:-g++}" >/dev/null; then
		for std in c++11 c++17; do
			${CXX:-g++} -std=$std -pedantic -Wall -Wextra -Wshadow -Werror -I"$include" -fsyntax-only \
				"$dir/alone.cc" || fail "$name does not compile alone with -std=$std"
		done
	else
		echo "# no C++ compiler: the header is checked in C only"
	fi
done

for h in "$include"/cardmark/*.hpp; do
	command -v "${CXX:-g++}" >/dev/null || break
	name=cardmark/$(basename "$h")
	printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "$name" "$name" >"$dir/alone.cc"
	for std in c++17 c++20; do
		${CXX:-g++} -std=$std -pedantic -Wall -Wextra -Wshadow -Werror -I"$include" -fsyntax-only \
			"$dir/alone.cc" || fail "$name does not compile alone with -std=$std"
	done
done

# A program that a user would write, in both languages.
cat >"$dir/user.c" <<'PROGRAM'
#include <cardmark/cardmark.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
	size_t card = cardmark_card_size();
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;
	struct cardmark_table *table = NULL;
	void *heap = NULL;

	if (posix_memalign(&heap, card, 8 * card) != 0)
		return 1;
	memset(heap, 1, 8 * card);
	options.backend = CARDMARK_BACKEND_ALLDIRTY;
	options.flags = CARDMARK_OPEN_NO_ENV;
	if (cardmark_open(&cm, &options) != 0 || cardmark_track(cm, heap, 8 * card, 0) != 0 ||
	    cardmark_table_new(&table, cm) != 0) {
		printf("%s\n", cardmark_last_error());
		return 1;
	}
	cardmark_collect(cm, table);
	if (cardmark_table_count(table) != 8)
		return 1;
	cardmark_table_delete(&table);
	cardmark_close(&cm);
#if CARDMARK_VERSION < CARDMARK_VERSION_NUMBER(0, 2, 0) || CARDMARK_VERSION_NUMBER(0, 3, 0) < CARDMARK_VERSION_NUMBER(0, 2, 9)
#error version
#endif
	printf("%s %d.%d.%d\n", cardmark_version(), CARDMARK_VERSION_MAJOR, CARDMARK_VERSION_MINOR,
	       CARDMARK_VERSION_PATCH);
	return 0;
}
PROGRAM
cp "$dir/user.c" "$dir/user.cc"
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$dir
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
version=$(pkg-config --modversion libcardmark) || fail "pkg-config does not find libcardmark"
flags=$(pkg-config --cflags --libs libcardmark) || fail "pkg-config has no flags"
for compiler in "$CC -std=c99 -D_POSIX_C_SOURCE=200809L user.c" "${CXX:-g++} -std=c++11 user.cc"; do
	command -v "${compiler%% *}" >/dev/null || continue
	# shellcheck disable=SC2086
	if (cd "$dir" && $compiler -o user $sanitize $flags); then
		got=$(LD_LIBRARY_PATH=$(dirname "$library") "$dir/user") || fail "$compiler: $got"
		[ "$got" = "$version $version" ] ||
			fail "$compiler: library and header say $got, pkg-config $version"
	else
		fail "$compiler"
	fi
done

# The same with CMake, and versions and parts that are not there.
# cmake_says NAME WANTED: does find_package(cardmark WANTED) succeed?
cmake_says() {
	mkdir -p "$dir/cmake-$1"
	cat >"$dir/cmake-$1/CMakeLists.txt" <<PROJECT
cmake_minimum_required(VERSION 3.13)
project(user C)
find_package(cardmark $2)
if(NOT cardmark_FOUND)
  message(FATAL_ERROR "not found")
endif()
add_executable(user ../user.c)
set_property(TARGET user PROPERTY C_STANDARD 99)
target_compile_definitions(user PRIVATE _POSIX_C_SOURCE=200809L)
target_compile_options(user PRIVATE $sanitize)
target_link_libraries(user $sanitize cardmark::cardmark)
PROJECT
	(cd "$dir/cmake-$1" && cmake -DCMAKE_PREFIX_PATH="${pc%/lib*/pkgconfig/*}" -DCMAKE_C_COMPILER="${CC##* }" \
		. && cmake --build .) >"$dir/log" 2>&1
}
if command -v cmake >/dev/null; then
	if cmake_says plain "" && cmake_says version "${version%.*} REQUIRED"; then
		got=$("$dir/cmake-version/user") || fail "what CMake built does not run: $got"
		[ "$got" = "$version $version" ] || fail "what CMake built says $got"
	else
		tail -20 "$dir/log"
		fail "find_package(cardmark)"
	fi
	cmake_says newer 0.99 && fail "CMake takes $version for 0.99"
	cmake_says part "COMPONENTS nosuch" && fail "CMake finds a part that does not exist"
	if [ -n "$(find "$dir" -name libcardmark-jemalloc.so)" ]; then
		cmake_says jemalloc "COMPONENTS jemalloc" || fail "CMake does not find the jemalloc adapter"
	fi
else
	echo "# skipped: find_package() needs cmake"
fi

# A thread's first error, in a library that was loaded late, beside a malloc that counts.
cat >"$dir/late.c" <<'PROGRAM'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
static volatile int inside, mallocs;
static int (*parse)(const char *, int *);

void *malloc(size_t n)
{
	mallocs += inside;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t m)
{
	mallocs += inside;
	return __libc_calloc(n, m);
}

static void *first_error(void *arg)
{
	int out;

	(void)arg;
	inside = 1;
	(void)parse("nonesuch", &out);
	inside = 0;
	return NULL;
}

int main(int argc, char **argv)
{
	void *library = dlopen(argv[1], RTLD_NOW);
	pthread_t thread;

	(void)argc;
	if (library == NULL || (parse = (int (*)(const char *, int *))dlsym(library, argv[2])) == NULL)
		return puts(dlerror()), 2;
	if (pthread_create(&thread, NULL, first_error, NULL) || pthread_join(thread, NULL))
		return 2;
	printf("%d\n", mallocs);
	return 0;
}
PROGRAM
cat >"$dir/control.c" <<'PROGRAM'
static __thread char text[320];
int control(const char *name, int *out);
int control(const char *name, int *out)
{
	text[1] = *name;
	return *out = text[1];
}
PROGRAM
if [ -n "$sanitize" ]; then
	echo "# not looked for mallocs: they are the sanitizer's"
elif (cd "$dir" && $CC -o late late.c -ldl -pthread && $CC -shared -fPIC -ftls-model=global-dynamic \
	-o control.so control.c) 2>"$dir/log"; then
	got=$("$dir/late" "$dir/control.so" control)
	[ "$got" = 0 ] && fail "control: no malloc is counted: the test is broken"
	got=$("$dir/late" "$library" cardmark_backend_parse)
	[ "$got" = 0 ] || fail "a thread's first error calls malloc ($got times)"
else
	echo "# not looked for mallocs: $(tail -1 "$dir/log")"
fi

# The environment of a program that has other rights than who starts it.
cat >"$dir/rights.c" <<'PROGRAM'
#include <cardmark/cardmark.h>
#include <stdio.h>
#include <sys/auxv.h>

int main(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;

	options.backend = CARDMARK_BACKEND_ALLDIRTY;
	printf("%lu %d\n", getauxval(AT_SECURE), cardmark_open(&cm, &options));
	cardmark_close(&cm);
	return 0;
}
PROGRAM
# shellcheck disable=SC2086
if (cd "$dir" && $CC -o rights rights.c $sanitize $flags -Wl,-rpath,"$(dirname "$library")"); then
	CARDMARK_BACKEND=nonesuch
	export CARDMARK_BACKEND
	got=$("$dir/rights")
	[ "$got" = "0 -22" ] || fail "a bad CARDMARK_BACKEND is obeyed by a plain program: $got"
	if [ "$(id -u)" -ne 0 ] || [ -n "$sanitize" ]; then
		echo "# skipped: a set-user-ID program needs root and no sanitizer"
	else
		chmod 755 "$dir" && chown 65534 "$dir/rights" && chmod 4755 "$dir/rights"
		got=$("$dir/rights")
		case $got in
		"1 0") ;;
		"0 "*) echo "# skipped: files here give no rights (nosuid)" ;;
		*) fail "a set-user-ID program obeys CARDMARK_BACKEND: $got" ;;
		esac
	fi
	unset CARDMARK_BACKEND
else
	fail "rights.c"
fi

# What is declared is what is exported, with a version, and nothing else, but for what the
# adapters of the same release call.
# A long declaration begins a line with its name.
sed -n -e 's/^CARDMARK_API.*[ *]\(cardmark_[a-z_]*\)(.*/\1/p' -e 's/^\(cardmark_[a-z_]*\)(.*/\1/p' \
	"$header" "${header%/*}/process.h" | sort >"$dir/declared"
nm -D --defined-only --with-symbol-versions "$library" |
	awk '$2 != "A" && $3 !~ /@@LIBCARDMARK_PRIVATE$/ { print $3 }' | sort >"$dir/exported"
sed 's/@.*//' "$dir/exported" >"$dir/names"
diff "$dir/declared" "$dir/names" >"$dir/diff" || {
	cat "$dir/diff"
	fail "declared (<) and exported (>) symbols differ"
}
grep -v '@@CARDMARK_[0-9.]*$' "$dir/exported" && fail "symbols without a version"
[ -s "$dir/declared" ] || fail "no symbols found: the test is broken"

[ $failed -eq 0 ] && echo "ok: $(wc -l <"$dir/declared") symbols"
exit $failed
