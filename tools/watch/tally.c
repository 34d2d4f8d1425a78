/* SPDX-License-Identifier: MIT */
#include "tools/watch/tally.h"

#include "common/die.h"
#include "common/ranges.h"

#include <stdlib.h>

static void *sure(void *memory)
{
	if (memory == NULL)
		die("out of memory");
	return memory;
}

static void most(uint64_t *a, uint64_t b)
{
	if (b > *a)
		*a = b;
}

/* What the program has forbidden to count is 0 from then on. */
static uint64_t more(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

struct tally *tally_new(uint64_t interval_ns)
{
	struct tally *t = sure(calloc(1, sizeof *t));
	uint64_t length = interval_ns;

	t->interval_ns = interval_ns;
	t->page = cardmark_card_size();
	t->window[t->n_windows++].length_ns = length;
	for (length = 1000000; length <= 1000000000 && t->n_windows < TALLY_WINDOWS; length *= 10)
		if (length > interval_ns)
			t->window[t->n_windows++].length_ns = length;
	tally_start(t);
	return t;
}

/* Not a fresh one that is copied: it is too large for a small stack. */
void tally_start(struct tally *t)
{
	uint64_t interval_ns = t->interval_ns, length_ns[TALLY_WINDOWS];
	size_t page = t->page;
	unsigned n = t->n_windows;

	for (unsigned w = 0; w < n; w++)
		length_ns[w] = t->window[w].length_ns;
	for (size_t i = 0; i < t->n_blocks; i++)
		free(t->block[i]);
	free(t->block);
	free(t->mapping);
	free(t->run);
	memset(t, 0, sizeof *t);
	t->interval_ns = t->bin_ns = interval_ns;
	t->page = page;
	t->n_windows = n;
	for (unsigned w = 0; w < n; w++)
		t->window[w] = (struct tally_window){ .length_ns = length_ns[w], .number = 1 };
}

static unsigned name_of(struct tally *t, const char *name)
{
	unsigned i = 0;

	while (i < t->n_names && strcmp(t->name[i].name, name) != 0)
		i++;
	if (i == t->n_names && i == TALLY_NAMES - 1)
		name = "all others";
	if (i == TALLY_NAMES)
		return TALLY_NAMES - 1;
	if (i == t->n_names)
		(void)snprintf(t->name[t->n_names++].name, WATCH_NAME, "%s", name);
	return i;
}

void tally_mapped(struct tally *t, const struct watch_mapping *v, size_t n)
{
	uint64_t bytes[TALLY_NAMES] = { 0 };

	t->mapping = sure(realloc(t->mapping, (n + 1) * sizeof *v));
	memcpy(t->mapping, v, n * sizeof *v);
	t->n_mappings = n;
	for (size_t i = 0; i < n; i++)
		if (v[i].write)
			bytes[name_of(t, v[i].name)] += v[i].end - v[i].start;
	for (unsigned i = 0; i < t->n_names; i++)
		most(&t->name[i].mapped, bytes[i]);
}

void tally_refused(struct tally *t, const struct watch_mapping *w, const char *why)
{
	struct tally_name *n = &t->name[name_of(t, w->name)];

	most(&n->refused, w->end - w->start);
	if (*n->why == '\0')
		(void)snprintf(n->why, sizeof n->why, "%s", why);
}

void tally_runs(struct tally *t, const struct cardmark_region *v, size_t n)
{
	if (t->n_runs + n > t->runs_capacity) {
		t->runs_capacity = 2 * (t->n_runs + n);
		t->run = sure(realloc(t->run, t->runs_capacity * sizeof *v));
	}
	memcpy(t->run + t->n_runs, v, n * sizeof *v);
	t->n_runs += n;
}

static void widen_bins(struct tally *t)
{
	for (unsigned i = 0; i < TALLY_BINS; i++)
		t->bin_looks[i] =
			i < TALLY_BINS / 2 ? t->bin_looks[2 * i] + t->bin_looks[2 * i + 1] : 0;
	for (size_t b = 0; b < t->n_blocks; b++)
		for (unsigned g = 0; g < TALLY_GROUPS; g++) {
			uint32_t *heat = t->block[b]->heat[g];

			for (unsigned i = 0; i < TALLY_BINS; i++)
				heat[i] = i < TALLY_BINS / 2 ? heat[2 * i] + heat[2 * i + 1] : 0;
		}
	t->bin_ns *= 2;
}

static struct tally_block *block_of(struct tally *t, uintptr_t addr)
{
	size_t bytes = TALLY_PAGES * t->page, low = 0, high = t->n_blocks;
	struct tally_block *b;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->block[middle]->start + bytes > addr)
			high = middle;
		else
			low = middle + 1;
	}
	if (low < t->n_blocks && t->block[low]->start <= addr)
		return t->block[low];
	if (t->n_blocks == t->capacity) {
		t->capacity = 2 * t->capacity + 64;
		t->block = sure(realloc(t->block, t->capacity * sizeof(void *)));
	}
	b = sure(calloc(1, sizeof *b));
	b->start = addr - addr % bytes;
	memmove(t->block + low + 1, t->block + low, (t->n_blocks - low) * sizeof(void *));
	t->block[low] = b;
	t->n_blocks++;
	return b;
}

