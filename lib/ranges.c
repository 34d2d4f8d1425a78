/* SPDX-License-Identifier: MIT */
#include "lib/ranges.h"

#include "cardmark/cardmark.h"
#include "common/ranges.h"
#include "lib/cards.h"
#include "lib/os/os.h"

#include <errno.h>
#include <string.h>

#define FIRST_CAPACITY 128

void cm_ranges_free(struct cm_ranges *r)
{
	if (r->v != NULL)
		(void)cm_os->unmap(r->v, r->cap * sizeof *r->v);
	memset(r, 0, sizeof *r);
}

int cm_ranges_reserve(struct cm_ranges *r, size_t n)
{
	/* An add in the middle of a range makes three ranges of it, a remove makes two. */
	size_t want = r->n + 2 * n, cap = r->cap == 0 ? FIRST_CAPACITY : r->cap;
	struct cm_ranges old;
	void *p;

	if (want <= r->cap)
		return 0;
	while (cap < want)
		cap *= 2;
	if (cm_os->map(cap * sizeof *r->v, &p) < 0)
		return -ENOMEM;
	old = *r;
	if (old.v != NULL)
		memcpy(p, old.v, old.n * sizeof *old.v);
	/* The old array last: a child may be cloned at any moment, and reads the array that it
	 * finds. */
	r->v = p;
	r->cap = cap;
	if (old.v != NULL)
		(void)cm_os->unmap(old.v, old.cap * sizeof *old.v);
	return 0;
}

size_t cm_ranges_find(const struct cm_ranges *r, uintptr_t addr)
{
	return cm_first_above(r->v, r->n, sizeof *r->v, addr);
}

static void open_gap(struct cm_ranges *r, size_t i, size_t n)
{
	memmove(&r->v[i + n], &r->v[i], (r->n - i) * sizeof *r->v);
	r->n += n;
}

static void close_gap(struct cm_ranges *r, size_t i, size_t n)
{
	memmove(&r->v[i], &r->v[i + n], (r->n - i - n) * sizeof *r->v);
	r->n -= n;
}

void cm_ranges_remove(struct cm_ranges *r, uintptr_t start, uintptr_t end)
{
	size_t i = cm_ranges_find(r, start), n = 0;

	if (i == r->n || r->v[i].start >= end)
		return;
	if (r->v[i].start < start) {
		if (r->v[i].end > end) { /* a middle piece */
			open_gap(r, i, 1);
			r->v[i].end = start;
			r->v[i + 1].start = end;
			return;
		}
		r->v[i++].end = start;
	}
	while (i + n < r->n && r->v[i + n].end <= end)
		n++;
	close_gap(r, i, n);
	if (i < r->n && r->v[i].start < end)
		r->v[i].start = end;
}

static bool alike(const struct cm_range *a, const struct cm_range *b)
{
	return a->end == b->start && a->kind == b->kind && a->prot == b->prot;
}

void cm_ranges_add(struct cm_ranges *r, struct cm_range range)
{
	size_t i;

	cm_ranges_remove(r, range.start, range.end);
	i = cm_ranges_find(r, range.start);
	if (i > 0 && alike(&r->v[i - 1], &range)) {
		r->v[i - 1].end = range.end;
		i--;
	} else {
		open_gap(r, i, 1);
		r->v[i] = range;
	}
	if (i + 1 < r->n && alike(&r->v[i], &r->v[i + 1])) {
		r->v[i].end = r->v[i + 1].end;
		close_gap(r, i + 1, 1);
	}
}

bool cm_ranges_cover(const struct cm_ranges *r, uintptr_t start, uintptr_t end)
{
	for (size_t i = cm_ranges_find(r, start); i < r->n && r->v[i].start <= start; i++) {
		start = r->v[i].end;
		if (start >= end)
			return true;
	}
	return false;
}

bool cm_ranges_touch(const struct cm_ranges *r, uintptr_t start, uintptr_t end)
{
	size_t i = cm_ranges_find(r, start);

	return i < r->n && r->v[i].start < end;
}

uint64_t cm_ranges_bytes(const struct cm_ranges *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].end - r->v[i].start;
	return n;
}

struct cm_range cm_ranges_clip(const struct cm_ranges *r, size_t i, uintptr_t start, uintptr_t end)
{
	struct cm_range piece = r->v[i];

	if (piece.start < start)
		piece.start = start;
	if (piece.end > end)
		piece.end = end;
	return piece;
}

void cm_ranges_mark(const struct cm_ranges *r, struct cardmark_run span, struct cm_cards *into)
{
	for (size_t i = cm_ranges_find(r, span.start); i < r->n; i++) {
		struct cm_range piece = cm_ranges_clip(r, i, span.start, span.end);
		if (piece.start >= piece.end)
			break;
		cm_cards_set(into, piece.start, piece.end);
	}
}
