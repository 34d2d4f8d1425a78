#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: the static probes of the libraries are those of docs/probes.md, with as many
# arguments, and none of them is in the static data, where tools do not find it. gdb counts as
# many events as the library does. Control: a table that lacks a probe differs.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"
page=${CARDMARK_SRCDIR:-.}/docs/probes.md
core=$builddir/lib/.libs/libcardmark.so

# PROVIDER PROBE ARGUMENTS of the page's table.
in_page()
{
	sed -nE 's/^\| `(cardmark[a-z_]*)` \| `([a-z_]+)` \| ?(.*)\|$/\1 \2 \3/p' "$1" |
		awk '{ name = $1 " " $2; $1 = $2 = ""; gsub(/^ +| +$/, ""); print name, ($0 == "" ? 0 : split($0, part, ", ")) }' | sort -u
}

# The same of the notes of files.
in_notes()
{
	readelf -nW "$@" | awk '/Provider:/ { provider = $NF } /Name:/ && provider { name = $2 }
		/Arguments:/ && provider { print provider, name, gsub(/@/, "&"); provider = "" }' | sort -u
}

command -v readelf >/dev/null || skip "no readelf"
in_notes "$core" >"$scratch/core"
[ -s "$scratch/core" ] || skip "this library was built without static probes"
in_page "$page" >"$scratch/page"
if [ -r "$preload" ]; then
	in_notes "$core" "$preload" >"$scratch/notes"
else
	cp "$scratch/core" "$scratch/notes"
	grep '^cardmark ' "$scratch/page" >"$scratch/of-core"
	mv "$scratch/of-core" "$scratch/page"
fi
diff -u "$scratch/page" "$scratch/notes" >"$scratch/diff" || {
	fail "the page and the libraries have different probes (a line: provider, probe, arguments)"
	cat "$scratch/diff"
}
sed 1d "$scratch/page" | diff -q - "$scratch/notes" >/dev/null && fail "control: a probe less is not seen"
if readelf -nW "$core" ${preload:+"$preload"} 2>/dev/null | grep 'Arguments:.*(%rip)'; then
	fail "an argument is where tools do not find it"
fi

# A skip is counted, unless what came before has failed.
skip_the_rest()
{
	echo "SKIP: the rest: $1"
	(finish) || exit 1
	exit 77
}

command -v gdb >/dev/null || {
	skip_the_rest "there is no gdb to count events"
}
usdt=$builddir/tests/tools/usdt
gdb -nx -batch -ex 'break -probe-stap cardmark:collect__begin' -ex 'break -probe-stap cardmark:collect__end' \
	-ex 'break -probe-stap cardmark:harvest' -ex 'break -probe-stap cardmark:range__guessed' \
	-ex 'ignore 1 1000000' -ex 'ignore 2 1000000' -ex 'ignore 3 1000000' -ex 'ignore 4 1000000' \
	-ex run -ex 'info breakpoints' "$usdt" >"$scratch/gdb" 2>&1 </dev/null
grep -q 'exited normally' "$scratch/gdb" || {
	sed 's/^/  /' "$scratch/gdb"
	skip_the_rest "gdb cannot run the program here"
}
grep -E '^[a-z_]+ [0-9]+$' "$scratch/gdb" | sort >"$scratch/counted"
awk 'BEGIN { split("collect__begin collect__end harvest range__guessed", name, " ") }
	/^[1-4] / { n = $1 } /already hit/ { print name[n], $4 }' "$scratch/gdb" | sort >"$scratch/hit"
[ -s "$scratch/counted" ] || fail "the program counted nothing"
diff -u "$scratch/counted" "$scratch/hit" || fail "gdb saw other events than the library counted"
finish
