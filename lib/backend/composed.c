/* SPDX-License-Identifier: MIT
 *
 * The full query for backends that know only which cards were written: their
 * bits joined with what /proc/self/pagemap shows for each page. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/os/os.h"

#include <assert.h>
#include <fcntl.h>

/* ---- The sink -------------------------------------------------------------- */

bool cm_sink_full(const struct cm_sink *s)
{
	return s->pages >= s->max_pages || (s->v != NULL && s->n >= s->cap);
}

/* Would the region only make the last one longer? */
static bool extends(const struct cm_sink *s, uintptr_t start, uint64_t categories)
{
	return s->n > 0 && s->v[s->n - 1].end == start && s->v[s->n - 1].categories == categories;
}

void cm_sink_put(struct cm_sink *s, uintptr_t start, uintptr_t end, uint64_t categories)
{
	assert(start < end);
	s->pages += (end - start) / cardmark_card_size();
	if (s->adds != NULL)
		cm_cards_set(s->adds, start, end);
	if (s->drops != NULL)
		cm_cards_clear(s->drops, start, end);
	if (s->v == NULL)
		return;
	categories |= s->also;
	if (extends(s, start, categories)) {
		s->v[s->n - 1].end = end;
		return;
	}
	assert(s->n < s->cap);
	s->v[s->n++] = (struct cardmark_region){ start, end, categories };
}

void cm_sink_guess(struct cm_sink *s, uintptr_t start, uintptr_t end, const struct cm_masks *m)
{
	struct cm_cards *drops = s->drops;

	s->guessed = true;
	/* A query for clean pages must not get pages about which nothing is known. */
	if (m->excluded & CARDMARK_PAGE_WRITTEN)
		return;
	/* Always labelled as written, even if that was not the question: a missing label would mean
	 * clean. */
	if (s->v == NULL) /* nothing is reported, so nothing may be forgotten */
		s->drops = NULL;
	cm_sink_put(s, start, end,
		    (m->required | m->any_of | CARDMARK_PAGE_WRITTEN) & m->returned & ~m->excluded);
	s->drops = drops;
}

/* ---- The query ------------------------------------------------------------- */

#define ENTRY_CATEGORIES (CARDMARK_PAGE_FILE | CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)

struct query {
	struct cm_backend *b;
	const struct cm_masks *masks;
	struct cm_sink *sink;
	void (*rearm)(struct cm_backend *b, uintptr_t start, uintptr_t end); /* NULL: GET */
	struct cardmark_run batch; /* accepted, to be armed in one go */
	struct cm_entries entries;
};

static void flush(struct query *q)
{
	if (q->batch.start < q->batch.end)
		q->rearm(q->b, q->batch.start, q->batch.end);
	q->batch = (struct cardmark_run){ 0, 0 };
}

static bool matches(const struct cm_masks *m, uint64_t categories)
{
	return (categories & m->required) == m->required &&
	       (m->any_of == 0 || (categories & m->any_of) != 0) && (categories & m->excluded) == 0;
}

/* As many cards of [start, end) as max_pages still allows. */
static uintptr_t limited(const struct cm_sink *s, uintptr_t start, uintptr_t end)
{
	size_t left = s->max_pages - s->pages;
	size_t card = cardmark_card_size();

	return (end - start) / card > left ? start + left * card : end;
}

/* Gives cards of one category to the sink. Returns where it stopped. */
static uintptr_t take(struct query *q, uintptr_t start, uintptr_t end, uint64_t categories)
{
	struct cm_sink *s = q->sink;
	uint64_t label = categories & q->masks->returned;

	if (!matches(q->masks, categories))
		return end;
	if (s->pages >= s->max_pages)
		return start;
	if (s->v != NULL && s->n >= s->cap && !extends(s, start, label))
		return start;
	end = limited(s, start, end);
	cm_sink_put(s, start, end, label);
	if (q->rearm != NULL) {
		if (q->batch.end != start) {
			flush(q);
			q->batch.start = start;
		}
		q->batch.end = end;
	}
	return end;
}

