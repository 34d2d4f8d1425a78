/* SPDX-License-Identifier: MIT
 *
 * One table of functions for each backend. The tracker calls them under its
 * lock, with card-aligned pieces of ranges that are tracked; a backend knows
 * nothing of tables, options or collectors.
 *
 * Soundness lies here: whatever fails, harvest and scan report the piece they
 * were asked for whole (R1, R3) and count it. */
#ifndef CM_BACKEND_BACKEND_H
#define CM_BACKEND_BACKEND_H

#include "cardmark/cardmark.h"
#include "lib/cards.h"
#include "lib/ranges.h"

#include <stdatomic.h>

/* Counted by backends, read by cardmark_stats(): relaxed, they order nothing. */
struct cm_counters {
	_Atomic uint64_t kernel_calls, faults, guessed, rearmed;
	_Atomic int last_errno; /* positive */
	/* Around all that was found to be mapped anew, for the tracker to see what
	 * kind of memory came there; empty when start >= end. Its lock protects it. */
	uintptr_t anew_start, anew_end;
};

/* How long add may wait for a lock of the backend's own. */
#define CM_BACKEND_WAIT_ADD_NS UINT64_C(2000000000)

#define CM_COUNT(counter) atomic_fetch_add_explicit(&(counter), 1, memory_order_relaxed)

struct cm_backend_params {
	size_t chunk_bytes; /* card-aligned, not 0 */
	size_t vec_len;
	struct cm_counters *counters;
};

/* What a scan looks for. The tracker has checked that it can match. */
struct cm_masks {
	uint64_t required, any_of, excluded, returned;
};

/* Where a scan puts what it found: coalesces, counts, knows when it is full. */
struct cm_sink {
	struct cardmark_region *v; /* NULL: count only (CLEAR) */
	size_t cap, n;
	size_t pages, max_pages; /* max_pages SIZE_MAX: no limit */
	bool guessed;
};

struct cm_backend {
	const struct cm_backend_ops *ops;
	struct cm_backend_params params;
};

struct cm_backend_ops {
	enum cardmark_backend id;
	unsigned level;        /* of struct cardmark_probe */
	unsigned capabilities; /* enum cardmark_capability */
	bool starts_thread;    /* in open and fork_child */

	/* A backend that watches nothing yet. On failure -errno, and *why is a
	 * sentence for the user (static storage). */
	int (*open)(struct cm_backend **out, const struct cm_backend_params *params,
		    const char **why);
	/* Stops watching all, gives protection back (R9), frees. */
	void (*close)(struct cm_backend *b, const struct cm_ranges *all);

	/* Categories that scan can answer, in words of this kernel. */
	uint64_t (*categories)(struct cm_backend *b);
	/* Capabilities of this instance where they depend on privilege; NULL: ops->capabilities. */
	unsigned (*capabilities_now)(struct cm_backend *b);

	/* Starts watching a piece, or starts afresh. Until its first harvest
	 * everything in it counts as written. -errno: nothing changed. */
	int (*add)(struct cm_backend *b, const struct cm_range *piece);
	/* Like add, for a piece that overlaps what is watched already: everything
	 * in it counts as written again. NULL: add does that. */
	int (*restart)(struct cm_backend *b, const struct cm_range *piece);
	/* Stops watching; the memory may be gone already. Cannot fail. */
	void (*remove)(struct cm_backend *b, const struct cm_range *piece);

	/* Get-and-clear of all tracked ranges into a set that has room for them.
	 * Returns how many pieces it had to report whole. Runs while the world is
	 * stopped. */
	size_t (*harvest)(struct cm_backend *b, const struct cm_ranges *all, struct cm_cards *into);

	/* One piece of one range for the full query. Goes on until the piece is
	 * done or the sink is full; *resume says where it stopped (piece->end when
	 * done). all is there for a backend whose clear is process-wide. */
	void (*scan)(struct cm_backend *b, const struct cm_ranges *all,
		     const struct cm_range *piece, const struct cm_masks *masks,
		     enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume);

	/* In a fork child: descriptors and registrations are the parent's. Drop
	 * them without touching the parent and start afresh with everything
	 * written. -errno: not watching; may be called again. */
	int (*fork_child)(struct cm_backend *b, const struct cm_ranges *all);
};

extern const struct cm_backend_ops cm_backend_pagemap;
extern const struct cm_backend_ops cm_backend_softdirty;
extern const struct cm_backend_ops cm_backend_uffd;
extern const struct cm_backend_ops cm_backend_mprotect;
extern const struct cm_backend_ops cm_backend_alldirty;

/* The sink. Ask whether it is full before each put. */
bool cm_sink_full(const struct cm_sink *s);
void cm_sink_put(struct cm_sink *s, uintptr_t start, uintptr_t end, uint64_t categories);
/* A piece reported whole: matches by fiat. Needs one free slot. */
void cm_sink_guess(struct cm_sink *s, uintptr_t start, uintptr_t end, const struct cm_masks *m);

/* For backends that keep their written bits in a set: the full query composed
 * of those bits and /proc/self/pagemap (FILE, PRESENT, SWAPPED), read only when
 * a mask asks for it. rearm clears the bits of [start, end) and protects it
 * again. written NULL: everything is written. */
#define CM_COMPOSED_CATEGORIES                                                                     \
	(CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_FILE | CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)
void cm_composed_scan(struct cm_backend *b, const struct cm_range *piece,
		      const struct cm_masks *masks, enum cardmark_scan_op op, struct cm_sink *sink,
		      uintptr_t *resume, const struct cm_cards *written,
		      void (*rearm)(struct cm_backend *b, uintptr_t start, uintptr_t end));

static inline void cm_note_anew(struct cm_counters *c, uintptr_t start, uintptr_t end)
{
	CM_COUNT(c->rearmed);
	if (c->anew_start >= c->anew_end) {
		c->anew_start = start;
		c->anew_end = end;
		return;
	}
	if (start < c->anew_start)
		c->anew_start = start;
	if (end > c->anew_end)
		c->anew_end = end;
}

static inline void cm_note_errno(struct cm_counters *c, int error)
{
	atomic_store_explicit(&c->last_errno, error < 0 ? -error : error, memory_order_relaxed);
}

#endif
