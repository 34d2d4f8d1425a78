/* SPDX-License-Identifier: MIT
 *
 * Cards that are written before every collect: where a program allocates, mostly. To
 * arm such a card is to buy a fault for an answer that is known. So long runs of them
 * are left alone and reported as dirty for some collects, then armed and looked at again.
 * More is reported, never less. The tracker's lock protects it. */
#ifndef CM_BACKOFF_H
#define CM_BACKOFF_H

#include "cardmark/cardmark.h"
#include "lib/cards.h"
#include "lib/ranges.h"

/* A run costs a call or two of the kernel at each collect, which must not show in a
 * pause: few, and long ones. */
#define CM_BACKOFF_RUNS 64
#define CM_BACKOFF_RUN_CARDS 64

struct cm_backoff {
	unsigned collects;   /* that go by without a look; 0: off */
	size_t least;        /* cards of a run: CM_BACKOFF_RUN_CARDS but in tests */
	unsigned turn;       /* of the next collect, see cm_backoff_learn() */
	struct cm_cards low, /* two bits a card: collects in a row that found it dirty */
		high;
	size_t n;
	struct cardmark_run run[CM_BACKOFF_RUNS]; /* by address; may reach past what is tracked */
};

/* The first run that ends above at and is not to be looked at before the next collect
 * has answered. */
bool cm_backoff_next(const struct cm_backoff *b, uintptr_t at, struct cardmark_run *out);

/* Adds to a collect's report what was not looked at: how many cards of those tracked. */
size_t cm_backoff_join(const struct cm_backoff *b, const struct cm_ranges *all,
		       struct cm_cards *report);

/* What a collect found, joined already, all of it looked at or left alone on purpose:
 * decides about the next. */
void cm_backoff_learn(struct cm_backoff *b, const struct cm_cards *report);

#endif
