/* SPDX-License-Identifier: MIT
 *
 * Consumers of one tracker: each asks for the cards written since it last asked.
 *
 * The backend reports a write once. So a call that takes cards from it (a collect, a preclean, a
 * clearing scan) gives them to each consumer that did not ask: to its `kept` set, which is joined
 * to its next answer. The tracker itself is the first consumer. All of it is under the tracker's
 * lock, and the sets' memory is set aside by track, so that no collect needs any. */
#ifndef CM_CONSUMER_H
#define CM_CONSUMER_H

#include "lib/cards.h"

struct cardmark;

/* Cards that were taken from the backend since the consumer asked. */
struct cm_kept {
	struct cm_cards cards;
	bool any;
	size_t guessed; /* pieces of it that were guessed */
};

struct cardmark_consumer {
	struct cardmark_consumer *next; /* of the owner's list */
	struct cardmark *owner;         /* NULL once the tracker is closed */
	struct cm_kept kept;
	/* Tracked before the consumer was made, and not asked about since: cards that hold data
	 * are dirty. */
	struct cm_cards unseen;
	bool any_unseen;
};

/* For cards that are taken from the backend without a consumer's question. cm_take() has the set
 * to put them in; without consumers that is the tracker's own. cm_taken() gives them to all. */
struct cm_cards *cm_take(struct cardmark *cm);
void cm_taken(struct cardmark *cm, size_t guessed);

/* Puts cards in the next answer of all but one. NULL: of all. */
void cm_keep(struct cardmark *cm, const struct cm_cards *cards, size_t guessed,
	     const struct cm_kept *but);
/* Puts the tracked cards there in the next answer of all. */
void cm_keep_run(struct cardmark *cm, struct cardmark_run run, size_t guessed);

/* Of all consumers. */
int cm_consumers_reserve(struct cardmark *cm, uintptr_t start, uintptr_t end);
void cm_consumers_clear(struct cardmark *cm, uintptr_t start, uintptr_t end);
size_t cm_consumers_bytes(const struct cardmark *cm);
void cm_consumers_detach(struct cardmark *cm); /* the tracker is closed */

#endif
