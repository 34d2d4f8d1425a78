/* SPDX-License-Identifier: MIT
 *
 * The collector's question, and the same asked early. */
#include "common/usdt.h"
#include "lib/os/os.h"
#include "lib/tracker.h"

#include <errno.h>

static struct cardmark_run clip(struct cardmark_run run, struct cardmark_run span)
{
	if (run.start < span.start)
		run.start = span.start;
	if (run.end > span.end)
		run.end = span.end;
	return run;
}

static bool is_all(struct cardmark_run span)
{
	return span.start == 0 && span.end == CM_ADDRESS_LIMIT;
}

static void join_held(const struct cardmark *cm, struct cardmark_run span, struct cm_cards *report)
{
	struct cardmark_run held;

	for (uintptr_t at = span.start;
	     cm_holds_next(&cm->holds, at, &held) && held.start < span.end; at = held.end)
		cm_ranges_mark(&cm->ranges, clip(held, span), report);
}

/* A span, but for runs that are not to be looked at. */
static size_t harvest_span(struct cardmark *cm, struct cardmark_run span, struct cm_cards *into)
{
	struct cardmark_run hot;
	size_t guessed = 0;

	while (cm_backoff_next(&cm->backoff, span.start, &hot) && hot.start < span.end) {
		struct cardmark_run before = { span.start, hot.start };

		if (before.start < before.end)
			guessed +=
				cm->backend->ops->harvest(cm->backend, &cm->ranges, before, into);
		span.start = hot.end;
	}
	if (span.start < span.end)
		guessed += cm->backend->ops->harvest(cm->backend, &cm->ranges, span, into);
	return guessed;
}

/* Also where nothing can be cleared: memory that was reported once is not new, so a later scan must
 * not skip a write to it. */
static void no_longer_fresh(struct cardmark *cm, struct cardmark_run span)
{
	if (!cm->any_fresh)
		return;
	if (is_all(span))
		cm_cards_clear_all(&cm->fresh);
	else
		cm_cards_clear(&cm->fresh, span.start, span.end);
	cm->any_fresh = !is_all(span);
}

/* Adds all dirty cards of span to report, and others if the backend takes others. Returns how many
 * pieces were guessed. */
static size_t harvest(struct cardmark *cm, struct cardmark_run span, struct cm_cards *report)
{
	const struct cm_backend_ops *ops = cm->backend->ops;
	size_t guessed;

	if (cm_tracker_still_lost(cm)) {
		cm_ranges_mark(&cm->ranges, span, report);
		cm_note_guess(&cm->counters, span.start, span.end);
		return cm->ranges.n;
	}
	cm_tracker_recheck(cm);
	if (is_all(span))
		guessed = harvest_span(cm, span, report);
	else if (ops->capabilities & CARDMARK_CAP_CONCURRENT)
		guessed = ops->harvest(cm->backend, &cm->ranges, span, report);
	else /* its clear is for the whole process */
		guessed = ops->harvest(cm->backend, &cm->ranges, CM_ALL, report);
	cm_tracker_recheck(cm);
	CM_USDT(cardmark, harvest, cm, span.start, span.end, guessed);
	return guessed;
}

static void join_kept(struct cardmark *cm, struct cm_kept *kept, struct cm_cards *report)
{
	if (!kept->any)
		return;
	if (cm->consumers == NULL) /* else it is more than precleans kept */
		cm->stats.precleaned_cards += cm_cards_count(&kept->cards);
	cm_cards_or(report, &kept->cards);
	cm_cards_clear_all(&kept->cards);
	kept->any = false;
	kept->guessed = 0;
}

/* Adds the cards that hold data in one piece about which a consumer has not asked yet. */
static bool join_data(struct cardmark *cm, struct cm_range piece, struct cm_cards *report)
{
	static const struct cm_masks data = { .any_of = CARDMARK_PAGE_PRESENT |
							CARDMARK_PAGE_SWAPPED };
	struct cm_sink sink = { .max_pages = SIZE_MAX, .adds = report };
	uintptr_t resume;

	/* The page table does not show whether file or shared memory holds data. */
	if (piece.kind != CM_KIND_PRIVATE || cm->lost || cm->suspended)
		cm_cards_set(report, piece.start, piece.end);
	else
		cm->backend->ops->scan(cm->backend, &cm->ranges, &piece, &data, CARDMARK_SCAN_GET,
				       &sink, &resume);
	return !sink.guessed;
}

