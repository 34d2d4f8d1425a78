/* SPDX-License-Identifier: MIT
 *
 * What the parts of a trial share. */
#ifndef CM_TESTS_TRIAL_STATE_H
#define CM_TESTS_TRIAL_STATE_H

#include "tests/soundness/trial.h"

struct trial {
	enum cardmark_backend backend;
	unsigned capabilities;
	int report, descriptors;
	size_t card;
	unsigned char *mem;
	unsigned char value[TRIAL_PAGES];
	struct cardmark *cm;
	struct cardmark_table *table;
	bool tracked[TRIAL_PAGES], held[TRIAL_PAGES];
	bool full[TRIAL_PAGES];                          /* holds data */
	bool due[TRIAL_PAGES];                           /* must be in the next answer */
	bool known_full[TRIAL_PAGES], gone[TRIAL_PAGES]; /* for discarded */
	bool suspended, discards, discard_is_write;
	enum cardmark_collected result;
	size_t extra;     /* pages of the last collect that were not due */
	uint64_t guesses; /* counted until the last answer */
	bool child, cold;
	unsigned threads;
};

extern struct trial t;

static inline unsigned char *page(size_t i)
{
	return t.mem + i * t.card;
}

/* Before a call that may fail. */
void trial_start_call(void);
/* Is the call over? If it failed it must have failed well, and is made again: the
 * fault was for one time, or is gone from now on. */
bool trial_over(const char *call, int error);

#define DO(call, expression)                                                                       \
	do                                                                                         \
		trial_start_call();                                                                \
	while (!trial_over(call, (expression)))

struct cardmark_stats trial_stats(void);

#endif
