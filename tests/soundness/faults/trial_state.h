/* SPDX-License-Identifier: MIT
 *
 * Shared by the parts of a trial. */
#ifndef CM_TESTS_TRIAL_STATE_H
#define CM_TESTS_TRIAL_STATE_H

#include "tests/soundness/faults/trial.h"

struct trial_consumer {
	struct cardmark_consumer *consumer; /* NULL: there is none */
	bool due[TRIAL_PAGES];              /* must be in its next answer */
	enum cardmark_collected result;
	size_t extra; /* as below */
};

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
	/* A consumer's answer counted one, which the tracker's own next collect may still
	 * report. */
	bool guess_is_kept;
	bool child, cold;
	unsigned threads;
	struct trial_consumer consumers[TRIAL_CONSUMERS];
	bool takes_from_others; /* negative control: a consumer's question is the tracker's */
};

extern struct trial t;

static inline unsigned char *page(size_t i)
{
	return t.mem + i * t.card;
}

/* For the tracker's own answers, and for each consumer's. */
static inline void set_due(size_t i, bool due)
{
	t.due[i] = due;
	for (size_t k = 0; k < TRIAL_CONSUMERS; k++)
		t.consumers[k].due[i] = due;
}

/* Before a call that may fail. */
void trial_start_call(void);
/* Is the call over? If it failed, it must have failed as the contract allows, and is repeated:
 * the fault was for one time, or is gone from now on. */
bool trial_over(const char *call, int error);

#define DO(call, expression)                                                                       \
	do                                                                                         \
		trial_start_call();                                                                \
	while (!trial_over(call, (expression)))

struct cardmark_stats trial_stats(void);
uint64_t trial_guesses(void);

/* All consumers ask. */
void trial_consumers_collect(void);
/* Did each one's last answer have no more than the due pages? */
bool trial_consumers_exact(void);
void trial_consumer_delete(size_t k);

#endif
