/* SPDX-License-Identifier: MIT
 *
 * Cards that were emptied. No kernel reports them: such a card is a hole, like a card that was
 * never touched (R7). So the tracker remembers which cards held data when they were reported, and
 * looks for holes among those. */
#include "lib/backend/entries.h"
#include "lib/os/os.h"
#include "lib/tracker.h"
#include "lib/zeropage.h"

#include <errno.h>
#include <fcntl.h>

#define BATCH 64

/* Guessed: it may hold data yet, and be emptied later. */
static void take(struct cardmark *cm, uintptr_t start, uintptr_t end, bool sure,
		 struct cm_cards *into)
{
	cm_cards_set(into, start, end);
	if (sure)
		cm_cards_clear(&cm->populated, start, end);
	if (cm->verify.on) /* answered: no collect will report it */
		cm_cards_set(&cm->verify.excused, start, end);
	cm->stats.discarded_cards += (end - start) / cardmark_card_size();
}

/* Looks for one kind of cards in one run of populated cards in one range. empty: cards that hold no
 * data; they are forgotten. */
static bool look_for(struct cardmark *cm, struct cm_range piece, const struct cm_masks *masks,
		     bool empty, struct cm_cards *into)
{
	struct cardmark_region v[BATCH];
	bool sure = true;

	while (piece.start < piece.end) {
		struct cm_sink sink = { .v = v, .cap = BATCH, .max_pages = SIZE_MAX };
		uintptr_t resume = piece.end;

		cm->backend->ops->scan(cm->backend, &cm->ranges, &piece, masks, CARDMARK_SCAN_GET,
				       &sink, &resume);
		for (size_t i = 0; i < sink.n; i++)
			take(cm, v[i].start, v[i].end, empty && !sink.guessed, into);
		sure &= !sink.guessed;
		piece.start = resume;
	}
	return sure;
}

/* Pieces it had to guess. */
static size_t look(struct cardmark *cm, struct cm_range piece, bool as_written,
		   struct cm_cards *into)
{
	static const struct cm_masks hole = { .excluded = CARDMARK_PAGE_PRESENT |
							  CARDMARK_PAGE_SWAPPED };
	static const struct cm_masks absent = { .excluded = CARDMARK_PAGE_PRESENT };
	static const struct cm_masks the_files = { .required = CARDMARK_PAGE_FILE };

	/* If a private page of a file is emptied while armed, it leaves a marker that reads as
	 * swapped, or after a read the file's page; both read as clean. A page that is really
	 * swapped looks like the marker, and may be emptied later. */
	if (as_written && piece.kind != CM_KIND_PRIVATE)
		return (size_t)!look_for(cm, piece, &absent, false, into) +
		       (size_t)!look_for(cm, piece, &the_files, true, into);
	return !look_for(cm, piece, &hole, true, into);
}

/* For the second look where ignores_zero_page; -1: not open. */
struct files {
	int pagemap, mem;
	bool zero_page_is_shared;
};

/* 1, 0, or -errno. Usually the first read is enough. */
static int is_zero(int mem, uintptr_t card)
{
	uint64_t part[64];

	for (size_t done = 0; done < cardmark_card_size(); done += sizeof part) {
		ssize_t got = cm_os->pread(mem, part, sizeof part, card + done);

		if (got != (ssize_t)sizeof part)
			return got < 0 ? (int)got : -EIO;
		for (size_t i = 0; i < sizeof part / sizeof *part; i++)
			if (part[i] != 0)
				return 0;
	}
	return 1;
}

/* The zero page is shared by all processes. A page that is shared with a fork child looks the same,
 * so the content decides. Where a read of empty memory maps a page of its own, the content decides
 * about every card. */
static bool look_for_zero_pages(struct cardmark *cm, struct files f, struct cm_range piece,
				struct cm_cards *into)
{
	size_t card = cardmark_card_size();
	struct cm_entries e;
	bool sure = true;

