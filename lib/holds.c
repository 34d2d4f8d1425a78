/* SPDX-License-Identifier: MIT */
#include "lib/holds.h"

#include "cardmark/cardmark.h"
#include "common/ranges.h"
#include "lib/os/os.h"

#include <errno.h>
#include <string.h>

#define FIRST_CAPACITY 64

static size_t bytes_for(size_t cap)
{
	return cap * (sizeof(struct cm_hold) + sizeof(struct cardmark_run));
}

void cm_holds_free(struct cm_holds *h)
{
	if (h->v != NULL)
		(void)cm_os->unmap(h->v, bytes_for(h->cap));
	memset(h, 0, sizeof *h);
}

static int grow(struct cm_holds *h)
{
	size_t cap = h->cap == 0 ? FIRST_CAPACITY : 2 * h->cap;
	struct cm_holds bigger = *h;
	void *p;
	int error;

	if (h->n < h->cap)
		return 0;
	error = cm_os->map(bytes_for(cap), &p);
	if (error < 0)
		return -ENOMEM;
	bigger.v = p;
	bigger.run = (struct cardmark_run *)(void *)(bigger.v + cap);
	bigger.cap = cap;
	if (h->v != NULL) {
		memcpy(bigger.v, h->v, h->n * sizeof *h->v);
		memcpy(bigger.run, h->run, h->n_runs * sizeof *h->run);
		(void)cm_os->unmap(h->v, bytes_for(h->cap));
	}
	*h = bigger;
	return 0;
}

/* Index of the first hold that is not below [start, end). */
static size_t find(const struct cm_holds *h, uintptr_t start, uintptr_t end)
{
	size_t lo = 0, hi = h->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct cm_hold *m = &h->v[mid];
		if (m->start > start || (m->start == start && m->end >= end))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void make_runs(struct cm_holds *h)
{
	uintptr_t mask = cardmark_card_size() - 1;

	h->n_runs = 0;
	for (size_t i = 0; i < h->n; i++) {
		struct cardmark_run r = { h->v[i].start & ~mask, (h->v[i].end + mask) & ~mask };
		struct cardmark_run *last = h->n_runs > 0 ? &h->run[h->n_runs - 1] : NULL;

		if (last == NULL || r.start > last->end)
			h->run[h->n_runs++] = r;
		else if (r.end > last->end)
			last->end = r.end;
	}
}

int cm_holds_add(struct cm_holds *h, uintptr_t start, uintptr_t end)
{
	size_t i = find(h, start, end);

	if (i == h->n || h->v[i].start != start || h->v[i].end != end) {
		if (grow(h) < 0)
			return -ENOMEM;
		memmove(&h->v[i + 1], &h->v[i], (h->n - i) * sizeof *h->v);
		h->v[i] = (struct cm_hold){ start, end, 0 };
		h->n++;
		make_runs(h);
	}
	h->v[i].count++;
	h->total++;
	return 0;
}

int cm_holds_remove(struct cm_holds *h, uintptr_t start, uintptr_t end)
{
	size_t i = find(h, start, end);

	if (i == h->n || h->v[i].start != start || h->v[i].end != end)
		return -ENOENT;
	h->total--;
	if (--h->v[i].count == 0) {
		h->n--;
		memmove(&h->v[i], &h->v[i + 1], (h->n - i) * sizeof *h->v);
		make_runs(h);
	}
	return 0;
}

bool cm_holds_next(const struct cm_holds *h, uintptr_t addr, struct cardmark_run *out)
{
	size_t i = cm_first_above(h->run, h->n_runs, sizeof *h->run, addr);

	if (i == h->n_runs)
		return false;
	*out = h->run[i];
	return true;
}