static uint64_t entry_categories(uint64_t entry)
{
	return (entry & CM_PME_FILE ? CARDMARK_PAGE_FILE : 0) |
	       (entry & CM_PME_PRESENT ? CARDMARK_PAGE_PRESENT : 0) |
	       (entry & CM_PME_SWAPPED ? CARDMARK_PAGE_SWAPPED : 0);
}

/* Cards that are all written, or all not. Returns where it stopped; *error is
 * set if nothing is known of what lies there. limit: how far to read ahead. */
static uintptr_t take_entries(struct query *q, uintptr_t start, uintptr_t end, uintptr_t limit,
			      uint64_t written, int *error)
{
	uintptr_t at = start;

	while (at < end) {
		uintptr_t stop = at;
		uint64_t entry = 0, categories = 0;
		do {
			if ((*error = cm_entries_at(&q->entries, stop, limit, &entry)) < 0)
				break;
			uint64_t found = entry_categories(entry) | written;
			if (stop > at && found != categories)
				break;
			categories = found;
			stop = cm_entries_end(&q->entries, stop, end);
		} while (stop < end);
		if (stop > at) {
			at = take(q, at, stop, categories);
			if (at < stop) {
				*error = 0;
				return at;
			}
		}
		if (*error < 0)
			return at;
	}
	return at;
}

/* WRITTEN or 0, and the end of the cards for which that is true. */
static uint64_t written_state(const struct cm_cards *written, uintptr_t at, uintptr_t *stop)
{
	struct cardmark_run run;

	if (written == NULL)
		return CARDMARK_PAGE_WRITTEN;
	if (!cm_cards_next(written, at, &run))
		return 0;
	if (run.start > at) {
		if (run.start < *stop)
			*stop = run.start;
		return 0;
	}
	if (run.end < *stop)
		*stop = run.end;
	return CARDMARK_PAGE_WRITTEN;
}

/* The rest of the piece after a failed read: reported, but not armed, so it is reported again.
 * Returns where it stopped, if the sink had no room. */
static uintptr_t guess_rest(struct query *q, uintptr_t at, uintptr_t end)
{
	struct cm_sink *s = q->sink;

	if (cm_sink_full(s))
		return at;
	end = limited(s, at, end);
	cm_sink_guess(s, at, end, q->masks);
	cm_note_guess(q->b->params.counters, at, end);
	return end;
}

void cm_composed_scan(struct cm_backend *b, const struct cm_range *piece, const struct cm_masks *m,
		      enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume,
		      const struct cm_cards *written,
		      void (*rearm)(struct cm_backend *b, uintptr_t start, uintptr_t end))
{
	struct query q = {
		.b = b, .masks = m, .sink = sink, .rearm = op == CARDMARK_SCAN_GET ? NULL : rearm
	};
	uint64_t all = m->required | m->any_of | m->excluded | m->returned;
	uintptr_t at = piece->start;
	int error = 0, fd = -1;

	if (all & ENTRY_CATEGORIES) {
		fd = cm_os->open_self("pagemap", O_RDONLY);
		if (fd < 0)
			error = fd;
	}
	cm_entries_init(&q.entries, fd, b->params.counters);

	while (at < piece->end && error == 0) {
		uintptr_t stop = piece->end, end;
		uint64_t state = written_state(written, at, &stop);
		if ((m->required & CARDMARK_PAGE_WRITTEN & ~state) != 0 ||
		    (m->excluded & state) != 0)
			end = stop; /* cannot match: not worth reading */
		else if (fd < 0)
			end = take(&q, at, stop, state);
		else
			end = take_entries(&q, at, stop, piece->end, state, &error);
		at = end;
		if (end < stop)
			break; /* the sink is full, or a read failed */
	}
	if (error < 0) {
		cm_note_errno(b->params.counters, error);
		at = guess_rest(&q, at, piece->end);
	}
	if (fd >= 0)
		(void)cm_os->close(fd);
	if (q.rearm != NULL)
		flush(&q);
	*resume = at;
}
