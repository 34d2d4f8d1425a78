/* SPDX-License-Identifier: MIT
 *
 * Entries for an arena, made with its lock held: its ranges, in the tracker and in the map, and its
 * discards. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>

void cm_je_put(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end, unsigned flags)
{
	if (flags & CARDMARK_JEMALLOC_ALWAYS_DIRTY)
		atomic_store_explicit(&je->doubtful, true, memory_order_relaxed);
	if (cm_je_map_set(&je->ranges, start, end, flags) < 0)
		CM_JE_COUNT(je, ranges_overflown); /* from now on everything is dirty */
}

void cm_je_drop(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end)
{
	/* Splitting a range may find no room. Then the map keeps memory that is not the arena's. */
	if (cm_je_map_set(&je->ranges, start, end, CM_JE_NOTHING) < 0)
		CM_JE_COUNT(je, ranges_overflown);
	if (cm_je_map_set(&je->discards, start, end, CM_JE_NOTHING) < 0)
		je->all_discarded = true;
}

static int track(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end)
{
	int error = cardmark_track(je->cm, (void *)start, end - start, je->track_flags);

	if (error < 0)
		atomic_store_explicit(&je->last_error, error, memory_order_relaxed);
	return error;
}

void cm_je_watch(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end)
{
	if (je->passive) {
		cm_je_put(je, start, end, CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	} else if (track(je, start, end) < 0) {
		CM_JE_COUNT(je, track_failed);
		cm_je_put(je, start, end, CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	} else {
		cm_je_put(je, start, end, 0);
	}
}

int cm_je_unwatch(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end)
{
	int error = je->passive ? 0 : cardmark_untrack(je->cm, (void *)start, end - start);

	if (error == 0 || error == -ENOENT)
		return 0;
	atomic_store_explicit(&je->last_error, error, memory_order_relaxed);
	CM_JE_COUNT(je, untrack_failed);
	return error;
}

void cm_je_unwatch_all(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end)
		(void)cm_je_unwatch(je, r.start, r.end);
}

void cm_je_mend(struct cardmark_jemalloc *je)
{
	struct cardmark_jemalloc_range r;
	bool doubtful = false;

	if (!atomic_load_explicit(&je->doubtful, memory_order_relaxed))
		return;
	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end) {
		int error;

		if (!(r.flags & CARDMARK_JEMALLOC_ALWAYS_DIRTY))
			continue;
		error = track(je, r.start, r.end);
		if (error == 0) {
			CM_JE_COUNT(je, mended);
			cm_je_put(je, r.start, r.end, 0);
			continue;
		}
		doubtful = true;
		if (error == -EBUSY) /* after a long wait; the next call would wait as long */
			break;
	}
	atomic_store_explicit(&je->doubtful, doubtful, memory_order_relaxed);
}

static void log_discard(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end,
			unsigned flags)
{
	CM_JE_COUNT(je, discarded_ranges);
	if (je->all_discarded && je->discard_at <= start)
		return;
	if (cm_je_map_set(&je->discards, start, end, flags) == 0)
		return;
	CM_JE_COUNT(je, discards_overflown);
	cm_je_map_clear(&je->discards);
	je->all_discarded = true;
	je->discard_at = 0;
}

void cm_je_enter_discard(struct cardmark_jemalloc *je, enum cm_je_event event, uintptr_t start,
			 uintptr_t end, unsigned flags)
{
	if (event == CM_JE_DECOMMITTED) {
		/* If it stays tracked, it is at worst dirty for ever. */
		(void)cm_je_unwatch(je, start, end);
		cm_je_put(je, start, end, CARDMARK_JEMALLOC_DECOMMITTED);
	}
	log_discard(je, start, end, flags);
}
