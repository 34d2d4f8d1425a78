/* SPDX-License-Identifier: MIT
 * Pauses are kept one by one; everything else is sums. */
#include "examples/minigc/stats.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/heap.h"
#include "examples/minigc/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct pause *pauses;
static size_t n_pauses, room;
static uint64_t allocated;

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t stats_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t stats_cpu(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void stats_add(const struct pause *p)
{
	if (n_pauses == room) {
		room = room * 2 + 1024;
		pauses = realloc(pauses, room * sizeof *pauses);
		if (pauses == NULL)
			fatal("out of memory: no room for the pauses");
	}
	pauses[n_pauses++] = *p;
}

void stats_allocated(uint64_t bytes)
{
	allocated += bytes;
}

/* ---- Sums ------------------------------------------------------------------------- */

struct summary {
	size_t n;
	uint64_t p50, p99, max, sum;
};

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Of the young or the full ones. The p-th percentile is the least pause such that p % of all
 * are not longer. */
static struct summary summarize(bool full)
{
	uint64_t *v = calloc(n_pauses + 1, sizeof *v);
	struct summary s = { 0 };

	if (v == NULL)
		fatal("out of memory: no room for the summary");
	for (size_t i = 0; i < n_pauses; i++)
		if (pauses[i].full == full) {
			v[s.n++] = pauses[i].end - pauses[i].start;
			s.sum += pauses[i].end - pauses[i].start;
		}
	qsort(v, s.n, sizeof *v, by_size);
	if (s.n > 0) {
		s.p50 = v[(s.n + 1) / 2 - 1];
		s.p99 = v[(s.n * 99 + 99) / 100 - 1];
		s.max = v[s.n - 1];
	}
	free(v);
	return s;
}

static uint64_t phase_of_young(enum phase phase)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n_pauses; i++)
		if (!pauses[i].full)
			sum += pauses[i].phase[phase];
	return sum;
}

/* ---- Printing --------------------------------------------------------------------- */

static void text(const char *name, const char *s)
{
	if (config.json)
		(void)fprintf(stderr, ", \"%s\": \"%s\"", name, s);
	else
		(void)fprintf(stderr, "%s %s\n", name, s);
}

static void number(const char *name, uint64_t n)
{
	if (config.json)
		(void)fprintf(stderr, ", \"%s\": %" PRIu64, name, n);
	else
		(void)fprintf(stderr, "%s %" PRIu64 "\n", name, n);
}

static void print_summary(const char *const names[5], const struct summary *s)
{
	number(names[0], s->n);
	number(names[1], s->p50);
	number(names[2], s->p99);
	number(names[3], s->max);
	number(names[4], s->sum);
}

static void print_sums(uint64_t wall_ns)
{
	static const char *const young_names[5] = { "young", "young_p50_ns", "young_p99_ns",
						    "young_max_ns", "young_sum_ns" };
	static const char *const full_names[5] = { "full", "full_p50_ns", "full_p99_ns",
						   "full_max_ns", "full_sum_ns" };
	struct summary young = summarize(false), full = summarize(true);
	struct cardmark_description tracker = CARDMARK_DESCRIPTION_INIT;
	uint64_t dirty = 0, scanned = 0, cpu = 0;

	for (size_t i = 0; i < n_pauses; i++) {
		dirty += pauses[i].dirty;
		scanned += pauses[i].scanned;
		cpu += pauses[i].cpu;
	}
	if (config.json)
		(void)fputs("{\"format\": \"minigc\"", stderr);
	text("barrier", barrier_names[config.barrier]);
	if (config.barrier == BARRIER_CARDMARK)
		(void)cardmark_describe(heap.cm, &tracker);
	text("backend",
	     config.barrier == BARRIER_CARDMARK ? cardmark_backend_name(tracker.backend) : "-");
	number("mutators", config.mutators);
	number("wall_ns", wall_ns);
	number("cpu_ns", read_clock(CLOCK_PROCESS_CPUTIME_ID));
	number("pauses_cpu_ns", cpu);
	number("allocated_bytes", allocated);
	number("live_bytes", heap.live);
	print_summary(young_names, &young);
	print_summary(full_names, &full);
	/* Of the young collections alone: */
	number("stop_ns", phase_of_young(PHASE_STOP));
	number("cards_ns", phase_of_young(PHASE_CARDS));
	number("scan_ns", phase_of_young(PHASE_SCAN));
	number("mark_ns", phase_of_young(PHASE_MARK));
	number("sweep_ns", phase_of_young(PHASE_SWEEP));
	number("dirty_cards", dirty);
	number("scanned_objects", scanned);
	number("all_dirty", barrier.all_dirty);
	number("guessed", barrier.guessed);
	number("dropped", barrier.dropped);
	number("lost", verify_lost());
	if (config.json)
		(void)fputs("}\n", stderr);
}

static bool write_pauses(void)
{
	FILE *f = fopen(config.pauses, "w");
	bool ok;

	if (f == NULL)
		return false;
	(void)fputs(
		"kind,start_ns,end_ns,stop_ns,cards_ns,scan_ns,mark_ns,sweep_ns,dirty,scanned\n",
		f);
	for (size_t i = 0; i < n_pauses; i++) {
		const struct pause *p = &pauses[i];

		(void)fprintf(f, "%s,%" PRIu64 ",%" PRIu64, p->full ? "full" : "young", p->start,
			      p->end);
		for (unsigned k = 0; k < PHASES; k++)
			(void)fprintf(f, ",%" PRIu64, p->phase[k]);
		(void)fprintf(f, ",%" PRIu64 ",%" PRIu64 "\n", p->dirty, p->scanned);
	}
	ok = ferror(f) == 0;
	return fclose(f) == 0 && ok;
}

bool stats_print(uint64_t wall_ns)
{
	if (config.stats || config.json)
		print_sums(wall_ns);
	return config.pauses == NULL || write_pauses();
}
