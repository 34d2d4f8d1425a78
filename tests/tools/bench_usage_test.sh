#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: bad usage of cardmark bench ends with status 2 and one helpful line; each
# subcommand and each program behind it knows --help and --version.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

version=$(sed -n 's/^PACKAGE_VERSION = //p' "$builddir/Makefile")
[ -n "$version" ] || fail "the build tree has no version: the test is broken"
usage_error "$cardmark" bench --program=nosuch
usage_error "$cardmark" bench --backend=nosuch
usage_error "$cardmark" bench --backend=auto
usage_error "$cardmark" bench --blocks=0
usage_error "$cardmark" bench --blocks=x
usage_error "$cardmark" bench --seed=-1
usage_error "$cardmark" bench --seed=99999999999999999999
usage_error "$cardmark" bench --size=
usage_error "$cardmark" bench --json=
usage_error "$cardmark" bench extra
usage_error "$cardmark" bench programs extra

# An option of another subcommand is an error that names the right one, and what was an
# option in 0.1 names its subcommand.
usage_error "$cardmark" bench micro --rate=5
said err "--rate is an option of bench programs"
usage_error "$cardmark" bench overhead --json=x
said err "programs and barriers and micro"
usage_error "$cardmark" bench barriers --filter=x
said err "--filter is an option of bench micro"
usage_error "$cardmark" bench compare a b --seed=1
usage_error "$cardmark" bench --fail-above=1
for sub in micro barriers overhead jemalloc lock-wait resume compare; do
	usage_error "$cardmark" bench "--$sub"
	said err "'cardmark bench $sub'"
	usage_error "$cardmark" bench "$sub" --nosuch
	said err "cardmark bench $sub: "
done
usage_error "$cardmark" bench --micro=fault
said err "'cardmark bench micro'"
for sub in programs micro barriers overhead jemalloc lock-wait resume compare; do
	for help in "bench $sub --help" "bench $sub -h" "help bench $sub"; do
		# shellcheck disable=SC2086
		status 0 "$cardmark" $help
		said out "Usage: cardmark bench $sub"
	done
	status 0 "$cardmark" bench "$sub" -V
	said out "$version"
done
# Options that exclude each other.
for sub in programs micro barriers; do
	usage_error "$cardmark" bench "$sub" --full --quick
	said err "--full and --quick exclude each other"
done
usage_error "$cardmark" help bench micro fault
# What JSON cannot hold is refused before anything is measured.
if [ -r "$preload" ]; then
	status 1 "$cardmark" bench --program=trees "--json=$scratch/$(printf '\377').json"
	said err "is not UTF-8"
fi

# The programs behind the command.
for program in bench/boehm/trees bench/boehm/words bench/boehm/kv bench/cardmark-overhead \
	bench/cardmark-lockwait bench/cardmark-jemalloc bench/cardmark-micro examples/minigc/minigc; do
	[ -x "$builddir/$program" ] || continue
	for option in --help -h; do
		status 0 "$builddir/$program" $option
		said out "Usage: "
	done
	for option in --version -V; do
		status 0 "$builddir/$program" $option
		case $program in
		bench/boehm/*) said out "libgc " ;;
		*) said out "$version" ;;
		esac
	done
done
finish
