/* SPDX-License-Identifier: MIT
 *
 * Description: the pause target's controller (gc-glue/boehm/pause_target.c) beside a model of
 * libgc's incremental collection in time of its own: stops and waits stay as short as
 * the heap allows, and with constants instead they do not. */
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* pause_target.c itself, with our clock. */
#define cm_now_ns real_now
#define cm_cpu_ns real_cpu
#include "gc-glue/boehm/glue.h"
#undef cm_now_ns
#undef cm_cpu_ns

static uint64_t clock_ns, away_ns; /* the part of it without a processor */

static uint64_t cm_now_ns(void)
{
	return clock_ns;
}

static uint64_t cm_cpu_ns(void)
{
	return clock_ns - away_ns;
}

#include "gc-glue/boehm/pause_target.c"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define TARGET (5 * MS)
#define RATE_WITHOUT 2500 /* for the control: what a slice that does nothing suggests */

/* ---- A model of GC_stopped_mark and GC_collect_a_little_inner (alloc.c) ---------------- */

struct program {
	uint64_t blocks;      /* heap */
	uint64_t read_ns;     /* dirty bits, for each block, and */
	uint64_t walk_ns;     /* its header, and */
	uint64_t finish_ns;   /* work after a stop; in thousandths */
	uint64_t unit_ns;     /* a unit of marking, on average */
	unsigned units_each;  /* of them for each dirty block */
	unsigned dirty_share; /* of a thousand allocations */
	unsigned every;       /* allocations: a collection */
};

struct result {
	uint64_t longest_stop, longest_wait, waits_over, collections, stops, most_stops;
};

struct model {
	struct program p;
	uint64_t random;
	bool paced, full, collecting;
	uint64_t dirty, told; /* blocks */
	uint64_t away;        /* how long we have no processor, from the next unit on */
	uint64_t walk_left, walk_unit, units_left;
	int deficit, rate;
	unsigned attempts;
	uint64_t stops; /* of the collection under way */
	struct result r;
};

static struct model m;

uint64_t cm_gc_record_stop_cards(void)
{
	return m.full ? 0 : m.told;
}

bool cm_gc_record_full(void)
{
	return m.full;
}

bool cm_gc_walk_put_back(void)
{
	return false;
}

void cm_gc_walk_hide_again(void)
{
}

static uint64_t full_told;
static bool full_unknown;

uint64_t cm_gc_growth_full_ns(void)
{
	if (full_unknown || full_told)
		return full_told;
	return m.p.blocks * m.p.units_each * m.p.unit_ns;
}

void cm_gc_growth_slice(uint64_t ns)
{
	(void)ns;
}

struct cm_gc_api cm_gc_api;
struct cm_gc_heap cm_gc_heap;
bool cm_gc_world_stopped;
static cm_gc_stop_fn *asks;

static size_t heap_size(void)
{
	return m.p.blocks * BLOCK;
}

static void set_rate(int rate)
{
	if (m.paced)
		m.rate = rate;
}

static void set_stop_func(cm_gc_stop_fn *fn)
{
	asks = fn;
}

static int never(void)
{
	return 0;
}

static cm_gc_stop_fn *get_stop_func(void)
{
	return never;
}

static void set_limit(struct cm_gc_timeval most)
{
	(void)most;
}

static struct cm_gc_timeval get_limit(void)
{
	return (struct cm_gc_timeval){ 50, 0 };
}

static int get_number(void)
{
	return 1;
}

static void set_attempts(int n)
{
	(void)n;
}

/* True: nothing is left to mark. */
static bool unit(void)
{
	clock_ns += m.away;
	away_ns += m.away;
	m.away = 0;
	if (m.walk_left) {
		clock_ns += m.walk_unit;
		m.walk_left--;
		return false;
	}
	if (!m.units_left)
		return true;
	clock_ns += m.p.unit_ns / 2 + random_below(&m.random, m.p.unit_ns);
	m.units_left--;
	return false;
}

static bool stop_ends_now(uint64_t began)
{
	/* Without us: a limit, and so many attempts. */
	return m.paced ? asks() != 0 : clock_ns - began >= TARGET && m.attempts < 30;
}

static void event(int e)
{
	if (m.paced)
		cm_gc_pace_event(e);
}