/* Reports all that holds data to a new consumer, as a new tracker's first collect does. Returns
 * how many pieces were guessed. */
static size_t join_unseen(struct cardmark *cm, struct cardmark_consumer *consumer,
			  struct cardmark_run span, struct cm_cards *report)
{
	struct cardmark_run run;
	size_t guessed = 0;

	if (consumer == NULL || !consumer->any_unseen)
		return 0;
	for (uintptr_t at = span.start;
	     cm_cards_next(&consumer->unseen, at, &run) && run.start < span.end; at = run.end) {
		run = clip(run, span);
		for (size_t i = cm_ranges_find(&cm->ranges, run.start);
		     i < cm->ranges.n && cm->ranges.v[i].start < run.end; i++)
			guessed += !join_data(
				cm, cm_ranges_clip(&cm->ranges, i, run.start, run.end), report);
	}
	cm_cards_clear(&consumer->unseen, span.start, span.end);
	consumer->any_unseen = !is_all(span);
	return guessed;
}

/* Before the harvest: emptied and then written is written. */
static size_t take_discarded(struct cardmark *cm, struct cm_kept *asker, struct cardmark_run span,
			     struct cm_cards *cards)
{
	size_t guessed;

	cm_cards_clear_all(&cm->report);
	guessed = cm_discard_take(cm, span, &cm->report, true);
	cm_keep(cm, &cm->report, guessed, asker);
	cm_cards_or(cards, &cm->report);
	if (cm->verify.on)
		cm_cards_or(&cm->verify.excused, &cm->report);
	return guessed;
}

/* The number of missed cards, which are in the report now. */
static size_t verify(struct cardmark *cm, struct cardmark_run span, struct cm_cards *report)
{
	const struct cm_verified tracker = { cm->backend, &cm->ranges, &cm->populated,
					     cm->discard_is_write, &cm->stats };

	/* While the backend is lost, everything is reported now and again later: the old hashes can
	 * stay. */
	if (!cm->verify.on || cm->suspended || cm->lost)
		return 0;
	return cm_verify_compare(&cm->verify, &tracker, span, report);
}

static struct cm_kept *kept_for(struct cardmark *cm, struct cardmark_consumer *consumer)
{
	return consumer != NULL ? &consumer->kept : &cm->kept;
}

/* consumer: the one that asks; NULL: the tracker itself. */
static enum cardmark_collected collect_all(struct cardmark *cm, struct cardmark_consumer *consumer,
					   struct cm_cards *cards)
{
	bool apart =
		cm->discards || cm->verify.on || cm->backoff.collects != 0 || cm->consumers != NULL;
	struct cm_cards *report = apart ? &cm->report : cards;
	struct cm_kept *kept = kept_for(cm, consumer);
	size_t guessed = kept->guessed, now, missed;

	if (cm->discard_is_write)
		guessed += take_discarded(cm, kept, CM_ALL, cards);
	if (apart)
		cm_cards_clear_all(report);
	now = harvest(cm, CM_ALL, report);
	guessed += now;
	/* The other consumers have the cards that are added from here on, or get them in another
	 * way. */
	if (cm->consumers != NULL)
		cm_keep(cm, report, now, kept);
	join_held(cm, CM_ALL, report);
	guessed += join_unseen(cm, consumer, CM_ALL, report);
	if (cm->backoff.collects != 0)
		cm->stats.backoff_cards += cm_backoff_join(&cm->backoff, &cm->ranges, report);
	/* The cards that others took were noted then, and may have been found empty since. */
	if (cm->discards && cm->consumers != NULL)
		cm_cards_or(&cm->populated, report);
	join_kept(cm, kept, report);
	if (cm->backoff.collects != 0 && guessed == 0)
		cm_backoff_learn(&cm->backoff, report);
	missed = verify(cm, CM_ALL, report);
	guessed += missed;
	if (missed != 0)
		cm_keep(cm, report, missed, kept);
	if (cm->discards && (cm->consumers == NULL || missed != 0))
		cm_cards_or(&cm->populated, report);
	if (apart)
		cm_cards_or(cards, report);
	return guessed != 0 ? CARDMARK_GUESSED : CARDMARK_EXACT;
}

