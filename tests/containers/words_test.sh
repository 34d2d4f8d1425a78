#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: what `cardmark probe` and `cardmark run` print where a userfaultfd is refused: the
# cause, and what to do. Control: where it is not refused, they print nothing of the kind.
. "${CARDMARK_SRCDIR:-.}/tests/tools/lib.sh"
world=$builddir/tests/containers/refused_test
torture=$builddir/tests/boehm/torture

"$world" --in "refused, no device" true ||
	skip "no seccomp filter, or no /dev of its own: this needs root"
"$cardmark" probe >"$scratch/out"
grep -q '^ *pagemap *usable' "$scratch/out" || skip "pagemap does not work here at all"
if grep -q refuses "$scratch/out"; then
	fail "probe talks of a refusal where there is none"
fi

# in_world WORLD BACKEND WORDS...: which backend is taken there, and the words of it.
in_world()
{
	where=$1 backend=$2
	shift 2
	status 0 "$world" --in "$where" "$cardmark" probe
	said out "The automatic choice takes $backend."
	for words; do said out "$words"; done
	status 0 "$world" --in "$where" "$cardmark" probe --json
	said out "\"automatic\": \"$backend\""
	[ -x "$torture" ] && [ -r "$preload" ] || return
	status 0 "$world" --in "$where" "$cardmark" run -- "$torture" -t 1 -d 1 -m 8
	if [ "$backend" = pagemap ]; then
		if grep -q refuses "$scratch/err"; then
			fail "run talks of a refusal, in: $where"
		fi
		return
	fi
	said err "runs on $backend, which is not the best backend: pagemap: "
	for words; do
		case $words in "This kernel"*) ;; *) said err "$words" ;; esac
	done
}

best=$("$world" --in "refused, no device" "$cardmark" probe | sed -n 's/^The automatic choice takes \(.*\)\.$/\1/p')
in_world "nothing is refused" pagemap
in_world "the call is refused" pagemap
in_world "the call is hidden" pagemap
in_world "refused, no device" "$best" \
	"a seccomp filter refuses userfaultfd, and there is no /dev/userfaultfd: allow the call, or pass the device in" \
	"This kernel is new enough"
in_world "hidden, no device" "$best" "a seccomp filter refuses userfaultfd, and there is no /dev/userfaultfd"
in_world "refused, and devices too" "$best" "a device cgroup or filter refuses /dev/userfaultfd"
in_world "PAGEMAP_SCAN is refused" uffd "refuses PAGEMAP_SCAN: allow ioctl(2)"
finish
