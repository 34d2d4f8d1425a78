/* SPDX-License-Identifier: MIT
 *
 * What the files of the tracker share: its state and its lock. */
#ifndef CM_TRACKER_H
#define CM_TRACKER_H

#include "cardmark/cardmark.h"
#include "lib/backend/backend.h"
#include "lib/backoff.h"
#include "lib/cards.h"
#include "lib/consumer.h"
#include "lib/errors.h"
#include "lib/fork.h"
#include "lib/holds.h"
#include "lib/ranges.h"
#include "common/signals.h"
#include "lib/verify.h"
#include "lib/waits.h"

#include <pthread.h>

struct cardmark_table {
	struct cardmark_table *next; /* of the owner's list */
	struct cardmark *owner;      /* NULL once the tracker is closed */
	struct cm_cards cards;
	bool all_dirty;
};

struct cardmark {
	struct cm_fork_hooks fork; /* first: lib/tracker.c */
	/* Protects everything below. A thread may be stopped while it holds it (by a tracer:
	 * signals are blocked), so no call waits for it without a bound. No malloc is called
	 * under it. */
	pthread_mutex_t lock;
	sigset_t signals;           /* of the thread that has the lock, as they were */
	struct cm_backend *backend; /* constant after open */
	struct cm_ranges ranges;
	struct cm_cards tracked; /* the same cards, for calls that ask without the lock */
	struct cardmark_table *tables;
	struct cm_cards fresh; /* tracked and not cleared since: SCAN_IGNORE_NEW */
	bool any_fresh;
	struct cm_kept kept; /* for the next answer: cards that precleans and consumers took */
	struct cardmark_consumer *consumers;
	struct cm_holds holds;
	/* With CARDMARK_OPEN_DISCARDS: reported with data and not found empty since. */
	bool discards, discard_is_write;
	struct cm_cards populated;
	struct cm_verify verify;
	struct cm_backoff backoff;
	/* For these three, and for consumers: the cards of one collect or clearing scan alone,
	 * before they are added to a set that holds others. */
	struct cm_cards report;
	bool has_report;
	size_t chunk_bytes;
	enum cardmark_huge huge;
	bool suspended;
	/* A raw clone made this process while a thread was inside: everything is dirty for ever.
	 * Set before any thread can have the lock here, and read only by the thread that has the
	 * lock. */
	bool torn;
	bool lost; /* the backend could not be rebuilt in a fork child: all dirty, try again */
	struct cm_counters counters;
	_Atomic bool told_all;       /* a collect without the lock: nothing is new any more */
	_Atomic unsigned waiting;    /* collects that want the lock: a preclean lets them */
	_Atomic unsigned queue;      /* calls that wait for it */
	_Atomic(pthread_t) last;     /* the thread that had it last */
	_Atomic uint64_t all_dirty;  /* counted without the lock */
	struct cardmark_stats stats; /* what the counters do not have */
	char why_no_better[1024];
};

/* A call stops waiting. The count does not go below 0: a signal handler may have forked meanwhile,
 * and the child begins with 0. */
static inline void cm_count_down(_Atomic unsigned *calls)
{
	unsigned n = atomic_load_explicit(calls, memory_order_relaxed);

	while (n != 0 && !atomic_compare_exchange_weak_explicit(
				 calls, &n, n - 1, memory_order_relaxed, memory_order_relaxed))
		;
}

/* lib/lock.c. Takes the lock, with this thread's signals blocked. Rebuilds trackers first if
 * this is a fork child that has not yet. False: it did not come in time, or the tracker is
 * torn. */
bool cm_tracker_lock(struct cardmark *cm, uint64_t wait_ns);
void cm_tracker_unlock(struct cardmark *cm);
/* Takes the lock for any call but collect: 0, or -EBUSY and a message. */
int cm_tracker_enter(struct cardmark *cm);

/* lib/answer.c. What the backend owes from earlier harvests is kept for the next answer. */
void cm_tracker_take_owed(struct cardmark *cm);
/* A call answered "all dirty" without having the lock: nothing is new any more. */
void cm_tracker_told_all(struct cardmark *cm);
/* True while everything is dirty because no backend works: suspended, or not
 * rebuilt in a fork child, which it tries again. */
bool cm_tracker_still_lost(struct cardmark *cm);
/* Is [at, *end) dirty even if the backend does not report it, because it is kept by a preclean, or
 * held? Lowers *end to the end of this answer. */
bool cm_tracker_forced(const struct cardmark *cm, uintptr_t at, uintptr_t *end);

/* lib/discard.c. Moves the cards of span that hold no data any more from populated to a
 * set. Returns how many pieces it had to guess. */
size_t cm_discard_take(struct cardmark *cm, struct cardmark_run span, struct cm_cards *into,
		       bool as_written);

/* lib/mappings.c. The piece of [at, end) to track in one step: its end, kind and protection. */
int cm_tracker_next_piece(const struct cardmark *cm, unsigned flags, uintptr_t at, uintptr_t end,
			  struct cm_range *out);
/* Sets a message with the reason why the backend does not watch a piece. Returns an error of the
 * closed list. */
int cm_tracker_refused(const struct cardmark *cm, const struct cm_range *piece, int error);
/* Before a harvest, and after a harvest or a scan: memory that was mapped anew may be of
 * another kind. */
void cm_tracker_recheck(struct cardmark *cm);

/* lib/options.c: defaults, then options, then the environment. */
int cm_options_resolve(struct cardmark_options *out, const struct cardmark_options *in);

/* lib/probe.c: opens the best backend that can be opened for these options, or the one asked
 * for; fills why with the reasons against better ones. An error of the closed list. */
int cm_probe_open(struct cm_backend **out, const struct cardmark_options *options,
		  const struct cm_backend_params *params, char *why, size_t len);

#endif
