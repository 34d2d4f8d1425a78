/* SPDX-License-Identifier: MIT
 *
 * What tests ask of the probe and of a tracker's description. */
#ifndef SUPPORT_BACKENDS_H
#define SUPPORT_BACKENDS_H

#include "cardmark/cardmark.h"

enum { PROBES = 8 }; /* room for all backends, and for those to come */

/* All of them, in order of preference. Returns how many. */
static inline int probe_all(struct cardmark_probe probes[PROBES])
{
	int n = 0;

	for (; n < PROBES; n++) {
		probes[n] = (struct cardmark_probe)CARDMARK_PROBE_INIT;
		if (cardmark_probe((unsigned)n, &probes[n]) < 0)
			break;
	}
	return n;
}

static inline struct cardmark_description described(const struct cardmark *tracker)
{
	struct cardmark_description d = CARDMARK_DESCRIPTION_INIT;

	(void)cardmark_describe(tracker, &d);
	return d;
}

/* False where it cannot be told. */
static inline bool says_tracked(struct cardmark *tracker, const void *addr, size_t len)
{
	bool tracked = true;
	int error = cardmark_is_tracked(tracker, addr, len, &tracked);

	return error == 0 && tracked;
}

#endif