	cm_entries_init(&e, f.pagemap, &cm->counters);
	for (uintptr_t at = piece.start; at < piece.end; at += card) {
		uint64_t entry = 0;
		int zero;

		if (cm_entries_at(&e, at, piece.end, &entry) < 0) {
			take(cm, at, piece.end, false, into);
			return false;
		}
		if ((entry & CM_PME_PRESENT) == 0 ||
		    (f.zero_page_is_shared && (entry & CM_PME_EXCLUSIVE) != 0))
			continue;
		zero = is_zero(f.mem, at);
		if (zero != 0)
			take(cm, at, at + card, zero > 0, into);
		sure &= zero >= 0;
	}
	return sure;
}

/* The first populated cards in [at, span.end). */
static bool next_populated(const struct cardmark *cm, struct cardmark_run span, uintptr_t at,
			   struct cardmark_run *run)
{
	if (!cm_cards_next(&cm->populated, at, run) || run->start >= span.end)
		return false;
	if (run->end > span.end)
		run->end = span.end;
	return true;
}

static size_t look_at_all(struct cardmark *cm, struct files f, struct cardmark_run span,
			  bool as_written, struct cm_cards *into)
{
	struct cardmark_run run;
	size_t guessed = 0;

	for (uintptr_t at = span.start; next_populated(cm, span, at, &run); at = run.end)
		for (size_t i = cm_ranges_find(&cm->ranges, run.start);
		     i < cm->ranges.n && cm->ranges.v[i].start < run.end; i++) {
			struct cm_range piece = cm_ranges_clip(&cm->ranges, i, run.start, run.end);

			guessed += look(cm, piece, as_written, into);
			if (cm->backend->ops->ignores_zero_page && piece.kind == CM_KIND_PRIVATE &&
			    !look_for_zero_pages(cm, f, piece, into)) {
				guessed++;
				cm_note_guess(&cm->counters, piece.start, piece.end);
			}
		}
	return guessed;
}

size_t cm_discard_take(struct cardmark *cm, struct cardmark_run span, struct cm_cards *into,
		       bool as_written)
{
	struct files f = { .pagemap = -1, .mem = -1 };
	struct cardmark_run run;
	size_t guessed;

	if (cm_tracker_still_lost(cm)) {
		for (uintptr_t at = span.start; next_populated(cm, span, at, &run); at = run.end)
			cm_cards_set(into, run.start, run.end);
		cm_note_guess(&cm->counters, span.start, span.end);
		return 1;
	}
	if (cm->backend->ops->ignores_zero_page) {
		f.pagemap = cm_os->open_self("pagemap", O_RDONLY);
		f.mem = cm_os->open_self("mem", O_RDONLY);
		f.zero_page_is_shared = cm_zero_page_is_shared(f.pagemap);
	}
	guessed = look_at_all(cm, f, span, as_written, into);
	if (f.pagemap >= 0)
		(void)cm_os->close(f.pagemap);
	if (f.mem >= 0)
		(void)cm_os->close(f.mem);
	return guessed;
}

static enum cardmark_collected refuse(struct cardmark_table *table, const char *why)
{
	table->all_dirty = true;
	(void)cm_fail(-EINVAL, "cardmark_discarded: %s", why);
	return CARDMARK_REFUSED;
}

enum cardmark_collected cardmark_discarded(struct cardmark *cm, struct cardmark_table *table)
{
	struct cm_cards *taken;
	size_t guessed;

	if (!cm->discards)
		return refuse(table, "the tracker must be opened with CARDMARK_OPEN_DISCARDS");
	if (table->owner != cm)
		return refuse(table,
			      "the table belongs to another tracker, or its tracker is closed");
	if (!cm_tracker_lock(cm, CM_WAIT_COLLECT_NS)) {
		table->all_dirty = true;
		cm_tracker_told_all(cm);
		return CARDMARK_ALL_DIRTY;
	}
	/* To consumers an emptied card is a written one, and none of them has it yet. */
	taken = cm->discard_is_write && cm->consumers != NULL ? &cm->report : &table->cards;
	if (taken == &cm->report)
		cm_cards_clear_all(taken);
	guessed = cm_discard_take(cm, CM_ALL, taken, false);
	if (taken == &cm->report) {
		cm_keep(cm, taken, guessed, &cm->kept);
		cm_cards_or(&table->cards, taken);
	}
	cm_tracker_unlock(cm);
	return guessed != 0 ? CARDMARK_GUESSED : CARDMARK_EXACT;
}