static void stop(void)
{
	uint64_t began = clock_ns;
	int i = 0;
	bool done = false;

	event(CM_GC_EV_PRE_STOP_WORLD);
	m.r.stops++;
	m.stops++;
	clock_ns += m.full ? 0 : m.p.blocks * m.p.read_ns / 1000;
	m.told = m.full ? m.p.blocks : m.dirty < m.p.blocks ? m.dirty : m.p.blocks;
	m.dirty = 0;
	m.walk_left = m.told + 1;
	m.walk_unit = m.p.blocks * m.p.walk_ns / m.walk_left;
	m.units_left = m.told * m.p.units_each;
	while (!stop_ends_now(began)) {
		done = unit();
		if (done)
			break;
		i++;
	}
	if (done)
		event(CM_GC_EV_MARK_END);
	event(CM_GC_EV_POST_START_WORLD);
	if (clock_ns - began > m.r.longest_stop)
		m.r.longest_stop = clock_ns - began;
	m.collecting = !done;
	m.full = false;
	if (!done) {
		m.deficit = i;
		m.attempts++;
		return;
	}
	clock_ns += m.p.blocks * m.p.finish_ns / 1000;
	event(CM_GC_EV_RECLAIM_END);
	m.r.collections++;
	if (m.stops > m.r.most_stops)
		m.r.most_stops = m.stops;
	m.stops = m.attempts = 0;
}

static void collect_a_little(void)
{
	int i;

	for (i = m.deficit; i < m.rate; i++)
		if (unit())
			break;
	if (i < m.rate)
		stop();
	if (m.deficit > 0)
		m.deficit = m.deficit > m.rate ? m.deficit - m.rate : 0;
}

static void allocate(uint64_t n)
{
	uint64_t began = clock_ns;
	struct cm_gc_paced entered = { 0 };

	if (m.paced)
		entered = cm_gc_pace_enter(16);
	if (m.collecting) {
		collect_a_little();
	} else if (n % m.p.every == 0) {
		m.full = n / m.p.every % 20 == 10;
		stop();
	}
	clock_ns += 300;
	if (m.paced)
		cm_gc_pace_leave(entered, 16, clock_ns - began);
	if (clock_ns - began > m.r.longest_wait)
		m.r.longest_wait = clock_ns - began;
	if (clock_ns - began > TARGET + MS)
		m.r.waits_over++;
	clock_ns += 2 * US; /* the program */
	if (random_below(&m.random, 1000) < m.p.dirty_share)
		m.dirty++;
}

static void run(const struct program *p, bool paced, uint64_t seed, struct result *r)
{
	m = (struct model){ .p = *p, .random = seed, .paced = paced, .rate = RATE_WITHOUT };
	clock_ns = MS;
	cm_gc_api = (struct cm_gc_api){ .GC_get_heap_size = heap_size,
					.GC_set_rate = set_rate,
					.GC_set_stop_func = set_stop_func,
					.GC_get_stop_func = get_stop_func,
					.GC_get_rate = get_number,
					.GC_set_time_limit_tv = set_limit,
					.GC_get_time_limit_tv = get_limit,
					.GC_get_max_prior_attempts = get_number,
					.GC_set_max_prior_attempts = set_attempts,
					.threads = true };
	if (paced)
		CHECK(cm_gc_pace_start(TARGET));
	for (uint64_t n = 1; n < 100 * (uint64_t)p->every; n++) {
		allocate(n);
		if (n == 30 * (uint64_t)p->every) /* it has learned */
			m.r = (struct result){ 0 };
	}
	*r = m.r;
}

/* In a process of its own, as pause_target.c begins once. */
static struct result result_of(const struct program *p, bool paced, uint64_t seed)
{
	struct result *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct result r;
	int status;
	pid_t child;

	CHECK(shared != MAP_FAILED);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		run(p, paced, seed, shared);
		_exit(0);
	}
	status = tap_wait(child);
	CHECK_EQ(status, 0);
	r = *shared;
	(void)munmap(shared, sizeof *shared);
	(void)printf(
		"# %s: %llu collections, %llu stops (at most %llu each), longest %.1f ms, longest "
		"wait %.1f ms, %llu too long\n",
		paced ? "paced" : "constants", (unsigned long long)r.collections,
		(unsigned long long)r.stops, (unsigned long long)r.most_stops,
		(double)r.longest_stop / 1e6, (double)r.longest_wait / 1e6,
		(unsigned long long)r.waits_over);
	return r;
}

/* Measured: kv and trees of 200 and 1000 MiB on a machine with 2 MiB of second-level cache. */
static const struct program small = { 25000, 10, 30, 12, 11000, 3, 200, 20000 };
static const struct program middle = { 70000, 15, 35, 25, 9000, 1, 100, 40000 };
static const struct program large = { 350000, 5, 45, 20, 9000, 1, 100, 80000 };

static void within_the_target(const struct program *p)
{
	uint64_t seed = random_seed(unit_seed);
	struct result with = result_of(p, true, seed), without = result_of(p, false, seed);

	CHECK(with.collections >= 60);
	CHECK(with.longest_stop <= TARGET + MS / 2);
	CHECK(with.longest_wait <= TARGET + MS);
	CHECK_EQ(with.waits_over, 0);
	/* In this model the target can be missed. */
	CHECK(without.longest_wait > TARGET + MS);
}

