/* SPDX-License-Identifier: MIT
 *
 * Finds which parts of a piece are mapped, without /proc and without a descriptor, because a
 * program may have neither left when its memory has to be given back. One call answers "is all of
 * it mapped?", another "is none of it mapped?"; both are asked for ever smaller pieces. */
#ifndef CM_BACKEND_HOLES_H
#define CM_BACKEND_HOLES_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>

/* How far [at, end) is mapped (full), or vacant, from at on. -errno: could not be asked. */
static inline int cm_reach(uintptr_t at, uintptr_t end, bool full, int prot, uintptr_t *out)
{
	size_t card = cardmark_card_size();
	size_t known = 0, n = (end - at) / card, try = n;

	/* All of the first `known` cards are, and not all of the first n + 1. */
	while (known < n) {
		int answer =
			full ? cm_os->covered(at, try * card) : cm_os->vacant(at, try * card, prot);

		if (full)
			answer = answer == 0 ? 1 : answer == -ENOMEM ? 0 : answer;
		if (answer < 0)
			return answer;
		if (answer > 0)
			known = try;
		else
			n = try - 1;
		try = known + (n - known + 1) / 2;
	}
	*out = at + known * card;
	return 0;
}

/* The first part of [at, end) that is mapped without a hole: 1, 0 if there is none, or
 * -errno. */
static inline int cm_next_mapped(uintptr_t at, uintptr_t end, int prot, struct cardmark_run *out)
{
	int error = cm_reach(at, end, false, prot, &out->start);

	if (error == 0)
		error = cm_reach(out->start, end, true, prot, &out->end);
	/* Neither mapped nor vacant: the piece changes meanwhile, or this kernel does not behave
	 * like Linux. */
	if (error == 0 && out->start < end && out->end == out->start)
		error = -EIO;
	return error < 0 ? error : out->start < end;
}

#endif
