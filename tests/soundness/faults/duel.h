/* SPDX-License-Identifier: MIT
 *
 * Two threads use one tracker: a call of ours, in which one kernel call stops its thread, and
 * other actions meanwhile. A written page must be in an answer that ends after the write. At
 * the end memory is as it should be, and the answers become exact again. */
#ifndef CM_TESTS_DUEL_H
#define CM_TESTS_DUEL_H

#include <stdbool.h>
#include <stddef.h>

/* Where both happen. */
enum duel_place { DUEL_HERE, DUEL_FORK_CHILD, DUEL_RAW_CHILD, DUEL_PLACES };

/* For controls. */
enum duel_fault {
	DUEL_SOUND,
	DUEL_FORGETS,       /* the next tracker ignores the debt of a late helper */
	DUEL_READS_NOTHING, /* a call that fails keeps failing to the end */
	DUEL_INHERITS       /* a child asks through the descriptors that it has inherited (R5) */
};

struct duel_side {
	const char *name;
	unsigned needs;       /* enum cardmark_capability */
	unsigned places;      /* bits: 1 << enum duel_place */
	bool second, handler; /* opens a second tracker; is a signal handler */
	bool clones;          /* by clone(2), without the C library */
	bool closes, asks;    /* leaves no tracker; needs an open one */
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

/* Can these two be combined? */
bool duel_fits(const struct duel *d, unsigned capabilities, bool one_tracker);
/* In a process of its own, after trial_begin() and inject_begin(). */
void duel_act(void);

#endif
