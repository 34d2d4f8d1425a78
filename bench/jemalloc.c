/* SPDX-License-Identifier: MIT
 *
 * Measures allocation in a tracked arena of jemalloc that is never collected, against arenas
 * without our hooks. All run in the same process, in turns, in an order that rotates. One of
 * them runs twice: the ratio between the two (A/A) shows the noise. Then the worst case: each
 * allocation is an extent that is mapped, tracked, untracked and unmapped (retain:false, decay
 * at once). It has a process of its own, because jemalloc reads these settings when it starts.
 *
 * Times are this thread's processor time, which other work on the machine disturbs less. */
#include <stdbool.h>

#include <jemalloc/jemalloc.h>

#include <cardmark/jemalloc.h>
#include "bench/measure.h"
#include "common/clock.h"

#define CHURN_CONF "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0"

enum { MAX_REPEATS = 200, SLOTS = 1024, LIVE = 1000 };

static double cpu_ns(void)
{
	return (double)cm_cpu_ns();
}

/* ---- Sides ------------------------------------------------------------------- */

struct side {
	const char *name;
	bool tracked, cache;
	struct cardmark_jemalloc *je;
	int flags;
	void *live[LIVE];
	double ns[MAX_REPEATS];
};

static struct cardmark *cm;

static unsigned number_from(const char *name)
{
	unsigned number;
	size_t size = sizeof number;

	if (mallctl(name, &number, &size, NULL, 0) != 0)
		die("%s: jemalloc refuses", name);
	return number;
}

static void open_side(struct side *s)
{
	unsigned arena;

	if (s->tracked) {
		if (cardmark_jemalloc_create(&s->je, cm, mallctl, 0) != 0)
			die("create: %s", cardmark_last_error());
		arena = cardmark_jemalloc_arena(s->je);
	} else {
		arena = number_from("arenas.create");
	}
	if (!s->cache)
		s->flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	else if (s->tracked)
		s->flags = cardmark_jemalloc_flags(s->je);
	else
		s->flags = MALLOCX_ARENA(arena) | (int)MALLOCX_TCACHE(number_from("tcache.create"));
}

static void *allocate(const struct side *s, size_t size)
{
	void *p = mallocx(size, s->flags);

	if (p == NULL)
		die("mallocx: out of memory");
	*(volatile char *)p = 1;
	return p;
}

/* ---- One turn ------------------------------------------------------------------ */

struct work {
	const char *name;
	size_t smallest, largest; /* bytes */
	unsigned long pairs;
	unsigned slots; /* live at a time; 0: each is freed at once */
};

/* Processor time for each malloc and free. */
static double turn(const struct side *s, const struct work *w, uint64_t seed)
{
	static void *slot[SLOTS];
	uint64_t spread = w->largest - w->smallest + 1;
	double start = cpu_ns();

	for (unsigned long i = 0; i < w->pairs; i++) {
		size_t size = w->smallest + random_under(&seed, spread);
		void **at = &slot[w->slots == 0 ? 0 : random_under(&seed, w->slots)];

		if (*at != NULL)
			dallocx(*at, s->flags);
		*at = allocate(s, size);
		if (w->slots == 0) {
			dallocx(*at, s->flags);
			*at = NULL;
		}
	}
	for (unsigned i = 0; i < w->slots; i++) {
		if (slot[i] != NULL)
			dallocx(slot[i], s->flags);
		slot[i] = NULL;
	}
	return (cpu_ns() - start) / (double)w->pairs;
}

static void take_turns(struct side *sides, unsigned n, const struct work *w, unsigned repeats,
		       uint64_t seed)
{
	fprintf(stderr, "cardmark-jemalloc: %s\n", w->name);
	for (unsigned k = 0; k < n; k++)
		(void)turn(&sides[k], w, seed); /* maps what it needs */
	for (unsigned r = 0; r < repeats; r++)
		for (unsigned k = 0; k < n; k++)
			sides[(r + k) % n].ns[r] = turn(&sides[(r + k) % n], w, seed + r);
}

