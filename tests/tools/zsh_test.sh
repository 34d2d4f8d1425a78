#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: zsh completes each command, each option and the values that the command takes.
# Control: an option that the help lacks is missed.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

command -v zsh >/dev/null || skip "zsh is not installed"
file=${CARDMARK_SRCDIR:-.}/tools/completions/_cardmark

# What stands for zsh's own functions here: each writes the words that zsh would match.
cat >"$scratch/zsh" <<'ZSH'
setopt extended_glob
compset() { true }
compadd() { while [[ $1 == -* ]]; do shift; done; print -rl -- "$@" }
_files() { print -r -- files $* }
_command_names() { print commands }
_normal() { print -r -- "program: $words, word $CURRENT" }
_describe()
{
	[[ $1 != -o ]] || shift
	shift
	local array
	for array in "$@"; do
		[[ $array != list && $array != plain && $array != valued ]] || print -rl -- ${${(P)array}%%:*}
	done
}
file=$1
shift
words=("$@") CURRENT=$#
. $file
ZSH

# completed WORD...: what the last of the words can become, in one line, sorted.
completed()
{
	for word in "$@"; do :; done
	case $word in
	--*=*) word=${word#*=} ;;
	esac
	zsh -f "$scratch/zsh" "$file" "$@" 2>&1 | grep . | grep -e "^$word" -e '^program:' -e '^files' -e '^commands' |
		sort -u | tr '\n' ' '
}

# is WANTED WORD...
is()
{
	want=$1
	shift
	got=$(completed "$cardmark" "$@")
	[ "$got" = "$want" ] || fail "$* becomes: $got; not: $want"
}

listed()
{
	"$cardmark" "$@" --help | grep -oE '^  (-[A-Za-z], )?--[a-z-]+(\[?=)?|^  -o ' | grep -oE '\-\-[a-z-]+(\[?=)?|-o' |
		sed -E 's/(.*)\[=$/\1\n\1=/' | grep -e '^--' | sort -u | tr '\n' ' '
}

commands="run watch"
is "help " hel
if has_bench; then
	is "bench help probe report run stats watch " ""
	is "guile kv trees words " bench programs --program=
	is "bare " bench micro --backend=bar
	is "barriers compare jemalloc lock-wait micro overhead programs resume " bench ""
	is "barriers compare jemalloc lock-wait micro overhead programs resume " help bench ""
	is "files " report ""
	commands="probe run watch report stats bench:micro bench:programs bench:barriers"
fi
for command in $commands; do
	# shellcheck disable=SC2046 # a command and its subcommand
	set -- $(echo "$command" | tr : ' ')
	is "$(listed "$@")" "$@" --
done
is "A B " run --way=
is "alldirty auto libgc-mprotect libgc-own mprotect pagemap softdirty stop-the-world uffd " run --backend=
is "files " run --trace=
is "commands " run ""
is "commands " run --verify gui
is "program: guile prog, word 2 " run --verify guile prog
is "program: true --he, word 2 " run -- true --he
is "files " watch --svg=
is "commands " watch --raw gui
is "program: true --he, word 2 " watch -- true --he

mkdir "$scratch/bin"
printf '#!/bin/sh\n"%s" "$@" | grep -v -e --verify\n' "$cardmark" >"$scratch/bin/cardmark"
chmod +x "$scratch/bin/cardmark"
whole=$(listed run)
cardmark=$scratch/bin/cardmark
[ "$(completed "$cardmark" run --)" != "$whole" ] || fail "control: an option that the help lacks is completed"
finish
