/* SPDX-License-Identifier: MIT
 *
 * The full query: asks the backend piece by piece. */
#include "lib/query.h"
#include "lib/sized.h"
#include "lib/tracker.h"

#include <errno.h>

static int check(struct cardmark *cm, const struct cardmark_query *q)
{
	uint64_t unknown = cm_query_asks(q) & ~cm->backend->ops->categories(cm->backend);
	int error = cm_query_check("cardmark_scan", q);

	if (error < 0)
		return error;
	if (q->len > CM_ADDRESS_LIMIT - (uintptr_t)q->start)
		return cm_fail(-EINVAL, "cardmark_scan: %#zx + %#zx reaches above user space",
			       (size_t)q->start, q->len);
	if (unknown != 0)
		return cm_fail(
			-ENOTSUP, "cardmark_scan: backend %s cannot answer categories 0x%llx here",
			cardmark_backend_name(cm->backend->ops->id), (unsigned long long)unknown);
	return 0;
}

/* The tracker's backend is gone (a fork child without descriptors): everything
 * asked for matches. */
static void scan_lost(struct cardmark *cm, const struct cm_range *piece,
		      const struct cm_masks *masks, struct cm_sink *sink, uintptr_t *resume)
{
	cm_note_guess(&cm->counters, piece->start, piece->end);
	cm_sink_guess(sink, piece->start, piece->end, masks);
	*resume = piece->end;
}

static void scan_piece(struct cardmark *cm, const struct cm_range *piece,
		       const struct cm_masks *masks, enum cardmark_scan_op op, struct cm_sink *sink,
		       uintptr_t *resume)
{
	if (cm->lost || cm->suspended)
		scan_lost(cm, piece, masks, sink, resume);
	else
		cm->backend->ops->scan(cm->backend, &cm->ranges, piece, masks, op, sink, resume);
}

/* Kept by a preclean, or held: written, whatever the backend reports. */
static void scan_forced(struct cardmark *cm, const struct cm_range *piece,
			const struct cm_masks *asked, enum cardmark_scan_op op,
			struct cm_sink *sink, uintptr_t *resume)
{
	struct cm_masks masks = *asked;

	*resume = piece->end;
	if (masks.excluded & CARDMARK_PAGE_WRITTEN)
		return;
	masks.required &= ~CARDMARK_PAGE_WRITTEN;
	if (masks.any_of & CARDMARK_PAGE_WRITTEN)
		masks.any_of = 0;
	masks.returned &= ~CARDMARK_PAGE_WRITTEN;
	sink->also = asked->returned & CARDMARK_PAGE_WRITTEN;
	/* Only cards that are reported and armed leave `kept`: the masks may leave cards out. */
	if (op != CARDMARK_SCAN_GET)
		sink->drops = &cm->kept.cards;
	scan_piece(cm, piece, &masks, op, sink, resume);
	sink->also = 0;
	sink->drops = NULL;
}

/* The cards that a clearing scan reports and arms go here first; NULL if no one needs them. */
static struct cm_cards *cleared(struct cardmark *cm)
{
	return cm->discards || cm->verify.on || cm->consumers != NULL ? &cm->report : NULL;
}

static void join_cleared(struct cardmark *cm, bool guessed)
{
	cm_keep(cm, &cm->report, guessed, &cm->kept);
	if (cm->discards)
		cm_cards_or(&cm->populated, &cm->report);
	if (cm->verify.on)
		cm_cards_or(&cm->verify.excused, &cm->report);
}

struct part {
	struct cm_range range;
	bool is_new, forced;
};

/* A clearing scan arms new memory and does not report it; a plain look skips it. The same holds for
 * its cards that a preclean kept, if the masks match. */
static void pass_over_new(struct cardmark *cm, const struct part *part,
			  const struct cm_masks *masks, enum cardmark_scan_op op)
{
	struct cm_sink nowhere = { .max_pages = SIZE_MAX };
	uintptr_t resume = part->range.end;

	if (op == CARDMARK_SCAN_GET)
		return;
	/* Also where nothing can be armed: for the caller it counts as armed, so it is not new
	 * again. */
	cm_cards_clear(&cm->fresh, part->range.start, part->range.end);
	if (cm->lost || cm->suspended)
		return;
	nowhere.adds = cleared(cm);
	(part->forced ? scan_forced : scan_piece)(cm, &part->range, masks, CARDMARK_SCAN_CLEAR,
						  &nowhere, &resume);
}

