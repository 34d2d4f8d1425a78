/* SPDX-License-Identifier: MIT
 *
 * Description: other threads can change the address space in the middle of a long collect or
 * preclean (R10). The clock is a fake that runs fast, and a rest lasts until another thread
 * has unmapped memory twice: so counts decide, not time. */
#include "tests/support/backends.h"
#include "tests/support/live.h"

#include "tests/support/broken_os.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define CARDS 1024
#define PIECE 16

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;

static _Atomic bool quit;
static _Atomic uint64_t unmaps, in_rests;
static _Atomic uint64_t ticks;
static unsigned rests;
static bool stuck, locked_out;

static void *map_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&quit)) {
		void *p = mmap(NULL, live_card, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		(void)munmap(p, live_card);
		atomic_fetch_add(&unmaps, 1);
	}
	return NULL;
}

/* Each look advances it by a millisecond. */
static uint64_t fast_clock(void)
{
	return atomic_fetch_add(&ticks, 1) * 1000000;
}

static void watched_nap(uint64_t ns)
{
	uint64_t before = atomic_load(&unmaps), give_up = cm_os_linux.now() + 20000000000u;

	(void)ns;
	rests++;
	while (atomic_load(&unmaps) < before + 2 && !stuck) {
		(void)sched_yield();
		stuck = cm_os_linux.now() > give_up;
	}
	atomic_fetch_add(&in_rests, atomic_load(&unmaps) - before);
	if (cm != NULL && !locked_out && !says_tracked(cm, mem, live_card))
		locked_out = true;
}

static void set_up(unsigned flags, size_t pieces)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cm_os *os = broken_os_begin();

	os->now = fast_clock;
	os->nap = watched_nap;
	options.flags = flags;
	options.chunk_bytes = CARDS / pieces * live_card;
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = NULL;
	struct cardmark *opened = live_open_options(&options);
	table = live_table(opened);
	CHECK_EQ(cardmark_track(opened, mem, CARDS * live_card, 0), 0);
	rests = 0;
	stuck = locked_out = false;
	atomic_store(&in_rests, 0);
	atomic_store(&quit, false);
	cm = opened;
}

/* Runs ask() beside the thread that maps. */
static void beside_maps(void (*ask)(struct cardmark *tracker), struct cardmark *tracker)
{
	pthread_t thread;
	uint64_t before = atomic_load(&unmaps);

	CHECK(pthread_create(&thread, NULL, map_on, NULL) == 0);
	while (atomic_load(&unmaps) == before)
		(void)sched_yield();
	ask(tracker);
	atomic_store(&quit, true);
	(void)pthread_join(thread, NULL);
	broken_os_end();
	tap_note("%u rests, %llu unmappings in them", rests,
		 (unsigned long long)atomic_load(&in_rests));
	CHECK(!stuck);
}

static void collect(struct cardmark *tracker)
{
	(void)cardmark_collect(tracker, table);
}

static void preclean(struct cardmark *tracker)
{
	(void)cardmark_preclean(tracker);
}

static void collect_in_pieces(unsigned flags, size_t pieces)
{
	set_up(flags, pieces);
	struct cardmark *tracker = cm;
	cm = NULL; /* its lock is held while it rests */
	beside_maps(collect, tracker);
	live_expect_dirty(table, mem, CARDS);
	(void)live_collect(tracker, table);
	live_expect_clean(table, mem, CARDS);
}

static void a_concurrent_collect_lets_others_in(void)
{
	collect_in_pieces(CARDMARK_OPEN_CONCURRENT, CARDS / PIECE);
	CHECK_EQ(rests, CARDS / PIECE - 1);
	CHECK(atomic_load(&in_rests) >= 2 * rests);
}

/* The controls: a collect in one piece lets no other thread in, and a pause, in which no
 * thread waits, is not made longer. */
static void one_piece_lets_nobody_in(void)
{
	collect_in_pieces(CARDMARK_OPEN_CONCURRENT, 1);
	CHECK_EQ(rests, 0);
}

static void a_collect_in_a_pause_does_not_rest(void)
{
	collect_in_pieces(0, CARDS / PIECE);
	CHECK_EQ(rests, 0);
}

static void a_preclean_rests_without_the_lock(void)
{
	set_up(0, CARDS / PIECE);
	struct cardmark *tracker = cm;
	beside_maps(preclean, tracker);
	CHECK_EQ(rests, CARDS / PIECE);
	CHECK(atomic_load(&in_rests) >= 2 * rests);
	CHECK(!locked_out);
	(void)live_collect(tracker, table);
	live_expect_dirty(table, mem, CARDS);
}

static void a_query_lets_others_in(struct cardmark *tracker)
{
	static struct cardmark_region regions[4];
	struct cardmark_query q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, regions, 4);

	if (cardmark_scan(tracker, &q) != 0 || q.pages != CARDS)
		stuck = true;
}

static void a_concurrent_query_lets_others_in(void)
{
	set_up(CARDMARK_OPEN_CONCURRENT, CARDS / PIECE);
	struct cardmark *tracker = cm;
	cm = NULL;
	beside_maps(a_query_lets_others_in, tracker);
	CHECK_EQ(rests, CARDS / PIECE - 1);
	CHECK(atomic_load(&in_rests) >= 2 * rests);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "R10: a concurrent collect lets others in", a_concurrent_collect_lets_others_in,
		  0, LIVE_ONLY(PAGEMAP) },
		{ "R10: one piece lets nobody in", one_piece_lets_nobody_in, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "R10: a collect in a pause does not rest", a_collect_in_a_pause_does_not_rest, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "R10: a preclean rests without the lock", a_preclean_rests_without_the_lock, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "R10: a concurrent query lets others in", a_concurrent_query_lets_others_in, 0,
		  LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