static double median_of(const double *v, unsigned n)
{
	double copy[MAX_REPEATS];

	memcpy(copy, v, n * sizeof *v);
	return median(copy, n);
}

/* The median of the ratios within repetitions. */
static double ratio_of(const struct side *a, const struct side *b, unsigned n)
{
	double v[MAX_REPEATS];

	for (unsigned i = 0; i < n; i++)
		v[i] = a->ns[i] / b->ns[i];
	return median(v, n);
}

/* ---- Throughput ------------------------------------------------------------------ */

static struct cardmark_jemalloc_stats stats_of(const struct side *s)
{
	struct cardmark_jemalloc_stats stats = { .size = sizeof stats };

	(void)cardmark_jemalloc_stats(s->je, &stats);
	if (stats.track_failed != 0 || stats.ranges_overflown != 0)
		die("some memory could not be tracked, so this would not measure tracking");
	return stats;
}

static void throughput(unsigned repeats, unsigned long pairs, uint64_t seed)
{
	static struct side sides[] = {
		{ .name = "no hooks", .cache = true },
		{ .name = "no hooks again", .cache = true },
		{ .name = "tracked", .cache = true, .tracked = true },
		{ .name = "no hooks, no cache" },
		{ .name = "tracked, no cache", .tracked = true },
	};
	const struct work works[] = {
		{ "16 to 512 B", 16, 512, pairs, SLOTS },
		{ "1 to 32 KiB", 1 << 10, 32 << 10, pairs / 4, SLOTS },
		{ "64 KiB to 1 MiB", 64 << 10, 1 << 20, pairs / 40, 64 },
	};
	unsigned n = sizeof sides / sizeof *sides;

	for (unsigned k = 0; k < n; k++)
		open_side(&sides[k]);
	printf("\nA malloc and a free, in arenas with jemalloc's own settings: ns of processor "
	       "time, medians of %u; in brackets the ratio\n"
	       "  %-16s %10s %8s %17s %12s %20s\n",
	       repeats, "size", "no hooks", "A/A", "tracked", "no cache", "tracked, no cache");
	for (unsigned i = 0; i < sizeof works / sizeof *works; i++) {
		take_turns(sides, n, &works[i], repeats, seed);
		printf("  %-16s %10.1f %8.3f %9.1f (%.3f) %12.1f %12.1f (%.3f)\n", works[i].name,
		       median_of(sides[0].ns, repeats), ratio_of(&sides[1], &sides[0], repeats),
		       median_of(sides[2].ns, repeats), ratio_of(&sides[2], &sides[0], repeats),
		       median_of(sides[3].ns, repeats), median_of(sides[4].ns, repeats),
		       ratio_of(&sides[4], &sides[3], repeats));
	}
	printf("  Extents that were mapped and tracked for all of \"tracked\": %llu\n",
	       (unsigned long long)stats_of(&sides[2]).alloc);
}

/* ---- Extents that come and go -------------------------------------------------------- */

/* So many ranges with gaps. */
static void fill_with_gaps(struct side *s)
{
	static void *between[LIVE];

	for (unsigned i = 0; i < LIVE; i++) {
		s->live[i] = allocate(s, 64 << 10);
		between[i] = allocate(s, 64 << 10);
	}
	for (unsigned i = 0; i < LIVE; i++)
		dallocx(between[i], s->flags);
}

static void empty(struct side *s)
{
	for (unsigned i = 0; i < LIVE; i++)
		dallocx(s->live[i], s->flags);
}

static void print_churn(struct side *sides, const struct work *w, unsigned live, unsigned repeats,
			double extents)
{
	double v[MAX_REPEATS];

	for (unsigned r = 0; r < repeats; r++)
		v[r] = sides[2].ns[r] - sides[0].ns[r];
	printf("  %-10s %8u %10.2f %8.3f %9.2f (%.3f) %14.2f %18.2f\n", w->name, live,
	       median_of(sides[0].ns, repeats) / 1e3, ratio_of(&sides[1], &sides[0], repeats),
	       median_of(sides[2].ns, repeats) / 1e3, ratio_of(&sides[2], &sides[0], repeats),
	       median(v, repeats) / 1e3 / extents, extents);
}

