# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completes the words of cardmark(1) in bash. Commands, options and what their values are come
# from the command's own --help, so that they are those of the version in use. Only the names of
# backends are a list here. tests/tools/completion_test.sh holds both against the command.

_cardmark_backends='pagemap softdirty uffd mprotect alldirty'

# The commands that the help on standard input lists.
_cardmark_commands()
{
	sed -nE 's/^  ([a-z][a-z-]*)  +[^ ].*/\1/p'
}

# The options that the help on standard input lists; a = says that a value follows.
_cardmark_options()
{
	sed -nE -e 's/^  (-[A-Za-z], )?(--[a-z][a-z-]*)\[=.*/\2\n\2=/p' \
		-e 's/^  (-[A-Za-z], )?(--[a-z][a-z-]*=).*/\2/p' \
		-e 's/^  (-[A-Za-z], )?(--[a-z][a-z-]*)( .*)?$/\2/p' -e 's/^  (-o) .*/\1/p'
}

# What may be the value of an option, after its name: FILE, DIR, or words.
_cardmark_values()
{
	local line
	line=$(sed -nE "s/^  (-[A-Za-z], )?$1\\[?=//p")
	case $line in
	FILE*) echo FILE ;;
	DIR*) echo DIR ;;
	NAME*' only '*) sed -E 's/.* only //; s/ \(.*//; s/ or |, /\n/g' <<<"$line" ;;
	'B '* | 'B') echo "$_cardmark_backends" ;;
	[A-Z]'|'*) sed -E 's/[] ].*//; s/\|/ /g' <<<"$line" ;;
	esac
}

_cardmark()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[0]} option='' words='' i
	local -a before=()

	COMPREPLY=()
	# bash makes words of --option=value: the = is one.
	if [[ $cur == = ]]; then
		option=$prev cur=''
	elif [[ $prev == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $prev == -o ]]; then
		option=FILE
	fi
	for ((i = 1; i < COMP_CWORD && ${#before[@]} < 2; i++)); do
		case ${COMP_WORDS[i]} in
		--) [[ ${before[0]-} != @(run|watch) ]] || before+=(--) ;;
		-*) ;;
		=) ((i += 1)) ;;
		*) before+=("${COMP_WORDS[i]}") ;;
		esac
	done
	case ${before[0]-} in
	'')
		words="help $("$command" --help 2>/dev/null | _cardmark_commands)"
		before=()
		;;
	help)
		[[ ${#before[@]} == 1 ]] && words=$("$command" --help 2>/dev/null | _cardmark_commands)
		[[ ${before[1]-} == bench ]] && words=$("$command" help bench 2>/dev/null | _cardmark_commands)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
		;;
	run | watch)
		if ((${#before[@]} > 1)); then # the program's own words
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
		before=("${before[0]}")
		;;
	bench) ((${#before[@]} > 1)) || words=$("$command" help bench 2>/dev/null | _cardmark_commands) ;;
	*) before=("${before[0]}") ;;
	esac
	if [[ -n $option ]]; then
		words=$option
		[[ $option == FILE ]] ||
			words=$("$command" "${before[@]}" --help 2>/dev/null | _cardmark_values "$option")
		[[ ${before[*]} == run && $option == --backend ]] &&
			words+=' auto libgc-mprotect libgc-own stop-the-world'
		[[ ${before[*]} == 'bench micro' && $option == --backend ]] && words+=' bare'
		case $words in
		FILE) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		DIR) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
		*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
		esac
		compopt -o filenames 2>/dev/null
		return
	fi
	[[ $cur == -* ]] &&
		words+=" $("$command" "${before[@]}" --help 2>/dev/null | _cardmark_options)"
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	case ${before[*]} in
	run | watch) [[ $cur == -* ]] || mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	report | 'bench resume' | 'bench compare')
		[[ $cur == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	esac
	[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
}

complete -F _cardmark cardmark
