#!/bin/sh
# Description: what is installed works by itself: the header alone in strict C and
# C++, a program built with pkg-config and run against the installed library, and
# exactly the symbols that the header declares, with their version.
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
			${CXX:-g++} -std=$std -pedantic -Wall -Wextra -Werror -I"$include" -fsyntax-only \
				"$dir/alone.cc" || fail "$name does not compile alone with -std=$std"
		done
	else
		echo "# no C++ compiler: the header is checked in C only"
	fi
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
	printf("%s\n", cardmark_version());
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
		[ "$got" = "$version" ] || fail "$compiler: library says $got, pkg-config $version"
	else
		fail "$compiler"
	fi
done

# What is declared is what is exported, with a version, and nothing else.
sed -n 's/^CARDMARK_API.*[ *]\(cardmark_[a-z_]*\)(.*/\1/p' "$header" | sort >"$dir/declared"
nm -D --defined-only --with-symbol-versions "$library" |
	awk '$2 != "A" { print $3 }' | sort >"$dir/exported"
sed 's/@.*//' "$dir/exported" >"$dir/names"
diff "$dir/declared" "$dir/names" >"$dir/diff" || {
	cat "$dir/diff"
	fail "declared (<) and exported (>) symbols differ"
}
grep -v '@@CARDMARK_[0-9.]*$' "$dir/exported" && fail "symbols without a version"
[ -s "$dir/declared" ] || fail "no symbols found: the test is broken"

[ $failed -eq 0 ] && echo "ok: $(wc -l <"$dir/declared") symbols"
exit $failed
