/* SPDX-License-Identifier: MIT
 *
 * Which writes an answer must have. The writer counts before and after each write. When an
 * answer has come, a card that it reports is settled up to the writes begun by then. A card
 * that it leaves out must have no write that began after the last answer that had it, and
 * was done before this question. A write meanwhile may be in either. */
#ifndef CM_TESTS_PERTURB_WATCH_H
#define CM_TESTS_PERTURB_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct watch {
	atomic_uint begun, done;
	unsigned settled;  /* writes begun when it was last reported */
	unsigned at_start; /* writes done when the question was asked */
	bool is_new;       /* tracked, and in no answer yet */
};

/* Returns with the write counted. */
static inline void watch_write(struct watch *w, volatile unsigned char *p)
{
	(void)atomic_fetch_add(&w->begun, 1);
	(*p)++;
	(void)atomic_fetch_add(&w->done, 1);
}

static inline void watch_settle(struct watch *w)
{
	w->settled = atomic_load(&w->begun);
	w->is_new = false;
}

static inline void watch_ask(struct watch *w)
{
	w->at_start = atomic_load(&w->done);
}

/* False: a write is lost. */
static inline bool watch_answer(struct watch *w, bool reported)
{
	bool lost = !reported && (int)(w->at_start - w->settled) > 0;

	if (reported || lost)
		watch_settle(w); /* told once */
	return !lost;
}

#endif
