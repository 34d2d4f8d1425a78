/* SPDX-License-Identifier: MIT
 *
 * Two threads at one tracker: a call of ours, one kernel call of which stops its thread, and
 * what goes on meanwhile. A page that is written must be in an answer that ends after it was
 * written; memory is at the end as it should be, and the answers become exact again. */
#ifndef CM_TESTS_DUEL_H
#define CM_TESTS_DUEL_H

#include <stdbool.h>
#include <stddef.h>

/* Where both happen. */
enum duel_place { DUEL_HERE, DUEL_FORK_CHILD, DUEL_RAW_CHILD, DUEL_PLACES };

/* For controls. */
enum duel_fault {
	DUEL_SOUND,
	DUEL_FORGETS,       /* the next tracker does not pay what a late helper owes */
	DUEL_READS_NOTHING, /* what fails does so to the end */
	DUEL_INHERITS       /* a child asks through the descriptors that it has inherited (R5) */
};

struct duel_side {
	const char *name;
	unsigned needs;       /* enum cardmark_capability */
	unsigned places;      /* bits: 1 << enum duel_place */
	bool second, handler; /* opens a second tracker; is a signal handler */
	bool clones;          /* by clone(2), without the C library */
	bool closes, asks;    /* leaves no tracker; needs one that is there */
	void (*run)(void);
};

extern const struct duel_side duel_calls[], duel_others[];
extern const size_t n_duel_calls, n_duel_others;

struct duel {
	const struct duel_side *call, *other;
	enum duel_place place;
	unsigned threads;
	enum duel_fault fault;
};

extern struct duel duel;

/* Do these two go together? */
bool duel_fits(const struct duel *d, unsigned capabilities, bool one_tracker);
/* In a process of its own, after trial_begin() and inject_begin(). */
void duel_act(void);

#endif
