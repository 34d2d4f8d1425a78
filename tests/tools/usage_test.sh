#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: bad usage ends with status 2 and one helpful line; --help,
# --version and probe work and say what they should.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"

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
	status 0 "$cardmark" bench "$sub" --help
	said out "Usage: cardmark bench $sub"
done
# What JSON cannot hold is refused before anything is measured.
if [ -r "$preload" ]; then
	status 1 "$cardmark" bench --program=trees "--json=$scratch/$(printf '\377').json"
	said err "is not UTF-8"
fi

for command in "" probe run bench report; do
	# shellcheck disable=SC2086
	status 0 "$cardmark" $command --help
	said out "Usage: cardmark"
done
status 0 "$cardmark" --version
said out "cardmark "

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
