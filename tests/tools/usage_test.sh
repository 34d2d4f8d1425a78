#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: bad usage ends with status 2 and one helpful line; --help,
# --version and probe work and say what they should. In a build without jansson too.
needs_bench=no
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

version=$(sed -n 's/^PACKAGE_VERSION = //p' "$builddir/Makefile")
[ -n "$version" ] || fail "the build tree has no version: the test is broken"
usage_error "$cardmark"
usage_error "$cardmark" nosuch
said err nosuch
usage_error "$cardmark" probe --nosuch
usage_error "$cardmark" probe extra
usage_error "$cardmark" run
usage_error "$cardmark" run --
usage_error "$cardmark" run --nosuch true
usage_error "$cardmark" run --backend
usage_error "$cardmark" run --backend=nosuch true
said err nosuch
usage_error "$cardmark" run --way=C true
for target in 0 -1 5x "" inf nan 0x5 1e3 1.2.3 99999999; do
	usage_error "$cardmark" run "--pause-target=$target" true
done
usage_error "$cardmark" run --raw true
usage_error "$cardmark" run --verify --backend=stop-the-world true
said err "--verify"
# Options that exclude each other.
usage_error "$cardmark" run --way=A --backend=libgc-mprotect true
said err "--way"
usage_error "$cardmark" run --pause-target=5 --backend=stop-the-world true
said err "--pause-target"
commands="probe run watch"
if has_bench; then
	commands="$commands bench report"
else
	status 1 "$cardmark" bench --help
	said err "bench: left out of this build"
	status 1 "$cardmark" report
	said err "report: left out of this build"
fi
for command in "" $commands; do
	for option in --help -h; do
		# shellcheck disable=SC2086
		status 0 "$cardmark" $command $option
		said out "Usage: cardmark"
		said out "-h, --help"
		said out "-V, --version"
	done
	# shellcheck disable=SC2086
	status 0 "$cardmark" help $command
	said out "Usage: cardmark $command"
	for option in --version -V; do
		# shellcheck disable=SC2086
		status 0 "$cardmark" $command $option
		said out "cardmark $version"
	done
done
usage_error "$cardmark" help nosuch
said err nosuch
usage_error "$cardmark" help probe run
usage_error "$cardmark" help run true
# A full disk is an error, not silence.
if [ -w /dev/full ]; then
	"$cardmark" probe >/dev/full 2>"$scratch/err" && fail "probe to a full disk succeeded"
fi

status 0 "$cardmark" probe
for backend in pagemap softdirty uffd mprotect alldirty; do
	said out " $backend "
done
said out "automatic choice takes"
status 0 "$cardmark" probe --json
said out '"format": "cardmark-probe"'
if command -v python3 >/dev/null; then
	python3 -c '
import json, sys
p = json.load(open(sys.argv[1]))
assert p["version"] == 1
names = [b["name"] for b in p["backends"]]
assert names == ["pagemap", "softdirty", "uffd", "mprotect", "alldirty"], names
chosen = [b for b in p["backends"] if b["name"] == p["automatic"]]
assert len(chosen) == 1 and chosen[0]["usable"]
assert all(b["usable"] or b["reason"] for b in p["backends"])
assert ("advice" in p) == (not p["backends"][0]["usable"])
' "$scratch/out" || fail "probe --json is not what it should be"
fi
finish