static void churn(unsigned repeats, unsigned long pairs, uint64_t seed)
{
	static struct side sides[] = {
		{ .name = "no hooks" },
		{ .name = "no hooks again" },
		{ .name = "tracked", .tracked = true },
	};
	const struct work works[] = {
		{ "64 KiB", 64 << 10, 64 << 10, pairs, 0 },
		{ "1 MiB", 1 << 20, 1 << 20, pairs, 0 },
	};
	unsigned n = sizeof sides / sizeof *sides;

	for (unsigned k = 0; k < n; k++)
		open_side(&sides[k]);
	printf("\nA malloc and a free that map and unmap (" CHURN_CONF
	       "): us of processor time, medians of %u\n"
	       "  %-10s %8s %10s %8s %17s %14s %18s\n",
	       repeats, "size", "live", "no hooks", "A/A", "tracked", "more an extent",
	       "extents a malloc");
	for (unsigned live = 0; live <= LIVE; live += LIVE) {
		for (unsigned k = 0; k < n && live > 0; k++)
			fill_with_gaps(&sides[k]);
		for (unsigned i = 0; i < sizeof works / sizeof *works; i++) {
			uint64_t before = stats_of(&sides[2]).alloc;

			take_turns(sides, n, &works[i], repeats, seed);
			print_churn(sides, &works[i], live, repeats,
				    (double)(stats_of(&sides[2]).alloc - before) /
					    ((double)pairs * (repeats + 1)));
		}
		for (unsigned k = 0; k < n && live > 0; k++)
			empty(&sides[k]);
	}
}

/* ---------------------------------------------------------------------------------------- */

static void open_tracker(void)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	if (cardmark_open(&cm, &o) != 0)
		die("open: %s", cardmark_last_error());
}

/* The same program with other settings of jemalloc. */
static void go_on_with_churn(unsigned repeats, unsigned long pairs, uint64_t seed)
{
	char name[] = "cardmark-jemalloc", part[] = "--churn", a[40], b[40], c[40];
	char *argv[] = { name, part, a, b, c, NULL };

	snprintf(a, sizeof a, "--repeats=%u", repeats);
	snprintf(b, sizeof b, "--pairs=%lu", pairs);
	snprintf(c, sizeof c, "--seed=%llu", (unsigned long long)seed);
	fflush(NULL);
	if (setenv("MALLOC_CONF", CHURN_CONF, 1) != 0 || execv("/proc/self/exe", argv) != 0)
		die_of("the second part");
}

static void require_churn(void)
{
	bool retain = true;
	size_t size = sizeof retain;

	if (mallctl("opt.retain", &retain, &size, NULL, 0) != 0 || retain)
		die("opt.retain: this jemalloc does not take it from MALLOC_CONF");
}

int main(int argc, char **argv)
{
	struct cardmark_description tracker = CARDMARK_DESCRIPTION_INIT;
	unsigned long repeats = 31, pairs = 400000, seed = 1, only_churn = 0;
	const struct number_option options[] = { { "pairs", &pairs, 200, 1ul << 32 },
						 { "repeats", &repeats, 1, MAX_REPEATS },
						 { "seed", &seed, 1, 1ul << 62 },
						 { "churn", &only_churn, 0, 0 } };

	read_options(argc, argv,
		     "What allocating in a tracked arena of jemalloc costs. Nothing is enforced.",
		     options, sizeof options / sizeof *options);
	open_tracker();
	if (only_churn) {
		require_churn();
		churn((unsigned)repeats, pairs / 200, seed);
		return 0;
	}
	(void)cardmark_describe(cm, &tracker);
	printf("cardmark %s on backend %s, %lu pairs, seed %lu\n", cardmark_version(),
	       cardmark_backend_name(tracker.backend), pairs, seed);
	print_machine();
	throughput((unsigned)repeats, pairs, seed);
	go_on_with_churn((unsigned)repeats, pairs, seed);
}
