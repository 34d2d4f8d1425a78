/* SPDX-License-Identifier: MIT
 *
 * What is entered for an arena, with its lock held: its ranges, in the tracker and in
 * the map, and what of them was discarded. */
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
	/* Splitting a range may find no room. What stays in the map is not the arena's. */
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
		if (error == -EBUSY) /* after a long wait, which the next would have as well */
			break;
	}
	atomic_store_explicit(&je->doubtful, doubtful, memory_order_relaxed);
}

void cm_je_log_discard(struct cardmark_jemalloc *je, uintptr_t start, uintptr_t end, unsigned flags)
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
