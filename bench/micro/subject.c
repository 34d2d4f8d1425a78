/* SPDX-License-Identifier: MIT */
#include <sys/resource.h>

#include "bench/measure.h"
#include "bench/micro/micro.h"

bool subject_open(struct subject *s, struct gbench_state *state, struct cardmark_options *options)
{
	struct cardmark_options defaults = CARDMARK_OPTIONS_INIT;

	memset(s, 0, sizeof *s);
	s->loop.uffd = s->loop.pagemap = -1;
	if (micro.bare) {
		if (bare_open(&s->loop))
			return true;
		micro_fail(state, strerror(errno));
		return false;
	}
	if (options == NULL)
		options = &defaults;
	options->backend = micro.backend;
	options->flags |= CARDMARK_OPEN_NO_ENV;
	if (cardmark_open(&s->cm, options) == 0 && cardmark_table_new(&s->table, s->cm) == 0)
		return true;
	micro_fail(state, cardmark_last_error());
	return false;
}

void subject_close(struct subject *s)
{
	cardmark_table_delete(&s->table);
	cardmark_close(&s->cm);
	bare_close(&s->loop);
}

bool subject_track(struct subject *s, const struct heap *h)
{
	bool good = true;

	for (size_t i = 0; i < h->pages && good; i += h->piece) {
		size_t len = h->piece * micro.page;

		good = s->cm == NULL ? bare_register(&s->loop, heap_page(h, i), len)
				     : cardmark_track(s->cm, heap_page(h, i), len,
						      CARDMARK_TRACK_PRIVATE) == 0;
	}
	return good;
}

bool subject_untrack(struct subject *s, const struct heap *h)
{
	bool good = true;

	for (size_t i = 0; i < h->pages && good; i += h->piece) {
		size_t len = h->piece * micro.page;

		good = s->cm == NULL ? bare_unregister(&s->loop, heap_page(h, i), len)
				     : cardmark_untrack(s->cm, heap_page(h, i), len) == 0;
	}
	return good;
}

uint64_t subject_collect(struct subject *s, const struct heap *h)
{
	uint64_t pages = 0;

	if (s->cm != NULL) {
		(void)cardmark_collect(s->cm, s->table);
		return cardmark_table_count(s->table);
	}
	for (size_t i = 0; i < h->pages; i += h->piece) {
		uint64_t n = bare_collect(&s->loop, heap_page(h, i), h->piece * micro.page);

		if (n == UINT64_MAX)
			return 0; /* nothing found: the check will report it */
		pages += n;
	}
	return pages;
}

/* The control: one card that was written is not in the answer. */
static void lose_one(struct subject *s, const struct heap *h, uint64_t *found)
{
	size_t i = 0;

	while (h->want[i] == 0)
		i++;
	--*found;
	if (s->table != NULL)
		(void)cardmark_table_clear_range(s->table, heap_page(h, i), micro.page);
}

bool subject_check(struct subject *s, struct gbench_state *state, struct heap *h, uint64_t found)
{
	size_t missing;
	char text[160];

	if (micro.lose && h->wanted > 0)
		lose_one(s, h, &found);
	missing = found < h->wanted ? h->wanted - (size_t)found : 0;
	if (s->cm != NULL && cardmark_table_all_dirty(s->table))
		found = h->pages;
	/* The bare loop keeps no table: only its number can be checked. */
	if (s->cm != NULL && missing == 0)
		for (size_t i = 0; i < h->pages; i++)
			missing += h->want[i] != 0 &&
				   !cardmark_table_is_dirty(s->table, heap_page(h, i));
	if (s->table != NULL)
		cardmark_table_clear(s->table);
	s->checked++;
	s->cards += found;
	s->over += found > h->wanted ? found - h->wanted : 0;
	if (missing != 0) {
		snprintf(text, sizeof text, "WRITES MISSED: %zu of %zu dirty cards", missing,
			 h->wanted);
		micro_fail(state, text);
	}
	heap_forget(h);
	return missing == 0;
}

bool subject_armed(struct subject *s, struct gbench_state *state, struct heap *h,
		   struct cardmark_options *options)
{
	if (!subject_open(s, state, options))
		return false;
	if (!subject_track(s, h)) {
		micro_fail(state, s->cm != NULL ? cardmark_last_error() : strerror(errno));
		return false;
	}
	(void)subject_collect(s, h);
	if (s->table != NULL)
		cardmark_table_clear(s->table);
	heap_forget(h);
	subject_start(s);
	return true;
}

/* ---- Counters ----------------------------------------------------------------------- */

static size_t count_vmas(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	size_t n = 0;
	int c;

	while (f != NULL && (c = getc(f)) != EOF)
		n += c == '\n';
	if (f != NULL)
		fclose(f);
	return n;
}

static uint64_t minor_faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)u.ru_minflt;
}

static void numbers(const struct subject *s, uint64_t *calls, uint64_t *traps)
{
	struct cardmark_stats stats = { .size = sizeof stats };

	*calls = s->loop.calls;
	*traps = 0;
	if (s->cm == NULL || cardmark_stats(s->cm, &stats) != 0)
		return;
	*calls = stats.kernel_calls;
	*traps = stats.faults;
}

void subject_start(struct subject *s)
{
	numbers(s, &s->calls, &s->traps);
	s->checked = s->cards = s->over = 0;
	s->faults = minor_faults();
}

void subject_counters(struct subject *s, struct gbench_state *state)
{
	double rounds = s->checked > 0 ? (double)s->checked : 1;
	uint64_t calls, traps, faults = minor_faults();

	numbers(s, &calls, &traps);
	gbench_counter(state, "faults", (double)(faults - s->faults) / rounds, GBENCH_PLAIN);
	gbench_counter(state, "traps", (double)(traps - s->traps) / rounds, GBENCH_PLAIN);
	gbench_counter(state, "kernel_calls", (double)(calls - s->calls) / rounds, GBENCH_PLAIN);
	gbench_counter(state, "dirty_cards", (double)s->cards / rounds, GBENCH_PLAIN);
	gbench_counter(state, "over_reported", (double)s->over / rounds, GBENCH_PLAIN);
	gbench_counter(state, "vmas", (double)count_vmas(), GBENCH_PLAIN);
}