static void answer_kept(struct cardmark *cm, struct cm_kept *kept, struct cardmark_run span,
			struct cm_cards *cards)
{
	struct cardmark_run run;

	for (uintptr_t at = span.start;
	     cm_cards_next(&kept->cards, at, &run) && run.start < span.end; at = run.end) {
		run = clip(run, span);
		cm_cards_set(cards, run.start, run.end);
		if (cm->discards && cm->consumers == NULL)
			cm_cards_set(&cm->populated, run.start, run.end);
	}
	cm_cards_clear(&kept->cards, span.start, span.end);
}

/* The harvest goes to the cards that precleans kept, and the answer has those in span: a backend
 * may take more than it is asked for, and the rest is for the next collect. Backoff does not change
 * here: its runs are dirty in each collect of everything. */
static enum cardmark_collected collect_span(struct cardmark *cm, struct cardmark_consumer *consumer,
					    struct cardmark_run span, struct cm_cards *cards)
{
	struct cm_kept *kept = kept_for(cm, consumer);
	struct cm_cards *report;
	size_t missed;

	if (span.start >= span.end)
		return CARDMARK_EXACT;
	if (cm->discard_is_write)
		kept->guessed += take_discarded(cm, kept, span, cards);
	report = cm_take(cm);
	cm_taken(cm, harvest(cm, span, report));
	join_held(cm, span, report);
	kept->guessed += join_unseen(cm, consumer, span, report);
	if (report != &kept->cards)
		cm_cards_or(&kept->cards, report);
	if (report != &kept->cards && cm->discards)
		cm_cards_or(&cm->populated, report);
	missed = verify(cm, span, &kept->cards);
	kept->guessed += missed;
	if (missed != 0)
		cm_keep(cm, &kept->cards, missed, kept);
	if (missed != 0 && cm->discards)
		cm_cards_or(&cm->populated, &kept->cards);
	answer_kept(cm, kept, span, cards);
	return kept->guessed != 0 ? CARDMARK_GUESSED : CARDMARK_EXACT;
}

static enum cardmark_collected collect(struct cardmark *cm, struct cardmark_consumer *consumer,
				       struct cardmark_run span, struct cardmark_table *table)
{
	uint64_t start = cm_os->now(), taken;
	enum cardmark_collected result;
	bool locked = false;
	size_t before, found;

	CM_USDT(cardmark, collect__begin, cm, span.start, span.end);
	if (cm == NULL || table->owner != cm) {
		table->all_dirty = true;
		(void)cm_fail(-EINVAL,
			      "collect: the table belongs to another tracker, or its tracker "
			      "is closed: the table is all dirty now");
	} else {
		atomic_fetch_add_explicit(&cm->waiting, 1, memory_order_relaxed);
		locked = cm_tracker_lock(cm, CM_WAIT_COLLECT_NS);
		cm_count_down(&cm->waiting);
	}
	if (!locked) {
		/* Nothing was cleared, so the next collect reports all these cards. */
		table->all_dirty = true;
		if (cm != NULL && consumer == NULL)
			cm_tracker_told_all(cm);
		else if (cm != NULL) /* what is new is still new to whoever scans */
			CM_COUNT(cm->all_dirty);
		result = cm == NULL || table->owner != cm ? CARDMARK_REFUSED : CARDMARK_ALL_DIRTY;
		CM_USDT(cardmark, collect__end, cm, result, 0, 0);
		return result;
	}
	if (consumer == NULL)
		no_longer_fresh(cm, span);
	before = cm_cards_count(&table->cards);
	result = is_all(span) ? collect_all(cm, consumer, &table->cards)
			      : collect_span(cm, consumer, span, &table->cards);
	cm->stats.collects++;
	found = cm_cards_count(&table->cards) - before;
	cm->stats.dirty_cards += found;
	taken = cm_os->now() - start;
	cm->stats.collect_ns += taken;
	if (taken > cm->stats.collect_max_ns)
		cm->stats.collect_max_ns = taken;
	cm_tracker_unlock(cm);
	CM_USDT(cardmark, collect__end, cm, result, found, taken);
	return result;
}

