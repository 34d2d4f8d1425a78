#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: bash completes each command, each option and each value that the command takes,
# and nothing that it does not. Controls: an option that is left out is missed, one that is
# invented is refused by the command.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

command -v bash >/dev/null || skip "bash is not installed"
file=${CARDMARK_SRCDIR:-.}/tools/completions/cardmark.bash

# completed WORD...: what the last of the words can become, in one line, sorted.
completed()
{
	# shellcheck disable=SC2016 # the variables are bash's
	bash --norc -c '
		. "$1"
		COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
		_cardmark
		printf "%s\n" "${COMPREPLY[@]}"' complete "$file" "$cardmark" "$@" 2>&1 | sort | tr '\n' ' '
}

# is WANTED WORD...
is()
{
	want=$1
	shift
	got=$(completed "$@")
	[ "$got" = "$want" ] || fail "$* becomes: $got; not: $want"
}

# Whatever the help lists, and no more. The help itself is held against the options that are
# taken by man/check-docs.tap.
# listed HELP: options in the help, -o too.
listed()
{
	"$cardmark" "$@" --help | grep -oE '^  (-[A-Za-z], )?--[a-z-]+(\[?=)?|^  -o ' | grep -oE '\-\-[a-z-]+(\[?=)?|-o' |
		sed -E 's/(.*)\[=$/\1\n\1=/' | sort | tr '\n' ' '
}


commands="probe run watch"
is "help " hel
if has_bench; then
	is "bench help probe report run stats watch " "" && is "bench " b
	commands="$commands bench report"
	is "barriers compare jemalloc lock-wait micro overhead programs resume " bench ""
	is "barriers compare jemalloc lock-wait micro overhead programs resume " help bench ""
	for sub in barriers compare jemalloc lock-wait micro overhead programs resume; do
		commands="$commands bench:$sub"
	done
	is "guile kv trees words " bench --program = ""
	is "scatter sparse stores trees updates " bench barriers --program = ""
	is "bare " bench micro --backend = bar
	is "mprotect " bench --backend = m
	is "uffd " bench micro --backend = u
fi
for command in $commands; do
	# shellcheck disable=SC2046 # a command and its subcommand
	set -- $(echo "$command" | tr : ' ')
	got=$(completed "$@" -)
	[ "$got" = "$(listed "$@")" ] || fail "$* -: $got; the help lists $(listed "$@")"
	case $got in
	*--help*--version*) ;;
	*) fail "$*: the options are not all there: the test is broken" ;;
	esac
done
is "A B " run --way = ""
is "--pause-target= " run --pause
is "libgc-mprotect " run --way = A --backend = libgc-m
: >"$scratch/statistics.json"
is "$scratch/statistics.json " run --stats = "$scratch/stat"
is "$scratch/statistics.json " run -- true "$scratch/stat"
is "$scratch/statistics.json " watch --svg = "$scratch/stat"
is "$scratch/statistics.json " watch -- true "$scratch/stat"
case " $(completed run tru)" in
*" true "*) ;;
*) fail "programs are not completed" ;;
esac

# The names of backends are those that the command takes.
for backend in $(completed run --backend = ""); do
	"$cardmark" run --backend="$backend" true >"$scratch/out" 2>&1
	[ $? -ne 2 ] || fail "the command knows no backend $backend"
done
for backend in $("$cardmark" probe --json | sed -nE 's/.*"name": "([a-z]+)".*/\1/p'); do
	is "$backend " run --backend = "$backend"
done

# Controls: a list of backends that is too short, and one with an invention.
sed 's/^_cardmark_backends=.*/_cardmark_backends="pagemap nonesuch"/' "$file" >"$scratch/broken"
file=$scratch/broken
[ -z "$(completed run --backend = uffd | tr -d ' ')" ] || fail "control: uffd is completed"
completed run --backend = none | grep -q nonesuch || fail "control: nonesuch is not completed"
usage_error "$cardmark" run --backend=nonesuch true
# A help with one option less is seen.
mkdir "$scratch/bin"
printf '#!/bin/sh\n"%s" "$@" | grep -v -e --verify\n' "$cardmark" >"$scratch/bin/cardmark"
chmod +x "$scratch/bin/cardmark"
whole=$(listed run)
cardmark=$scratch/bin/cardmark
[ "$(completed run -)" != "$whole" ] || fail "control: an option that the help lacks is completed"
finish
