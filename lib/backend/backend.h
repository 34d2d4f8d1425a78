/* SPDX-License-Identifier: MIT
 *
 * One table of functions for each backend. The tracker calls them under its
 * lock, with card-aligned pieces of ranges that are tracked; a backend knows
 * nothing of tables, options or collectors.
 *
 * Soundness depends on this: after any failure, harvest and scan report the whole piece that they
 * were asked for (R1, R3) and count it. */
#ifndef CM_BACKEND_BACKEND_H
#define CM_BACKEND_BACKEND_H

#include "common/usdt.h"
#include "cardmark/cardmark.h"
#include "lib/cards.h"
#include "lib/os/os.h"
#include "lib/ranges.h"

#include <stdatomic.h>

/* Counted by backends, read by cardmark_stats(): relaxed, they order nothing. */
struct cm_counters {
	_Atomic uint64_t kernel_calls, faults, guessed, rearmed, reopened;
	_Atomic int last_errno; /* positive */
	/* A span around all new mappings that were found: the tracker then looks up their kind of
	 * memory. Empty when start >= end. The tracker's lock protects it. */
	uintptr_t anew_start, anew_end;
};

/* How long add may wait for a lock of the backend's own. */
#define CM_BACKEND_WAIT_ADD_NS UINT64_C(2000000000)

/* R10. A call that scans holds the address space's lock, shared. A thread that waits to change
 * mappings is woken only when the call ends, and before it is awake the next call takes the lock
 * again: readers may overtake a sleeping writer, until the writer has waited for two ticks of the
 * kernel's clock (1a728dff855a, Linux 5.11; a tick is 4 ms with HZ=250). So small calls alone do
 * not bound its wait, but a rest of about the time of a wake-up does. */
#define CM_REST_AFTER_NS UINT64_C(500000)
#define CM_REST_NS UINT64_C(1000) /* the timer's slack makes 50 us of it */

static inline void cm_rest(uint64_t *since)
{
	if (cm_os->now() - *since < CM_REST_AFTER_NS)
		return;
	cm_os->nap(CM_REST_NS);
	*since = cm_os->now();
}

#define CM_COUNT(counter) atomic_fetch_add_explicit(&(counter), 1, memory_order_relaxed)

struct cm_backend_params {
	size_t chunk_bytes; /* card-aligned, not 0 */
	size_t vec_len;
	bool concurrent;  /* mutators run: let them at the address space now and then (R10) */
	unsigned threads; /* that may take part in a harvest, the caller among them */
	struct cm_counters *counters;
};

/* The whole address space: harvest's usual span. */
#define CM_ALL ((struct cardmark_run){ 0, CM_ADDRESS_LIMIT })

/* What a scan looks for. The tracker has checked that it can match. */
struct cm_masks {
	uint64_t required, any_of, excluded, returned;
};

/* Takes the results of a scan: joins and counts them, and knows when it is full. */
struct cm_sink {
	struct cardmark_region *v; /* NULL: count only (CLEAR) */
	size_t cap, n;
	size_t pages, max_pages;       /* max_pages SIZE_MAX: no limit */
	uint64_t also;                 /* categories that every region has besides what is found */
	struct cm_cards *adds, *drops; /* NULL, or sets that get or lose what is put here */
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
	bool starts_thread;    /* in open and rebuild */
	bool tells_huge;       /* add returns -ENOTSUP for huge TLB pages: no need to look first */
	/* A read of an empty card, which maps the zero page there, is not reported. */
	bool ignores_zero_page;

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
	/* The number of threads that take part in a harvest now; NULL: only the caller. */
	unsigned (*threads)(struct cm_backend *b);

	/* Starts watching a piece, or starts afresh. Until its first harvest
	 * everything in it counts as written. -errno: nothing changed. */
	int (*add)(struct cm_backend *b, const struct cm_range *piece);
	/* Stops watching; the memory may be gone already. Cannot fail. */
	void (*remove)(struct cm_backend *b, const struct cm_range *piece);

	/* Get-and-clear of the tracked ranges that lie in span into a set that has
	 * room for them. Returns how many pieces it had to report whole. Runs while the
	 * world is stopped. Without CARDMARK_CAP_CONCURRENT span is always CM_ALL. */
	size_t (*harvest)(struct cm_backend *b, const struct cm_ranges *all,
			  struct cardmark_run span, struct cm_cards *into);

	/* One piece of one range for the full query. Goes on until the piece is
	 * done or the sink is full; *resume is where it stopped (piece->end when
	 * done). all is there for a backend whose clear is process-wide. */
	void (*scan)(struct cm_backend *b, const struct cm_ranges *all,
		     const struct cm_range *piece, const struct cm_masks *masks,
		     enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume);

	/* Opens files again that the program has closed, with everything written. Before add;
	 * harvest and scan do it themselves. NULL: there are no files. */
	void (*check)(struct cm_backend *b, const struct cm_ranges *all);

	/* Adds the cards that earlier harvests owe (see owed.h) to a set that has room for them.
	 * Returns how many pieces. harvest does this itself, a scan does not. NULL: nothing is
	 * owed. */
	size_t (*take_owed)(struct cm_backend *b, const struct cm_ranges *all,
			    struct cm_cards *into);

	/* Before suspend: waits for threads of its own that may use the descriptors yet.
	 * False: one still may. NULL: there are none. */
	bool (*settle)(struct cm_backend *b);
	/* Gives up descriptors, registrations and protections. Until rebuild, add and remove only
	 * update the backend's data; harvest and scan are not called. NULL: there is nothing to
	 * give up. */
	void (*suspend)(struct cm_backend *b, const struct cm_ranges *all);

	/* In a fork child, where descriptors and registrations are the parent's, or
	 * after suspend: drops the old state without touching the parent and starts again with
	 * everything written. -errno: not watching; may be called again. */
	int (*rebuild)(struct cm_backend *b, const struct cm_ranges *all);

	/* In a child that was made while a thread was inside: the backend's data may be half
	 * written. Closes the files that act on the parent, and makes memory writable that is known
	 * to be protected. No function is called afterwards, with one exception: of a backend that
	 * starts_thread, in a child where no thread may be started, close, suspend and rebuild are
	 * called. */
	void (*abandon)(struct cm_backend *b);
};

extern const struct cm_backend_ops cm_backend_pagemap;
extern const struct cm_backend_ops cm_backend_softdirty;
extern const struct cm_backend_ops cm_backend_uffd;
extern const struct cm_backend_ops cm_backend_mprotect;
extern const struct cm_backend_ops cm_backend_alldirty;

/* The sink. Ask whether it is full before each put. */
bool cm_sink_full(const struct cm_sink *s);
void cm_sink_put(struct cm_sink *s, uintptr_t start, uintptr_t end, uint64_t categories);
/* A piece reported whole, as if all of it matched. Needs one free slot. */
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

/* Notes that the mapping there may not be the tracked one. */
static inline void cm_note_anew(struct cm_counters *c, uintptr_t start, uintptr_t end)
{
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

/* Notes that cards of that range count as written because nothing is known about them. */
static inline void cm_note_guess(struct cm_counters *c, uintptr_t start, uintptr_t end)
{
	CM_COUNT(c->guessed);
	CM_USDT(cardmark, range__guessed, start, end);
}

static inline void cm_note_errno(struct cm_counters *c, int error)
{
	atomic_store_explicit(&c->last_errno, error < 0 ? -error : error, memory_order_relaxed);
}

#endif