static void add_page(struct tally *t, uintptr_t addr, unsigned bin, unsigned name)
{
	struct tally_block *b = block_of(t, addr);
	size_t i = (addr - b->start) / t->page;
	struct tally_page *p = &b->page[i];

	b->heat[i >> TALLY_SHIFT][bin]++;
	if (p->looks++ == 0) {
		t->distinct++;
		t->name[name].pages++;
		p->name = name;
	}
	t->name[name].looks++;
	for (unsigned w = 0; w < t->n_windows; w++)
		if (p->window[w] != t->window[w].number) {
			p->window[w] = t->window[w].number;
			t->window[w].pages++;
		}
}

/* What is mapped at addr, up to *end. */
static unsigned name_at(struct tally *t, uintptr_t addr, uintptr_t *end)
{
	size_t i = cm_first_above(t->mapping, t->n_mappings, sizeof *t->mapping, addr);

	if (i == t->n_mappings || t->mapping[i].start > addr)
		return name_of(t, "anonymous");
	if (t->mapping[i].end < *end)
		*end = t->mapping[i].end;
	return name_of(t, t->mapping[i].name);
}

static uint64_t add_runs(struct tally *t, unsigned bin)
{
	uint64_t pages = 0;

	for (size_t r = 0; r < t->n_runs; r++)
		for (uintptr_t at = t->run[r].start; at < t->run[r].end;) {
			uintptr_t end = t->run[r].end;
			unsigned name = name_at(t, at, &end);

			for (; at < end; at += t->page, pages++)
				add_page(t, at, bin, name);
		}
	t->n_runs = 0;
	return pages;
}

static void close_window(struct tally_window *w, uint64_t end_ns)
{
	hist_add(&w->h, w->pages);
	w->sum_ns += (double)(end_ns - w->begin_ns);
	w->begin_ns = end_ns;
	w->pages = 0;
	w->number++;
}

