/* SPDX-License-Identifier: MIT
 *
 * The pagemap backend's get-and-clear, by the caller alone or with a crew. */
#include "lib/backend/pagemap.h"

/* The masks of a collector's question about a piece (R6, R15). */
static struct cm_masks collector_masks(const struct pagemap *p, enum cm_kind kind)
{
	struct cm_masks m = { .required = PAGE_IS_WRITTEN,
			      .excluded = p->guard,
			      .returned = PAGE_IS_WRITTEN };

	if (kind == CM_KIND_PRIVATE)
		m.any_of = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	return m;
}

static struct pm_scan_arg collector_scan(const struct pagemap *p, enum cm_kind kind)
{
	struct cm_masks masks = collector_masks(p, kind);
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
				   .vec = (uintptr_t)p->vec,
				   .vec_len = p->base.params.vec_len };

	cm_pagescan_masks(&arg, &masks);
	return arg;
}

#define LOOK_REGIONS 64 /* as many calls cost less than what a look saves */

/* How much was dirty in a piece. */
struct found {
	size_t regions;
	uint64_t bytes; /* not all, if there were LOOK_REGIONS */
};

static void count_found(struct found *found, const struct page_region *v, long n)
{
	found->regions += (size_t)n;
	for (long i = 0; i < n && found->regions < LOOK_REGIONS; i++)
		found->bytes += v[i].end - v[i].start;
}

/* error: that of a call from start on which has failed already, or 0. */
static size_t take_piece(struct pagemap *p, enum cm_kind kind, uintptr_t start, uintptr_t end,
			 struct cm_cards *into, int error, struct found *found)
{
	struct pm_scan_arg arg = collector_scan(p, kind);
	size_t guessed = 0;

	arg.end = end;
	while (start < end) {
		uintptr_t next = end;
		long n = error;

		arg.start = start;
		if (n == 0) {
			CM_COUNT(p->base.params.counters->kernel_calls);
			n = cm_pagescan_once(p->pagemap.fd, &arg, &next);
		}
		if (n < 0) {
			error = 0;
			cm_cards_set(into, start, end);
			cm_pagemap_recover(p, (int)n, start, end);
			if (guessed++ != 0)
				break;
			continue; /* arms memory that is watched again, or fails once more */
		}
		cm_cards_set_regions(into, p->vec, (size_t)n);
		count_found(found, p->vec, n);
		start = next;
	}
	return guessed;
}

/* ---- Looking first ---------------------------------------------------------------- */

#define LOOK_MIN ((size_t)4 << 20) /* bytes: below, a second call costs more */
#define LOOK_AGAIN_MOST 15         /* pieces */

static bool is_busy(const struct found *found, uintptr_t start, uintptr_t end)
{
	return found->regions >= LOOK_REGIONS || found->bytes > (end - start) / 2;
}

/* The bit that says whether a piece was busy in its last harvest: then a look is not worth it. Two
 * pieces with the same bit only make a look more or less. */
static uint64_t *busy_word(struct pagemap *p, uintptr_t start, uint64_t *bit)
{
	uint64_t hash = (uint64_t)(start / LOOK_MIN) * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	*bit = UINT64_C(1) << hash % 64;
	return &p->busy[hash / 64 % CM_BUSY_WORDS];
}

/* Asked for WRITTEN alone, the kernel goes by the page table entries (12f6b01a0bcb,
 * 6.7); asked for more, it reads each page's struct page too, and takes twice as
 * long over what is clean. But WRITTEN alone reports holes, and arms them (R6). So the first call
 * asks that way without clearing, and a second call takes the regions that it found, with the right
 * masks. A write behind the look is in the next answer. Returns the number of regions, or -1: the
 * piece is busy, or the call failed, which the other call will report. */
static long look(struct pagemap *p, uintptr_t start, uintptr_t end, struct page_region *found)
{
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_CHECK_WPASYNC,
				   .start = start,
				   .end = end,
				   .vec = (uintptr_t)found,
				   .vec_len = LOOK_REGIONS,
				   .category_mask = PAGE_IS_WRITTEN,
				   .return_mask = PAGE_IS_WRITTEN };
	struct found all = { 0, 0 };
	uintptr_t next;
	long n;

	CM_COUNT(p->base.params.counters->kernel_calls);
	n = cm_pagescan_once(p->pagemap.fd, &arg, &next);
	if (n < 0 || next != end)
		return -1;
	count_found(&all, found, n);
	return is_busy(&all, start, end) ? -1 : n;
}

