/* SPDX-License-Identifier: MIT
 *
 * Cards that are written before every collect: mostly where a program allocates. Arming such a card
 * costs a fault, although the answer is known. So long runs of such cards are not armed and are
 * reported as dirty for some collects. Then they are armed and looked at again. Too much may be
 * reported, never too little. The tracker's lock protects it. */
#ifndef CM_BACKOFF_H
#define CM_BACKOFF_H

#include "cardmark/cardmark.h"
#include "lib/cards.h"
#include "lib/ranges.h"

/* A run costs a call or two of the kernel at each collect, and that must not show in a
 * pause. So there are few runs, and they are long. */
#define CM_BACKOFF_RUNS 64
#define CM_BACKOFF_RUN_CARDS 64

struct cm_backoff {
	unsigned collects;   /* for which a run is reported without a look; 0: off */
	size_t least;        /* cards of a run: CM_BACKOFF_RUN_CARDS but in tests */
	unsigned turn;       /* of the next collect, see cm_backoff_learn() */
	struct cm_cards low, /* two bits a card: collects in a row that found it dirty */
		high;
	size_t n;
	struct cardmark_run run[CM_BACKOFF_RUNS]; /* by address; may reach past what is tracked */
};

/* The first run that ends above at and that the next collect must not look at. */
bool cm_backoff_next(const struct cm_backoff *b, uintptr_t at, struct cardmark_run *out);

/* Adds to a collect's report the cards that were not looked at. Returns the number of tracked
 * cards. */
size_t cm_backoff_join(const struct cm_backoff *b, const struct cm_ranges *all,
		       struct cm_cards *report);

/* Decides which cards the next collect leaves alone. report: of this collect, after
 * cm_backoff_join(). */
void cm_backoff_learn(struct cm_backoff *b, const struct cm_cards *report);

#endif
