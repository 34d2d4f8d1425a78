#!/bin/sh
# SPDX-License-Identifier: MIT
# Description: read(2) into the collected heap: works with the pagemap and uffd
# backends, fails with EFAULT in libgc's own mprotect mode.
. "${CARDMARK_SRCDIR:-.}/tests/boehm/lib.sh"

for backend in pagemap uffd; do
	under CARDMARK_BACKEND=$backend -- "$bin/efault" || continue
	if [ "$got" -eq 0 ] && [ "$(value efault:)" = 0 ] && [ "$(value lost:)" = 0 ]; then
		pass "$what: $(tail -1 "$scratch/out")"
	else
		fail "$what: status $got"
	fi
done
under CARDMARK_GC_MODE=libgc-mprotect -- "$bin/efault"
if [ "$got" -eq 0 ] && [ "$(value efault:)" -gt 0 ]; then
	pass "$what: $(tail -1 "$scratch/out")"
else
	fail "$what: status $got: no EFAULT"
fi
finish
