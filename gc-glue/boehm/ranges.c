/* SPDX-License-Identifier: MIT
 *
 * A sorted set of address ranges in memory of its own (not malloc's: this runs under
 * libgc's allocation lock, and malloc may be libgc's). */
#include "gc-glue/boehm/glue.h"

#include "common/ranges.h"
#include "lib/os/own.h"

#include <errno.h>
#include <string.h>

static int grow(struct cm_gc_ranges *set)
{
	size_t cap = set->cap ? set->cap * 2 : 256;
	void *v;

	if (cm_own_map(cap * sizeof *set->v, &v) < 0)
		return -ENOMEM;
	if (set->v) {
		memcpy(v, set->v, set->n * sizeof *set->v);
		(void)cm_own_unmap(set->v, set->cap * sizeof *set->v);
	}
	set->v = v;
	set->cap = cap;
	return 0;
}

size_t cm_gc_ranges_from(const struct cm_gc_ranges *set, uintptr_t addr)
{
	return cm_first_above(set->v, set->n, sizeof *set->v, addr);
}

static void replace(struct cm_gc_ranges *set, size_t at, size_t drop, size_t put)
{
	memmove(&set->v[at + put], &set->v[at + drop], (set->n - at - drop) * sizeof *set->v);
	set->n = set->n - drop + put;
}

int cm_gc_ranges_add(struct cm_gc_ranges *set, uintptr_t start, uintptr_t end)
{
	size_t i, n = 0;

	if (start >= end)
		return 0;
	if (set->n == set->cap && grow(set) != 0)
		return -ENOMEM;
	i = cm_gc_ranges_from(set, start ? start - 1 : 0);
	while (i + n < set->n && set->v[i + n].start <= end) {
		if (set->v[i + n].start < start)
			start = set->v[i + n].start;
		if (set->v[i + n].end > end)
			end = set->v[i + n].end;
		n++;
	}
	replace(set, i, n, 1);
	set->v[i] = (struct cardmark_run){ start, end };
	return 0;
}

int cm_gc_ranges_remove(struct cm_gc_ranges *set, uintptr_t start, uintptr_t end)
{
	size_t i = cm_gc_ranges_from(set, start), n = 0, put = 0;
	struct cardmark_run keep[2];

	if (start >= end)
		return 0;
	while (i + n < set->n && set->v[i + n].start < end) {
		const struct cardmark_run *r = &set->v[i + n];

		if (r->start < start)
			keep[put++] = (struct cardmark_run){ r->start, start };
		if (r->end > end)
			keep[put++] = (struct cardmark_run){ end, r->end };
		n++;
	}
	bool short_of_room = put > n && set->n == set->cap && grow(set) != 0;

	if (short_of_room)
		put = 1; /* forget the tail: memory in no set counts as dirty */
	replace(set, i, n, put);
	for (size_t k = 0; k < put; k++)
		set->v[i + k] = keep[k];
	return short_of_room ? -ENOMEM : 0;
}

bool cm_gc_ranges_cover(const struct cm_gc_ranges *set, uintptr_t start, uintptr_t end)
{
	size_t i = cm_gc_ranges_from(set, start);

	return i < set->n && set->v[i].start <= start && set->v[i].end >= end;
}

void cm_gc_ranges_minus(uintptr_t start, uintptr_t end, const struct cm_gc_ranges *minus,
			void (*fn)(uintptr_t start, uintptr_t end, void *arg), void *arg)
{
	for (size_t i = cm_gc_ranges_from(minus, start); start < end; i++) {
		uintptr_t stop = i < minus->n && minus->v[i].start < end ? minus->v[i].start : end;

		if (start < stop)
			fn(start, stop, arg);
		if (i >= minus->n)
			break;
		start = minus->v[i].end > start ? minus->v[i].end : start;
	}
}
