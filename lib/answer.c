/* SPDX-License-Identifier: MIT
 *
 * What an answer must contain besides the backend's report: "all dirty", and the cards that are
 * kept, held or owed. */
#include "lib/tracker.h"

#include <stdatomic.h>

/* Full fences, here and in scan.c: if a scan finds the flag down, it must not take a write that
 * follows our answer. One step before, new memory is still new to the caller; one step after, a
 * scan that has skipped some of it gives it to `kept`. */
void cm_tracker_told_all(struct cardmark *cm)
{
	atomic_store_explicit(&cm->told_all, true, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	CM_COUNT(cm->all_dirty);
}

bool cm_tracker_still_lost(struct cardmark *cm)
{
	const struct cm_backend_ops *ops = cm->backend->ops;

	if (cm->suspended)
		return true;
	/* In a fork child: permanently, if rebuilding needs a thread, because starting one needs
	 * malloc. */
	if (cm->lost && !ops->starts_thread && ops->rebuild(cm->backend, &cm->ranges) == 0)
		cm->lost = false;
	return cm->lost;
}

bool cm_tracker_forced(const struct cardmark *cm, uintptr_t at, uintptr_t *end)
{
	struct cardmark_run kept, held;
	bool is_kept = cm->kept.any && cm_cards_next(&cm->kept.cards, at, &kept);
	bool is_held = cm_holds_next(&cm->holds, at, &held);
	bool forced = false;

	if (is_kept && kept.start <= at) {
		forced = true;
		if (kept.end < *end)
			*end = kept.end;
	} else if (is_held && held.start <= at) {
		forced = true;
		if (held.end < *end)
			*end = held.end;
	}
	if (forced)
		return true;
	if (is_kept && kept.start < *end)
		*end = kept.start;
	if (is_held && held.start < *end)
		*end = held.start;
	return false;
}

void cm_tracker_take_owed(struct cardmark *cm)
{
	size_t pieces;

	if (cm->backend->ops->take_owed == NULL)
		return;
	pieces = cm->backend->ops->take_owed(cm->backend, &cm->ranges, cm_take(cm));
	if (pieces != 0)
		cm_taken(cm, pieces);
}
