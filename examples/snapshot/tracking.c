/* SPDX-License-Identifier: MIT */
#include "tracking.h"

int tracking_open(struct tracking *t)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	int error;

	/* The program's stacks and data are tracked, and no thread waits for a dump. That
	 * needs a backend without traps that clears while others write. */
	options.backend = CARDMARK_BACKEND_PAGEMAP;
	options.flags = CARDMARK_OPEN_CONCURRENT | CARDMARK_OPEN_NO_ENV;
	error = cardmark_open(&t->cm, &options);
	return error < 0 ? error : cardmark_table_new(&t->table, t->cm);
}

/* Calls fn for each piece of a that is not in b. Both ascend. */
static void subtract(struct tracking *t, const struct cardmark_run *a, size_t n,
		     const struct cardmark_run *b, size_t m,
		     void (*fn)(struct tracking *t, struct cardmark_run piece))
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		uintptr_t at = a[i].start;

		while (k < m && b[k].end <= at)
			k++;
		for (size_t j = k; j < m && b[j].start < a[i].end; j++) {
			if (b[j].start > at)
				fn(t, (struct cardmark_run){ at, b[j].start });
			at = b[j].end;
		}
		if (at < a[i].end)
			fn(t, (struct cardmark_run){ at, a[i].end });
	}
}

static void untrack(struct tracking *t, struct cardmark_run piece)
{
	(void)cardmark_untrack(t->cm, (void *)piece.start, piece.end - piece.start);
}

static void track(struct tracking *t, struct cardmark_run piece)
{
	if (cardmark_track(t->cm, (void *)piece.start, piece.end - piece.start, 0) < 0)
		t->refused[t->n_refused++] = piece;
}

static void keep(struct tracking *t, struct cardmark_run piece)
{
	/* Refusals only shorten or remove pieces. */
	if (t->n_tracked < SNAP_MAX_MAPPINGS)
		t->tracked[t->n_tracked++] = piece;
}

static int update(struct tracking *t)
{
	long n = snap_read_maps(0, t->mappings, SNAP_MAX_MAPPINGS);

	if (n < 0)
		return (int)n;
	t->n_wanted = t->n_refused = 0;
	for (long i = 0; i < n; i++)
		if (t->mappings[i].writable)
			t->wanted[t->n_wanted++] =
				(struct cardmark_run){ t->mappings[i].start, t->mappings[i].end };
	subtract(t, t->tracked, t->n_tracked, t->wanted, t->n_wanted, untrack);
	subtract(t, t->wanted, t->n_wanted, t->tracked, t->n_tracked, track);
	t->n_tracked = 0;
	subtract(t, t->wanted, t->n_wanted, t->refused, t->n_refused, keep);
	return 0;
}

int tracking_collect(struct tracking *t)
{
	int error = update(t);

	if (error < 0)
		return error;
	cardmark_table_clear(t->table);
	(void)cardmark_collect(t->cm, t->table);
	return 0;
}

/* Appends the parts of a region that the collect did not report. */
static size_t without_reported(const struct tracking *t, struct cardmark_region region,
			       struct cardmark_run *out, size_t n, size_t cap)
{
	uintptr_t at = region.start;

	while (at < region.end && n < cap) {
		struct cardmark_run dirty = { region.end, region.end };

		(void)cardmark_table_next(t->table, at, region.end, &dirty);
		if (dirty.start > at)
			out[n++] = (struct cardmark_run){ at, dirty.start };
		at = dirty.end;
	}
	return n;
}

size_t tracking_clean(struct tracking *t, struct cardmark_run *out, size_t cap)
{
	struct cardmark_query q = { .size = sizeof q,
				    .op = CARDMARK_SCAN_GET,
				    .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
				    .excluded = CARDMARK_PAGE_WRITTEN,
				    .regions = t->regions,
				    .capacity = sizeof t->regions / sizeof *t->regions };
	uintptr_t at, end;
	size_t n = 0;

	if (t->n_tracked == 0)
		return 0;
	at = t->tracked[0].start;
	end = t->tracked[t->n_tracked - 1].end;
	while (at < end && n < cap) {
		q.start = (void *)at;
		q.len = end - at;
		if (cardmark_scan(t->cm, &q) < 0)
			break;
		/* If a call failed, the answer has no clean page, as it should be. */
		for (size_t i = 0; i < q.count; i++)
			n = without_reported(t, t->regions[i], out, n, cap);
		at = q.resume;
	}
	return n;
}