/* Has a collect answered "all dirty" since the last look? Then its caller knows all memory, and a
 * later write to it is not new. */
static bool told_all(struct cardmark *cm)
{
	if (!atomic_exchange_explicit(&cm->told_all, false, memory_order_seq_cst))
		return false;
	cm_cards_clear_all(&cm->fresh);
	cm->any_fresh = false;
	return true;
}

/* If such an answer came meanwhile, the memory that this scan has skipped since start may have been
 * written after that answer and armed here. So it is dirty in the next answer. */
static void give_back_passed_over(struct cardmark *cm, const struct cardmark_query *q,
				  uintptr_t end)
{
	/* Pairs with the fence in cm_tracker_told_all(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!told_all(cm))
		return;
	cm_keep_run(cm, (struct cardmark_run){ (uintptr_t)q->start, end }, 1);
	cm_note_guess(&cm->counters, (uintptr_t)q->start, end);
}

/* Cuts the first part off *rest that is all new or all not, and all forced or all
 * not. */
static struct part next_part(const struct cardmark *cm, struct cm_range *rest, bool ignore_new)
{
	struct part part = { .range = *rest };
	struct cardmark_run run;

	if (ignore_new && cm->any_fresh && cm_cards_next(&cm->fresh, rest->start, &run) &&
	    run.start < rest->end) {
		part.is_new = run.start <= rest->start;
		part.range.end = part.is_new ? run.end : run.start;
		if (part.range.end > rest->end)
			part.range.end = rest->end;
	}
	part.forced = cm_tracker_forced(cm, rest->start, &part.range.end);
	rest->start = part.range.end;
	return part;
}

static void scan_locked(struct cardmark *cm, struct cardmark_query *q)
{
	struct cm_masks masks = { q->required, q->any_of, q->excluded, q->returned };
	bool clears = q->op != CARDMARK_SCAN_GET, passed_over = false;
	struct cm_sink sink = { .v = q->op == CARDMARK_SCAN_CLEAR ? NULL : q->regions,
				.cap = q->capacity,
				.max_pages = q->max_pages == 0 ? SIZE_MAX : q->max_pages,
				.adds = clears ? cleared(cm) : NULL };
	uintptr_t end = (uintptr_t)q->start + q->len, at = (uintptr_t)q->start;

	(void)cm_tracker_still_lost(cm);
	cm_tracker_take_owed(cm);
	(void)told_all(cm);
	if (sink.adds != NULL)
		cm_cards_clear_all(sink.adds);
	for (size_t i = cm_ranges_find(&cm->ranges, at);
	     i < cm->ranges.n && cm->ranges.v[i].start < end; i++) {
		struct cm_range rest = cm_ranges_clip(&cm->ranges, i, at, end);

		while (rest.start < rest.end) {
			struct part part;

			if (cm_sink_full(&sink))
				goto full;
			part = next_part(cm, &rest, q->flags & CARDMARK_SCAN_IGNORE_NEW);
			if (part.is_new) {
				pass_over_new(cm, &part, &masks, q->op);
				passed_over = true;
				at = part.range.end;
				continue;
			}
			(part.forced ? scan_forced : scan_piece)(cm, &part.range, &masks, q->op,
								 &sink, &at);
			if (clears && at > part.range.start)
				cm_cards_clear(&cm->fresh, part.range.start, at);
			if (at < part.range.end)
				goto full;
		}
	}
	at = end;
full:
	if (passed_over && clears)
		give_back_passed_over(cm, q, at);
	if (sink.adds != NULL)
		join_cleared(cm, sink.guessed);
	q->count = sink.v == NULL ? 0 : sink.n;
	q->pages = sink.pages;
	q->resume = at;
	q->guessed = sink.guessed;
}

int cardmark_scan(struct cardmark *cm, struct cardmark_query *query)
{
	struct cardmark_query q = CARDMARK_QUERY_INIT;
	int error = cm_sized_take("cardmark_query", &q, sizeof q, query);

	if (error == 0)
		error = check(cm, &q);
	if (error < 0)
		return error;
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	scan_locked(cm, &q);
	cm_tracker_recheck(cm);
	cm_tracker_unlock(cm);
	cm_sized_give(query, &q, sizeof q);
	return 0;
}