/* The same, where it is likely to be worth it: not on a piece that was busy, and less and less
 * often while others turn out to be. */
static long try_look(struct pagemap *p, bool was_busy, uintptr_t start, uintptr_t end,
		     struct page_region *found)
{
	long n;

	if (was_busy)
		return -1;
	if (p->looks.skip != 0) {
		p->looks.skip--;
		return -1;
	}
	n = look(p, start, end, found);
	if (n >= 0)
		p->looks.in_vain = 0;
	else if (p->looks.in_vain < LOOK_AGAIN_MOST)
		p->looks.in_vain = 2 * p->looks.in_vain + 1;
	p->looks.skip = p->looks.in_vain;
	return n;
}

static size_t harvest_piece(struct pagemap *p, enum cm_kind kind, uintptr_t start, uintptr_t end,
			    struct cm_cards *into)
{
	struct page_region v[LOOK_REGIONS];
	struct found found = { 0, 0 };
	uint64_t bit, *busy = busy_word(p, start, &bit);
	bool was_busy = *busy & bit;
	size_t guessed = 0;
	long n;

	if (kind != CM_KIND_PRIVATE || end - start < LOOK_MIN)
		return take_piece(p, kind, start, end, into, 0, &found);
	n = try_look(p, was_busy, start, end, v);
	if (n < 0) {
		guessed = take_piece(p, kind, start, end, into, 0, &found);
		*busy = is_busy(&found, start, end) ? *busy | bit : *busy & ~bit;
		if (was_busy && !(*busy & bit)) /* others may have become quiet too */
			p->looks.skip = p->looks.in_vain = 0;
	}
	for (long i = 0; i < n; i++)
		guessed += take_piece(p, kind, (uintptr_t)v[i].start, (uintptr_t)v[i].end, into, 0,
				      &found);
	return guessed;
}

/* Where a harvest stands in the range map. */
struct walk {
	struct pagemap *p;
	const struct cm_ranges *all;
	struct cardmark_run span; /* what is left of it */
	size_t i, step;           /* range, and the longest piece */
	struct cm_cards *into;
	size_t guessed;
	uint64_t rested; /* when; 0: nothing was done yet */
};

static bool next_piece(struct walk *w, struct cm_range *out)
{
	if (w->i == w->all->n)
		return false;
	*out = cm_ranges_clip(w->all, w->i, w->span.start, w->span.end);
	if (out->start >= out->end)
		return false;
	if (out->end - out->start > w->step)
		out->end = out->start + w->step;
	w->span.start = out->end;
	if (out->end == w->all->v[w->i].end)
		w->i++;
	return true;
}

static void harvest_next(struct walk *w, enum cm_kind kind, uintptr_t start, uintptr_t end)
{
	if (w->p->base.params.concurrent && w->rested != 0)
		cm_rest(&w->rested);
	else if (w->p->base.params.concurrent)
		w->rested = cm_os->now();
	w->guessed += harvest_piece(w->p, kind, start, end, w->into);
}

/* ---- Harvest by several threads ------------------------------------------------- */

/* On a helper: touches only the unit, its own vector and atomic counters, because the harvest may
 * be over long before the helper is done. */
void cm_pagemap_help(struct cm_unit *u, struct page_region *vec, size_t vec_len,
		     struct cm_counters *counters)
{
	size_t card = cardmark_card_size();
	uintptr_t base = u->start & ~(64 * card - 1);
	struct pm_scan_arg arg = u->arg;

	arg.vec = (uintptr_t)vec;
	arg.vec_len = vec_len;
	arg.end = u->end;
	u->error = 0;
	u->reached = u->start;
	while (u->reached < u->end) {
		uintptr_t next = u->end;
		long n;

		arg.start = u->reached;
		CM_COUNT(counters->kernel_calls);
		n = cm_pagescan_once(u->fd, &arg, &next);
		if (n < 0) {
			u->error = (int)n;
			return;
		}
		for (long i = 0; i < n; i++)
			cm_words_set(u->bits, ((uintptr_t)vec[i].start - base) / card,
				     ((uintptr_t)vec[i].end - base) / card);
		u->reached = next;
	}
}