static void a_small_heap_keeps_the_target(void)
{
	within_the_target(&small);
}

static void a_middle_heap_keeps_the_target(void)
{
	within_the_target(&middle);
}

/* The walk is longer than the target: few stops give up, and none is much longer than the
 * walk. */
static void a_long_walk_is_not_tried_again_and_again(void)
{
	uint64_t seed = random_seed(unit_seed);
	struct result with = result_of(&large, true, seed),
		      without = result_of(&large, false, seed);
	uint64_t walk = large.blocks * (large.walk_ns + large.read_ns / 1000);

	CHECK(with.collections >= 60);
	CHECK(with.longest_stop <= walk + walk / 3);
	CHECK(with.stops <= 4 * with.collections);
	CHECK(with.waits_over <= with.collections + with.collections / 4);
	CHECK(without.stops > 8 * without.collections);
}

/* Everything is dirty at each stop, and a fork waits for the end of a collection: the first
 * stop that begins after its waiting time lets it through. */
static void a_fork_does_not_wait_for_the_target(void)
{
	static const struct program busy = { 25000, 10, 30, 12, 11000, 8, 1000, 20000 };
	struct result r;

	run(&busy, true, random_seed(unit_seed), &r);
	m.collecting = true;
	m.attempts = 0;
	m.dirty = m.p.blocks;
	fork_begins();
	stop();
	CHECK(m.collecting); /* given up: the limit for this stop is still the usual one */
	clock_ns += FORK_WAITS_NS;
	m.dirty = m.p.blocks;
	stop();
	CHECK(m.collecting == false);
	CHECK_EQ(rate_now(), MOST_RATE);
	fork_ends();
	m.dirty = m.p.blocks;
	stop();
	CHECK(m.collecting);
	CHECK(rate_now() < MOST_RATE);
}

/* Each attempt finds all of it dirty again. */
static void with_alldirty_attempts_are_few(void)
{
	static const struct program busy = { 25000, 10, 30, 12, 11000, 8, 1000, 20000 };
	struct result r;

	run(&busy, true, random_seed(unit_seed), &r);
	cm_gc_heap.cm = (struct cardmark *)&m;
	for (int which = 0; which < 2; which++) {
		unsigned stops_of_one = 0;

		cm_gc_heap.tracker.backend =
			which ? CARDMARK_BACKEND_ALLDIRTY : CARDMARK_BACKEND_PAGEMAP;
		m.collecting = true;
		m.attempts = 0;
		failures = 0;
		for (; m.collecting; stops_of_one++) {
			m.dirty = m.p.blocks;
			stop();
		}
		if (which)
			CHECK_EQ(stops_of_one, MOST_WHEN_ALL_IS_DIRTY + 1);
		else
			CHECK(stops_of_one > MOST_WHEN_ALL_IS_DIRTY + 1);
	}
	cm_gc_heap.cm = NULL;
}

static unsigned stops_of_a_full_one(uint64_t told)
{
	unsigned n = 0;

	full_told = told;
	full_unknown = told == 0;
	m.collecting = m.full = true;
	m.attempts = failures = 0;
	for (; m.collecting; n++) {
		stop();
		m.units_left = 0; /* as slices do it */
	}
	full_told = 0;
	full_unknown = false;
	return n;
}

static void a_full_collection_that_fits_is_one_stop(void)
{
	static const struct program tiny = { 600, 10, 30, 12, 300, 8, 1000, 20000 };
	struct result r;

	run(&tiny, true, random_seed(unit_seed), &r);
	card_ns = 10000; /* as in a program with few objects a block, and long chains */
	CHECK_EQ(stops_of_a_full_one(0), 1); /* the very first one is tried */
	CHECK_EQ(stops_of_a_full_one(2 * MS), 1);
	CHECK(stops_of_a_full_one(20 * MS) > 1);
}

static void a_stop_goes_on_after_it_had_no_processor(void)
{
	static const struct program tiny = { 600, 10, 30, 12, 300, 8, 1000, 20000 };
	struct result r;

	run(&tiny, true, random_seed(unit_seed), &r);
	m.away = 50 * MS;
	CHECK_EQ(stops_of_a_full_one(2 * MS), 1);
	CHECK(m.r.longest_stop > 50 * MS);
	CHECK(need_ns < TARGET); /* time that other processes took is not learned */
	CHECK(least_need() < TARGET);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(a_small_heap_keeps_the_target),
		UNIT_CASE(a_middle_heap_keeps_the_target),
		UNIT_CASE(a_long_walk_is_not_tried_again_and_again),
		UNIT_CASE(a_fork_does_not_wait_for_the_target),
		UNIT_CASE(with_alldirty_attempts_are_few),
		UNIT_CASE(a_full_collection_that_fits_is_one_stop),
		UNIT_CASE(a_stop_goes_on_after_it_had_no_processor),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
