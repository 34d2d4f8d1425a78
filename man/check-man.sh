#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual keeps up with the code: a page for each public function, every
# error, variable and counter in it, and pages that format without a warning.
set -eu
src=${CARDMARK_SRCDIR:-$(dirname "$0")/..}
cd "$src"
bad=0

complain()
{
	echo "$*" >&2
	bad=1
}

# mentions PAGE WORD WHAT
mentions()
{
	grep -qw -- "$2" "man/$1" || complain "man/$1 does not name the $3 $2"
}

public_symbols()
{
	sed -nE 's/^[[:space:]]*(cardmark_[a-z0-9_]+);$/\1/p' "$@" | sort
}

# Functions declared in a header: the name before the parenthesis.
declared()
{
	# A long declaration begins a line with its name.
	sed -nE -e '/^CARDMARK_API/s/^[^(]*[ *](cardmark_[a-z0-9_]+)\(.*/\1/p' \
		-e 's/^(cardmark_[a-z0-9_]+)\(.*/\1/p' "$@" | sort
}

# ---- A page for each function, and it says so --------------------------------

for pair in lib/libcardmark.map:include/cardmark/cardmark.h \
	gc-glue/boehm/libcardmark-gc.map:include/cardmark/gc.h \
	gc-glue/jemalloc/libcardmark-jemalloc.map:include/cardmark/jemalloc.h; do
	map=${pair%%:*} header=${pair#*:}
	headers=$header
	[ "$header" != include/cardmark/cardmark.h ] || headers="$header include/cardmark/process.h"
	[ -f "$map" ] || continue
	# shellcheck disable=SC2086
	[ "$(public_symbols "$map")" = "$(declared $headers)" ] ||
		complain "$map and $header do not have the same functions"
	for symbol in $(public_symbols "$map"); do
		page=$(grep -lE "^(cardmark_.*, )?$symbol(, .*)? \\\\- " man/*.3) ||
			complain "no man page has $symbol in its NAME"
		[ -z "$page" ] || mentions "${page#man/}" "$symbol" function
		grep -qw "man/$symbol.3" man/local.mk || complain "man/local.mk has no man/$symbol.3"
	done
done

# ---- What every page of a function tells ---------------------------------------

for page in man/*.3; do
	for section in Fork Failure 'World stopped'; do
		grep -qx "\.SS $section" "$page" || complain "$page has no subsection $section"
	done
done

# ---- Lists that could drift ---------------------------------------------------

# all_named PAGE WHAT WORD...
all_named()
{
	page=$1 what=$2
	shift 2
	[ $# -gt 0 ] || complain "found no $what in the sources to compare with man/$page"
	for word in "$@"; do
		mentions "$page" "$word" "$what"
	done
}

header=include/cardmark/cardmark.h
jemalloc=include/cardmark/jemalloc.h
# The words of a list are arguments here.
# shellcheck disable=SC2046
{
	all_named cardmark.7 variable \
		$(sed -nE 's/.*"(CARDMARK_[A-Z]+)".*/\1/p' lib/options.c | sort -u)
	all_named cardmark.7 error $(sed -nE 's/^ \*   -(E[A-Z]+) .*/\1/p' $header)
	all_named cardmark.7 backend \
		$(sed -nE 's/^[[:space:]]CARDMARK_BACKEND_([A-Z]+) = .*/\1/p' $header |
			tr '[:upper:]' '[:lower:]')
	all_named cardmark_scan.3 category \
		$(sed -nE 's/^#define (CARDMARK_PAGE_[A-Z_]+) .*UINT64_C\(1\).*/\1/p' $header)
	all_named cardmark_probe.3 capability \
		$(sed -nE 's/^[[:space:]](CARDMARK_CAP_[A-Z_]+) =.*/\1/p' $header)
	all_named cardmark_stats.3 counter \
		$(sed -n '/^struct cardmark_stats {/,/^}/p' $header |
			sed -nE 's/^[[:space:]]+[a-z0-9_ ]+ ([a-z_]+);.*/\1/p')
	all_named cardmark_jemalloc_stats.3 counter \
		$(sed -n '/^struct cardmark_jemalloc_stats {/,/^}/p' $jemalloc |
			sed -nE 's/^[[:space:]]+[a-z0-9_]+ ([a-z_, ]+);.*/\1/p' | tr -d ,)
	all_named cardmark_jemalloc_create.3 flag \
		$(sed -n '/^enum cardmark_jemalloc_flags {/,/^}/p' $jemalloc |
			sed -nE 's/^[[:space:]](CARDMARK_[A-Z_]+) =.*/\1/p')
	all_named cardmark_jemalloc_collect.3 flag \
		$(sed -n '/^enum cardmark_jemalloc_range_flags {/,/^}/p' $jemalloc |
			sed -nE 's/^[[:space:]](CARDMARK_[A-Z_]+) =.*/\1/p')
}

# ---- Lists that are in two places ------------------------------------------------

# What may be called while the world is stopped: the manual and the design say the same.
stopped_in_manual()
{
	sed -n '/^\.SS While the world is stopped/,/^\.SS Fork/p' man/cardmark.7 |
		sed -nE 's/^\.BR (cardmark_[a-z_]+) \(3\).*/\1/p' |
		grep -v -e '^cardmark_table_new$' -e '^cardmark_table_delete$' | sort -u
}

stopped_in_design()
{
	sed -n '/^## While the world is stopped/,/^They may map memory/p' docs/design.md |
		grep -o 'cardmark_[a-z_]*' | grep -v '^cardmark_table_' | sort -u
}

[ -n "$(stopped_in_design)" ] || complain 'docs/design.md lists no call for the stopped world'
[ "$(stopped_in_manual)" = "$(stopped_in_design)" ] ||
	complain 'man/cardmark.7 and docs/design.md differ in what may be called while the world is stopped'

# Each kernel fact that a comment cites is in the design.
rules=$(grep -rhoE '\(R[0-9]+(, R[0-9]+)*\)' lib gc-glue tests --include='*.[ch]')
for rule in $(echo "$rules" | tr -d '(,)' | tr ' ' '\n' | sort -u); do
	sed -n '/^## Kernel facts/,$p' docs/design.md | grep -qE "^- \*\*(R[0-9]+, )?$rule(, R[0-9]+)?\*\*" ||
		complain "docs/design.md does not have the kernel fact $rule"
done

# ---- Pages that format without a warning --------------------------------------

for page in man/*.[137]; do
	if command -v mandoc >/dev/null; then
		out=$(mandoc -Tlint -Wwarning "$page" 2>&1) || true
		[ -z "$out" ] || complain "$out"
	fi
	if command -v man >/dev/null && command -v groff >/dev/null; then
		out=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 \
			>/dev/null)
		[ -z "$out" ] || complain "$page: $out"
	fi
done

exit $bad
