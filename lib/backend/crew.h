/* SPDX-License-Identifier: MIT
 *
 * Helper threads that take part in a harvest. The caller cuts the work into units and offers them
 * in slots. Any free thread takes one, the caller too, and the caller gathers the helpers' answers.
 * There is no lock: a unit's state determines which thread may touch it, and a helper that is
 * stopped anywhere holds at most one.
 *
 *     EMPTY -> READY -> TAKEN -> DONE -> EMPTY      the usual life
 *                       TAKEN -> LATE -> BACK -> EMPTY
 *
 * A helper that does not finish in time is late: its unit is reported whole. But
 * it may still clear bits at any later time, also those of cards written since. So
 * every tracker owes its unit (owed.h) until the helper has come back. The answer
 * that it brings then is dropped. */
#ifndef CM_BACKEND_CREW_H
#define CM_BACKEND_CREW_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <pthread.h>

/* Small enough to share a small heap fairly: 16 MiB of 4 KiB pages, 7 us of a scan
 * that finds nothing. */
#define CM_UNIT_CARDS 4096
#define CM_UNIT_WORDS (CM_UNIT_CARDS / 64 + 1) /* it may begin inside a word */

/* In a pause, for all helpers together; after that their units are late. */
#define CM_CREW_WAIT_NS UINT64_C(20000000)

struct cm_unit {
	_Alignas(64) _Atomic int state;
	unsigned owed; /* once LATE: its place in the list of owed.h */
	/* Question. */
	uintptr_t start, end; /* at most CM_UNIT_CARDS cards */
	enum cm_kind kind;
	int fd;
	struct pm_scan_arg arg; /* except for what the thread that does it fills in */
	/* Answer of a helper: cards found before reached, from the word that holds
	 * start. All zero again when the unit is EMPTY. */
	int error; /* [reached, end) is to be reported whole */
	uintptr_t reached;
	uint64_t bits[CM_UNIT_WORDS];
};

struct cm_crew_shared;

struct cm_crew {
	struct cm_crew_shared *shared; /* NULL: only the caller. Zero in a fork child */
	size_t bytes;
};

/* What a helper does with a unit it has taken, in vec_len regions of its own. */
typedef void cm_crew_work(struct cm_unit *unit, struct page_region *vec, size_t vec_len,
			  struct cm_counters *counters);

/* Starts threads - 1 helpers, with all signals blocked. 0 or -ENOMEM. */
int cm_crew_open(struct cm_crew *crew, const struct cm_backend_params *params, cm_crew_work *work);
/* Ends and waits for them. */
void cm_crew_close(struct cm_crew *crew);
/* How many take part, the caller among them: 1 in a fork child. */
unsigned cm_crew_threads(const struct cm_crew *crew);

/* The caller's side of a harvest; arg goes to each. */
struct cm_crew_job {
	bool (*fill)(void *arg, struct cm_unit *unit); /* the next question; false: no more */
	void (*do_it)(void *arg, struct cm_unit *unit);
	void (*gather)(void *arg, struct cm_unit *unit); /* a helper has done it */
	void (*give_up)(void *arg, const struct cm_unit *unit);
	void *arg;
};
/* Returns when every unit was done, gathered or given up. */
void cm_crew_run(struct cm_crew *crew, const struct cm_crew_job *job);

/* Waits for late helpers, but not for ever. False: one is still late. */
bool cm_crew_settle(struct cm_crew *crew, uint64_t wait_ns);

#endif
