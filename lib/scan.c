/* SPDX-License-Identifier: MIT
 *
 * The full query: checks the question, then asks the backend piece by piece. */
#include "lib/tracker.h"

#include <errno.h>

static int check(struct cardmark *cm, const struct cardmark_query *q)
{
	uint64_t known = cm->backend->ops->categories(cm->backend);
	uint64_t asked = q->required | q->any_of | q->excluded | q->returned;
	uintptr_t start = (uintptr_t)q->start;
	size_t card = cardmark_card_size();

	if (q->size != sizeof *q)
		return cm_fail(-EINVAL, "cardmark_query.size is %zu: set it to sizeof", q->size);
	if ((start | q->len) % card != 0 || q->len == 0 || start >= CM_ADDRESS_LIMIT ||
	    q->len > CM_ADDRESS_LIMIT - start)
		return cm_fail(-EINVAL, "cardmark_scan: %#zx + %#zx is not a range of cards",
			       (size_t)start, q->len);
	if (q->op < CARDMARK_SCAN_GET || q->op > CARDMARK_SCAN_GET_AND_CLEAR)
		return cm_fail(-EINVAL, "cardmark_scan: op is %d", (int)q->op);
	if (q->flags & ~(unsigned)CARDMARK_SCAN_IGNORE_NEW)
		return cm_fail(-EINVAL, "cardmark_scan: flags has unknown bits: 0x%x", q->flags);
	if (q->op != CARDMARK_SCAN_CLEAR && (q->regions == NULL || q->capacity == 0))
		return cm_fail(-EINVAL, "cardmark_scan: no room for regions");
	if (asked & ~CARDMARK_PAGE_ALL)
		return cm_fail(-EINVAL, "cardmark_scan: unknown categories 0x%llx",
			       (unsigned long long)(asked & ~CARDMARK_PAGE_ALL));
	if (q->required & q->excluded)
		return cm_fail(-EINVAL,
			       "cardmark_scan: categories 0x%llx are required and excluded",
			       (unsigned long long)(q->required & q->excluded));
	if (q->any_of != 0 && (q->any_of & ~q->excluded) == 0)
		return cm_fail(-EINVAL, "cardmark_scan: every any-of category is excluded");
	if (q->op != CARDMARK_SCAN_GET && !(q->required & CARDMARK_PAGE_WRITTEN))
		return cm_fail(-EINVAL,
			       "cardmark_scan: only written pages can be cleared: require WRITTEN");
	if (asked & ~known)
		return cm_fail(-ENOTSUP,
			       "cardmark_scan: backend %s can't answer categories 0x%llx here",
			       cardmark_backend_name(cm->backend->ops->id),
			       (unsigned long long)(asked & ~known));
	return 0;
}

/* The tracker's backend is gone (a fork child without descriptors): everything
 * asked for matches. */
static void scan_lost(struct cardmark *cm, const struct cm_range *piece,
		      const struct cm_masks *masks, struct cm_sink *sink, uintptr_t *resume)
{
	CM_COUNT(cm->counters.guessed);
	cm_sink_guess(sink, piece->start, piece->end, masks);
	*resume = piece->end;
}

static void scan_piece(struct cardmark *cm, const struct cm_range *piece,
		       const struct cm_masks *masks, const struct cardmark_query *q,
		       struct cm_sink *sink, uintptr_t *resume)
{
	if (cm->lost)
		scan_lost(cm, piece, masks, sink, resume);
	else
		cm->backend->ops->scan(cm->backend, &cm->ranges, piece, masks, q->op, sink, resume);
}

/* Only new memory is armed without a word, or left alone by a plain look. */
static void pass_over_new(struct cardmark *cm, const struct cm_range *piece,
			  const struct cm_masks *masks, enum cardmark_scan_op op)
{
	struct cm_sink nowhere = { .max_pages = SIZE_MAX };
	uintptr_t resume;

	if (op == CARDMARK_SCAN_GET || cm->lost)
		return;
	cm->backend->ops->scan(cm->backend, &cm->ranges, piece, masks, CARDMARK_SCAN_CLEAR,
			       &nowhere, &resume);
	cm_cards_clear(&cm->fresh, piece->start, piece->end);
}

/* Cuts the first part off *piece that is all new or all not. */
static struct cm_range split_new(const struct cardmark *cm, struct cm_range *piece, bool *is_new)
{
	struct cm_range first = *piece;
	struct cardmark_run run;

	*is_new = false;
	if (cm_cards_next(&cm->fresh, piece->start, &run) && run.start < piece->end) {
		*is_new = run.start <= piece->start;
		first.end = *is_new ? run.end : run.start;
		if (first.end > piece->end)
			first.end = piece->end;
	}
	piece->start = first.end;
	return first;
}

static void scan_locked(struct cardmark *cm, struct cardmark_query *q)
{
	struct cm_masks masks = { q->required, q->any_of, q->excluded, q->returned };
	bool clears = q->op != CARDMARK_SCAN_GET;
	struct cm_sink sink = { .v = q->op == CARDMARK_SCAN_CLEAR ? NULL : q->regions,
				.cap = q->capacity,
				.max_pages = q->max_pages == 0 ? SIZE_MAX : q->max_pages };
	uintptr_t end = (uintptr_t)q->start + q->len, at = (uintptr_t)q->start;

	(void)cm_tracker_still_lost(cm);
	for (size_t i = cm_ranges_find(&cm->ranges, at);
	     i < cm->ranges.n && cm->ranges.v[i].start < end; i++) {
		struct cm_range rest = cm_ranges_clip(&cm->ranges, i, at, end);

		while (rest.start < rest.end) {
			struct cm_range piece = rest;
			bool is_new = false;

			if (cm_sink_full(&sink))
				goto full;
			if (q->flags & CARDMARK_SCAN_IGNORE_NEW && cm->any_fresh)
				piece = split_new(cm, &rest, &is_new);
			else
				rest.start = rest.end;
			if (is_new) {
				pass_over_new(cm, &piece, &masks, q->op);
				at = piece.end;
				continue;
			}
			scan_piece(cm, &piece, &masks, q, &sink, &at);
			if (clears && at > piece.start)
				cm_cards_clear(&cm->fresh, piece.start, at);
			if (at < piece.end)
				goto full;
		}
	}
	at = end;
full:
	q->count = sink.v == NULL ? 0 : sink.n;
	q->pages = sink.pages;
	q->resume = at;
	q->guessed = sink.guessed;
}

int cardmark_scan(struct cardmark *cm, struct cardmark_query *query)
{
	int error = check(cm, query);

	if (error < 0)
		return error;
	error = cm_tracker_enter(cm);
	if (error < 0)
		return error;
	scan_locked(cm, query);
	cm_tracker_recheck(cm);
	cm_tracker_unlock(cm);
	return 0;
}