enum cardmark_collected cardmark_collect(struct cardmark *cm, struct cardmark_table *table)
{
	return collect(cm, NULL, CM_ALL, table);
}

/* The cards that have a byte of [addr, addr + len). */
static struct cardmark_run cards_of(const void *addr, size_t len)
{
	uintptr_t mask = cardmark_card_size() - 1, start = (uintptr_t)addr;
	struct cardmark_run span = { start & ~mask, CM_ADDRESS_LIMIT };

	if (len == 0 || start >= CM_ADDRESS_LIMIT)
		return (struct cardmark_run){ 0, 0 };
	if (len < CM_ADDRESS_LIMIT - start)
		span.end = (start + len + mask) & ~mask;
	return span;
}

enum cardmark_collected cardmark_collect_range(struct cardmark *cm, const void *addr, size_t len,
					       struct cardmark_table *table)
{
	return collect(cm, NULL, cards_of(addr, len), table);
}

enum cardmark_collected cardmark_consumer_collect(struct cardmark_consumer *consumer,
						  struct cardmark_table *table)
{
	return collect(consumer->owner, consumer, CM_ALL, table);
}

enum cardmark_collected cardmark_consumer_collect_range(struct cardmark_consumer *consumer,
							const void *addr, size_t len,
							struct cardmark_table *table)
{
	return collect(consumer->owner, consumer, cards_of(addr, len), table);
}

/* ---- Preclean -------------------------------------------------------------- */

/* One chunk from *at. */
static int preclean_chunk(struct cardmark *cm, uintptr_t *at)
{
	int error = cm_tracker_enter(cm);
	size_t i;

	if (error < 0)
		return error;
	i = cm_ranges_find(&cm->ranges, *at);
	if (i == cm->ranges.n || cm_tracker_still_lost(cm)) {
		*at = CM_ADDRESS_LIMIT;
	} else {
		struct cardmark_run span = { *at, 0 };
		if (cm->ranges.v[i].start > span.start)
			span.start = cm->ranges.v[i].start;
		span.end = CM_ADDRESS_LIMIT - span.start > cm->chunk_bytes
				   ? span.start + cm->chunk_bytes
				   : CM_ADDRESS_LIMIT;
		cm_tracker_recheck(cm);
		cm_taken(cm, harvest_span(cm, span, cm_take(cm)));
		cm_tracker_recheck(cm);
		*at = span.end;
	}
	cm_tracker_unlock(cm);
	return 0;
}

static void count_preclean(struct cardmark *cm, uint64_t start)
{
	if (cm_tracker_enter(cm) < 0)
		return;
	cm->stats.precleans++;
	cm->stats.preclean_ns += cm_os->now() - start;
	cm_tracker_unlock(cm);
}

int cardmark_preclean(struct cardmark *cm)
{
	uint64_t start = cm_os->now(), rested = start;
	uintptr_t at = 0;
	int error = 0;

	if (!(cm->backend->ops->capabilities & CARDMARK_CAP_CONCURRENT))
		return cm_fail(-ENOTSUP,
			       "cardmark_preclean: backend %s cannot clear while mutators write",
			       cardmark_backend_name(cm->backend->ops->id));
	while (error == 0 && at < CM_ADDRESS_LIMIT &&
	       atomic_load_explicit(&cm->waiting, memory_order_relaxed) == 0) {
		error = preclean_chunk(cm, &at);
		if (error == 0 && at < CM_ADDRESS_LIMIT)
			cm_rest(&rested);
	}
	if (error == 0)
		count_preclean(cm, start);
	return error;
}
