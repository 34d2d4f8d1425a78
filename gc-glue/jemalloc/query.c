/* SPDX-License-Identifier: MIT
 *
 * Questions about an arena's memory. No lock is taken, unless a fork left notes. */
#include "gc-glue/jemalloc/glue.h"
#include "lib/sized.h"

#include <errno.h>
#include <string.h>

/* False: they could not be entered. */
static bool notes_entered(struct cardmark_jemalloc *je)
{
	sigset_t saved;

	if (!cm_je_has_notes(je))
		return true;
	if (!cm_je_enter(je, &saved, CM_JE_WAIT_LONG_NS))
		return false;
	cm_je_leave(je, &saved);
	return true;
}

static bool overflown(struct cardmark_jemalloc *je)
{
	return atomic_load_explicit(&je->n_ranges_overflown, memory_order_relaxed) != 0;
}

/* The first range that ends above from. A walk must not end where the map can't be read, because it
 * would leave out the ranges behind. */
static bool next_range(struct cardmark_jemalloc *je, uintptr_t from,
		       struct cardmark_jemalloc_range *out)
{
	if (from == 0)
		cm_je_look_whose_hooks(je);
	if (overflown(je) || !notes_entered(je) || overflown(je))
		*out = cm_je_anything_from(from);
	else if (cm_je_map_find(&je->ranges, from, out) == CM_JE_NONE)
		return false;
	return out->start < out->end;
}

bool cardmark_jemalloc_contains(struct cardmark_jemalloc *je, const void *addr, size_t len)
{
	uintptr_t at = (uintptr_t)addr, end = at + len;
	struct cardmark_jemalloc_range r;

	if (len == 0 || end < at)
		return false;
	if (overflown(je) || !notes_entered(je) || overflown(je))
		return true;
	for (; at < end; at = r.end) {
		switch (cm_je_map_find(&je->ranges, at, &r)) {
		case CM_JE_NONE:
			return false;
		case CM_JE_UNKNOWN:
			return true;
		case CM_JE_FOUND:
			if (r.start > at)
				return false;
		}
	}
	return true;
}

bool cardmark_jemalloc_next_range(struct cardmark_jemalloc *je, uintptr_t from,
				  struct cardmark_jemalloc_range *out)
{
	return next_range(je, from, out);
}

/* The core fills the table. Memory that could not be entered or tracked is not in the table, but it
 * is dirty in the answers of this adapter. */
static enum cardmark_collected doubted(struct cardmark_jemalloc *je, bool entered,
				       enum cardmark_collected result)
{
	cm_je_look_whose_hooks(je);
	if (result == CARDMARK_EXACT && (!entered || overflown(je) ||
					 atomic_load_explicit(&je->doubtful, memory_order_relaxed)))
		result = CARDMARK_GUESSED;
	return result;
}

enum cardmark_collected cardmark_jemalloc_collect(struct cardmark_jemalloc *je,
						  struct cardmark_table *table)
{
	sigset_t saved;
	bool entered = cm_je_enter(je, &saved, CM_JE_WAIT_NS);

	if (entered) {
		cm_je_mend(je);
		cm_je_leave(je, &saved);
	}
	return doubted(je, entered, cardmark_collect(je->cm, table));
}

/* With the lock held. Otherwise a range could be unmapped and become another arena's, and this
 * table would take cards of that arena. */
static enum cardmark_collected collect_ranges(struct cardmark_jemalloc *je,
					      struct cardmark_table *table)
{
	enum cardmark_collected worst = CARDMARK_EXACT, result;
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end) {
		if (r.flags != 0) /* not tracked */
			continue;
		result = cardmark_collect_range(je->cm, (void *)r.start, r.end - r.start, table);
		if (result == CARDMARK_ALL_DIRTY || result == CARDMARK_REFUSED)
			return result;
		if (result != CARDMARK_EXACT)
			worst = result;
	}
	return worst;
}

/* Takes nothing from the tracker, so the cards are reported again. */
static void all_ranges_are_dirty(struct cardmark_jemalloc *je, struct cardmark_table *table)
{
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = 0; next_range(je, at, &r); at = r.end)
		if (r.flags == 0) /* not in the tracker any more: nothing to report */
			(void)cardmark_table_set_range(table, (void *)r.start, r.end - r.start);
}

enum cardmark_collected cardmark_jemalloc_collect_arena(struct cardmark_jemalloc *je,
							struct cardmark_table *table)
{
	enum cardmark_collected result = CARDMARK_GUESSED;
	sigset_t saved;
	bool entered = cm_je_enter(je, &saved, CM_JE_WAIT_NS);

	if (entered) {
		cm_je_mend(je);
		result = collect_ranges(je, table);
		cm_je_leave(je, &saved);
	} else {
		all_ranges_are_dirty(je, table);
	}
	return doubted(je, entered, result);
}