static bool fill_unit(void *arg, struct cm_unit *u)
{
	struct walk *w = arg;
	struct cm_range piece;

	if (!next_piece(w, &piece))
		return false;
	u->start = piece.start;
	u->end = piece.end;
	u->kind = piece.kind;
	u->fd = w->p->pagemap.fd;
	u->arg = collector_scan(w->p, piece.kind);
	return true;
}

static void do_unit(void *arg, struct cm_unit *u)
{
	struct walk *w = arg;

	harvest_next(w, u->kind, u->start, u->end);
}

static void gather_unit(void *arg, struct cm_unit *u)
{
	struct walk *w = arg;
	struct found found = { 0, 0 };
	size_t card = cardmark_card_size();
	uintptr_t base = u->start & ~(64 * card - 1);
	size_t words = ((u->end - base) / card + 63) / 64;

	cm_cards_or_words(w->into, base, u->bits, words);
	memset(u->bits, 0, words * sizeof *u->bits);
	if (u->error < 0) /* only one thread may repair registrations */
		w->guessed +=
			take_piece(w->p, u->kind, u->reached, u->end, w->into, u->error, &found);
}

static void give_up_unit(void *arg, const struct cm_unit *u)
{
	struct walk *w = arg;

	cm_cards_set(w->into, u->start, u->end);
	cm_note_guess(w->p->base.params.counters, u->start, u->end);
	cm_note_errno(w->p->base.params.counters, -ETIMEDOUT);
	w->guessed++;
}

/* Waking a helper takes longer than a few pieces. */
static bool worth_sharing(const struct walk *w)
{
	size_t bytes = 0, n = 0;

	for (size_t i = w->i; i < w->all->n && bytes < 4 * w->step && n < 64; i++, n++) {
		struct cm_range r = cm_ranges_clip(w->all, i, w->span.start, w->span.end);
		if (r.start >= r.end)
			break;
		bytes += r.end - r.start;
	}
	return bytes >= 4 * w->step || n == 64;
}

static size_t harvest_ranges(struct pagemap *p, const struct cm_ranges *all,
			     struct cardmark_run span, struct cm_cards *into)
{
	struct walk w = { .p = p,
			  .all = all,
			  .span = span,
			  .i = cm_ranges_find(all, span.start),
			  .step = p->base.params.chunk_bytes,
			  .into = into };
	const struct cm_crew_job job = { fill_unit, do_unit, gather_unit, give_up_unit, &w };
	size_t most = CM_UNIT_CARDS * cardmark_card_size();
	struct cm_range piece;

	if (cm_crew_threads(&p->crew) > 1) {
		if (w.step > most)
			w.step = most;
		if (worth_sharing(&w)) {
			cm_crew_run(&p->crew, &job);
			return w.guessed;
		}
		w.step = p->base.params.chunk_bytes;
	}
	while (next_piece(&w, &piece))
		harvest_next(&w, piece.kind, piece.start, piece.end);
	return w.guessed;
}

size_t cm_pagemap_harvest(struct cm_backend *b, const struct cm_ranges *all,
			  struct cardmark_run span, struct cm_cards *into)
{
	struct pagemap *p = cm_pagemap_self(b);
	size_t guessed = cm_owed_mark(&p->owed_seen, all, into);
	enum cm_files_ready files = cm_pagemap_check_files(p, all);

	for (size_t i = 0; i < guessed; i++)
		cm_note_guess(b->params.counters, span.start, span.end);
	if (files != CM_FILES_NONE)
		guessed += harvest_ranges(p, all, span, into);
	/* Looked at again: if the file was exchanged in between, it may have been
	 * another process that answered. */
	if (files == CM_FILES_AS_BEFORE && cm_file_is_ours(&p->pagemap))
		return guessed;
	cm_ranges_mark(all, span, into);
	cm_note_guess(b->params.counters, span.start, span.end);
	return guessed + 1;
}