void tally_look(struct tally *t, const struct watch_look *l)
{
	uint64_t pages, faults = more(l->faults, t->last.faults);
	unsigned bin;

	most(&t->mapped, l->mapped);
	most(&t->shared, l->shared);
	most(&t->refused_bytes, l->refused);
	t->end_ns = l->end;
	if (!l->failed || l->first)
		t->answered_ns = l->end;
	if (l->first) {
		t->begin_ns = l->end;
		for (unsigned w = 0; w < t->n_windows; w++)
			t->window[w].begin_ns = l->end;
		t->last = *l;
		t->n_runs = 0;
		return;
	}
	while ((l->end - t->begin_ns) / t->bin_ns >= TALLY_BINS)
		widen_bins(t);
	bin = (unsigned)((l->end - t->begin_ns) / t->bin_ns);
	pages = add_runs(t, bin);
	t->bin_looks[bin]++;
	t->looks++;
	t->written += pages;
	t->failed += l->failed;
	t->why = l->failed ? l->why : t->why;
	most(&t->unanswered, l->unanswered);
	t->guessed += l->guessed;
	t->put_off += l->put_off;
	t->faults += faults;
	t->cpu_ns += more(l->cpu_ns, t->last.cpu_ns);
	t->unexplained += faults > pages ? faults - pages : 0;
	t->gone += l->gone;
	t->gone_mappings += l->gone_mappings;
	most(&t->longest_ns, l->end - t->last.end);
	t->last = *l;
	for (unsigned w = 0; w < t->n_windows; w++)
		if (l->end - t->window[w].begin_ns >= t->window[w].length_ns || w == 0)
			close_window(&t->window[w], l->end);
}

void tally_end(struct tally *t)
{
	for (unsigned w = 0; w < t->n_windows; w++)
		if (t->end_ns > t->window[w].begin_ns)
			close_window(&t->window[w], t->end_ns);
}

unsigned tally_bins(const struct tally *t)
{
	return t->end_ns > t->begin_ns ? (unsigned)((t->end_ns - t->begin_ns) / t->bin_ns) + 1 : 1;
}

double tally_mean(const struct tally *t, const uint64_t *cell, unsigned bin, unsigned bins)
{
	uint64_t sum = 0, looks = 0;

	for (unsigned b = bin; b < TALLY_BINS && (b < bin + bins || looks == 0); b++) {
		sum += cell[b];
		looks += t->bin_looks[b];
	}
	return looks > 0 ? (double)sum / (double)looks : 0;
}

const double tally_levels[TALLY_LEVELS - 1] = { 0.01, 0.05, 0.2, 0.6 };

unsigned tally_level(double share)
{
	unsigned level = share > 0;

	for (unsigned i = 0; i < TALLY_LEVELS - 1; i++)
		level += share >= tally_levels[i];
	return level;
}

/* Groups of 1 << shift pages in which some were written. Filled in, if rows is not NULL. */
static size_t group(const struct tally *t, unsigned shift, struct tally_row *rows)
{
	size_t bytes = t->page << shift, n = 0, best = 0;
	uintptr_t last = UINTPTR_MAX;

	for (size_t b = 0; b < t->n_blocks; b++)
		for (size_t i = 0; i < TALLY_PAGES; i++) {
			const struct tally_page *p = &t->block[b]->page[i];
			uintptr_t at = t->block[b]->start + i * t->page, start = at - at % bytes;

			if (p->looks > 0 && start != last) {
				if (rows != NULL) {
					rows[n].start = start;
					rows[n].apart = n > 0 && start != last + bytes;
				}
				n++;
				best = 0;
				last = start;
			}
			if (rows == NULL || p->looks == 0)
				continue;
			rows[n - 1].pages++;
			if (p->looks > best) {
				best = p->looks;
				rows[n - 1].name = t->name[p->name].name;
			}
		}
	return n;
}

struct tally_row *tally_rows(const struct tally *t, size_t most_rows, size_t *n, size_t *pages)
{
	unsigned shift = TALLY_SHIFT;
	struct tally_row *rows;
	size_t r = 0;

	while ((*n = group(t, shift, NULL)) > most_rows)
		shift++;
	*pages = (size_t)1 << shift;
	rows = sure(calloc(*n + 1, sizeof *rows));
	(void)group(t, shift, rows);
	for (size_t b = 0; b < t->n_blocks; b++)
		for (size_t g = 0; g < TALLY_GROUPS; g++) {
			uintptr_t at = t->block[b]->start + (g << TALLY_SHIFT) * t->page;

			while (r < *n && rows[r].start + *pages * t->page <= at)
				r++;
			for (unsigned i = 0; r < *n && rows[r].start <= at && i < TALLY_BINS; i++)
				rows[r].cell[i] += t->block[b]->heat[g][i];
		}
	return rows;
}