bool cardmark_jemalloc_is_dirty(struct cardmark_jemalloc *je, const struct cardmark_table *table,
				const void *addr)
{
	struct cardmark_jemalloc_range r;

	if (cardmark_table_all_dirty(table) || overflown(je) || !notes_entered(je) || overflown(je))
		return true;
	switch (cm_je_map_find(&je->ranges, (uintptr_t)addr, &r)) {
	case CM_JE_NONE:
		return false;
	case CM_JE_UNKNOWN:
		return true;
	case CM_JE_FOUND:
		break;
	}
	if (r.start > (uintptr_t)addr || (r.flags & CARDMARK_JEMALLOC_DECOMMITTED))
		return false;
	return (r.flags & CARDMARK_JEMALLOC_ALWAYS_DIRTY) || cardmark_table_is_dirty(table, addr);
}

bool cardmark_jemalloc_next_dirty(struct cardmark_jemalloc *je, const struct cardmark_table *table,
				  uintptr_t from, uintptr_t to, struct cardmark_run *out)
{
	uintptr_t in_card = cardmark_card_size() - 1;
	struct cardmark_run run = { 0, 0 };
	struct cardmark_jemalloc_range r;

	if (from >= to)
		return false;
	from &= ~in_card;
	to = to < UINTPTR_MAX - in_card ? (to + in_card) & ~in_card : UINTPTR_MAX;
	for (; from < to && next_range(je, from, &r); from = r.end) {
		if (r.start < from)
			r.start = from;
		if (r.end > to)
			r.end = to;
		if (r.start >= r.end)
			return false;
		if (r.flags & CARDMARK_JEMALLOC_DECOMMITTED)
			continue;
		if (r.flags & CARDMARK_JEMALLOC_ALWAYS_DIRTY) {
			*out = (struct cardmark_run){ r.start, r.end };
			return true;
		}
		/* One look at the table serves all ranges before the run it found. */
		if (run.end <= r.start && !cardmark_table_next(table, r.start, to, &run))
			run = (struct cardmark_run){ UINTPTR_MAX, UINTPTR_MAX };
		if (run.start >= r.end)
			continue;
		out->start = run.start > r.start ? run.start : r.start;
		out->end = run.end < r.end ? run.end : r.end;
		return true;
	}
	return false;
}

int cardmark_jemalloc_discarded(struct cardmark_jemalloc *je, struct cardmark_jemalloc_range *out,
				size_t capacity)
{
	size_t n = 0;
	sigset_t saved;

	if (capacity == 0)
		return cm_fail(-EINVAL, "cardmark_jemalloc_discarded: capacity is 0");
	if (capacity > INT32_MAX)
		capacity = INT32_MAX;
	if (!cm_je_enter(je, &saved, CM_JE_WAIT_NS))
		return cm_fail(
			-EBUSY,
			"cardmark_jemalloc_discarded: a thread stays inside the arena's hooks");
	for (; je->all_discarded && n < capacity; n++) {
		if (cm_je_map_find(&je->ranges, je->discard_at, &out[n]) != CM_JE_FOUND) {
			je->all_discarded = false;
			break;
		}
		je->discard_at = out[n].end;
		out[n].flags = CARDMARK_JEMALLOC_INDETERMINATE;
	}
	for (; n < capacity; n++) {
		if (cm_je_map_find(&je->discards, 0, &out[n]) != CM_JE_FOUND)
			break;
		/* Takes a whole entry away: needs no room. */
		(void)cm_je_map_set(&je->discards, out[n].start, out[n].end, CM_JE_NOTHING);
	}
	cm_je_leave(je, &saved);
	return (int)n;
}

static uint64_t bytes_with(struct cardmark_jemalloc *je, unsigned flags, uint64_t *ranges)
{
	struct cardmark_jemalloc_range r;
	uint64_t bytes = 0;

	for (uintptr_t at = 0; cm_je_map_find(&je->ranges, at, &r) == CM_JE_FOUND; at = r.end) {
		if ((r.flags & flags) != flags)
			continue;
		bytes += r.end - r.start;
		(*ranges)++;
	}
	return bytes;
}

int cardmark_jemalloc_stats(struct cardmark_jemalloc *je, struct cardmark_jemalloc_stats *stats)
{
	struct cardmark_jemalloc_stats s = { .arena = je->arena };
	uint64_t not_asked = 0;
	int error = cm_sized_check("cardmark_jemalloc_stats", stats);

	if (error < 0)
		return error;
	cm_je_look_whose_hooks(je);
	(void)notes_entered(je);
	s.bytes = bytes_with(je, 0, &s.ranges);
	s.always_dirty_bytes = bytes_with(je, CARDMARK_JEMALLOC_ALWAYS_DIRTY, &not_asked);
	s.decommitted_bytes = bytes_with(je, CARDMARK_JEMALLOC_DECOMMITTED, &not_asked);
#define X(name) s.name = atomic_load_explicit(&je->n_##name, memory_order_relaxed);
	CM_JE_COUNTERS(X)
#undef X
	s.last_error = atomic_load_explicit(&je->last_error, memory_order_relaxed);
	cm_sized_give(stats, &s, sizeof s);
	return 0;
}
