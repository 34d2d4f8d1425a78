/* SPDX-License-Identifier: MIT
 *
 * Description: a collect of one arena takes the cards of that arena and leaves all others for the
 * next collect. Controls: a collect of the whole tracker takes them all; without the arena's
 * lock, the writes to memory that goes to another arena in the middle of the call are lost to
 * the new owner. */
#include "gc-glue/jemalloc/glue.h" /* first: the frame has a variable `je` */

#include "tests/jemalloc/locked.h"
#include "tests/support/broken_os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define CARDS ((size_t)16)
#define BYTES (CARDS * live_card)

/* ---- Two arenas, each with a table of its own ------------------------------------------ */

static struct cardmark_jemalloc *other;
static struct cardmark_table *other_table;
static unsigned char *mine, *others, *outside;

static void set_up_two(void)
{
	set_up(0);
	other = je_create(cm, 0);
	other_table = live_table(cm);
	mine = mallocx(BYTES, cardmark_jemalloc_flags(je));
	others = mallocx(BYTES, cardmark_jemalloc_flags(other));
	outside = live_map(CARDS);
	CHECK(mine != NULL && others != NULL);
	CHECK_EQ(cardmark_track(cm, outside, BYTES, 0), 0);
	memset(mine, 1, BYTES);
	memset(others, 1, BYTES);
	memset(outside, 1, BYTES);
	collect();
}

static void tear_down_two(void)
{
	CHECK_EQ(cardmark_untrack(cm, outside, BYTES), 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&other), 0);
	tear_down();
}

static void write_to_all(void)
{
	live_store(mine + 3 * live_card, 2);
	live_store(others + 4 * live_card, 2);
	live_store(outside + 5 * live_card, 2);
}

static enum cardmark_collected collect_mine(void)
{
	cardmark_table_clear(table);
	return cardmark_jemalloc_collect_arena(je, table);
}

static bool others_write_is_reported(void)
{
	cardmark_table_clear(other_table);
	(void)cardmark_jemalloc_collect_arena(other, other_table);
	return cardmark_jemalloc_is_dirty(other, other_table, others + 4 * live_card);
}

static void an_arenas_cards_and_no_others(void)
{
	set_up_two();
	write_to_all();
	CHECK_EQ(collect_mine(), CARDMARK_EXACT);
	CHECK(dirty(mine + 3 * live_card));
	CHECK(!dirty(mine + 9 * live_card));
	CHECK_EQ(cardmark_table_count(table), 1);
	CHECK_EQ(collect_mine(), CARDMARK_EXACT); /* armed again */
	CHECK_EQ(cardmark_table_count(table), 0);
	live_store(mine + 3 * live_card, 3);
	(void)collect_mine();
	CHECK(dirty(mine + 3 * live_card));
	tear_down_two();
}

static void other_arenas_cards_are_reported_later(void)
{
	set_up_two();
	write_to_all();
	(void)collect_mine();
	CHECK(dirty(mine + 3 * live_card));
	CHECK(others_write_is_reported());
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, outside + 5 * live_card));
	tear_down_two();
}

static void control_a_collect_of_all_takes_them(void)
{
	set_up_two();
	write_to_all();
	collect();
	CHECK(!others_write_is_reported());
	tear_down_two();
}

static void new_memory_is_dirty(void)
{
	unsigned char *p;

	set_up_two();
	p = mallocx(4 * BYTES, cardmark_jemalloc_flags(je));
	CHECK(p != NULL);
	live_store(p + 2 * BYTES, 1);
	(void)collect_mine();
	CHECK(dirty(p + 2 * BYTES));
	dallocx(p, cardmark_jemalloc_flags(je));
	tear_down_two();
}

static void all_of_it_is_dirty_while_suspended(void)
{
	set_up_two();
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_to_all();
	CHECK(collect_mine() != CARDMARK_EXACT);
	CHECK(dirty(mine + 3 * live_card));
	CHECK_EQ(cardmark_resume(cm), 0);
	tear_down_two();
}

static void a_table_of_another_tracker_is_all_dirty(void)
{
	struct cardmark_table *foreign;

	live_may_open_another();
	set_up_two();
	foreign = live_table(live_open());
	CHECK_EQ(cardmark_jemalloc_collect_arena(je, foreign), CARDMARK_REFUSED);
	CHECK(cardmark_table_all_dirty(foreign));
	tear_down_two();
}

/* ---- Without the arena's lock ------------------------------------------------------------ */

/* Nothing is taken from the tracker: the writes are reported once more. */
static void without_the_lock_all_cards_are_dirty(void)
{
	set_up_two();
	write_to_all();
	CHECK_EQ(collect_without_the_lock(cardmark_jemalloc_collect_arena), CARDMARK_GUESSED);
	CHECK(!cardmark_table_all_dirty(table));
	for (size_t i = 0; i < CARDS; i++)
		CHECK(dirty(mine + i * live_card));
	CHECK(!cardmark_jemalloc_is_dirty(other, table, others + 4 * live_card));
	CHECK_EQ(collect_mine(), CARDMARK_EXACT);
	CHECK(dirty(mine + 3 * live_card) && !dirty(mine + 9 * live_card));
	CHECK(others_write_is_reported());
	tear_down_two();
}

/* ---- Memory that goes to another arena ----------------------------------------------------- */

static unsigned char *area; /* the memory that both arenas' own hooks map and unmap */
static _Thread_local bool stops_before_the_tracker;
static _Atomic bool lets_go; /* control: the arena's lock is not held there */

static void *give_area(struct je_hooks *h, void *at, size_t size, size_t alignment, bool *zero,
		       bool *commit, unsigned arena)
{
	(void)h, (void)at, (void)size, (void)alignment, (void)arena;
	*zero = false;
	*commit = true;
	return area;
}

static bool take_area(struct je_hooks *h, void *addr, size_t size, bool committed, unsigned arena)
{
	(void)h, (void)addr, (void)size, (void)committed, (void)arena;
	return false;
}

static struct je_hooks area_hooks = {
	.alloc = give_area, .dalloc = take_area, .split = je_split, .merge = je_merge
};

/* A collect looks at the clock before it takes the tracker's lock. */
static uint64_t gated_now(void)
{
	if (stops_before_the_tracker) {
		stops_before_the_tracker = false;
		if (atomic_load(&lets_go))
			(void)pthread_mutex_unlock(&je->lock);
		stand_at_gate();
		if (atomic_load(&lets_go))
			(void)pthread_mutex_lock(&je->lock);
	}
	return cm_os_linux.now();
}

static void *collect_through_the_gate(void *arg)
{
	stops_before_the_tracker = true;
	(void)cardmark_jemalloc_collect_arena(je, table);
	return arg;
}

static struct cardmark_jemalloc *adopt_with_area_hooks(void)
{
	struct cardmark_jemalloc *adopted = NULL;
	unsigned arena = je_new_arena();

	CHECK_EQ(je_write_hooks(arena, &area_hooks), 0);
	CHECK_EQ(cardmark_jemalloc_adopt(&adopted, cm, mallctl, arena, 0), 0);
	return adopted;
}

static void map_area_in(struct cardmark_jemalloc *arena)
{
	bool zero, commit;

	CHECK(arena->hooks.alloc(&arena->hooks, NULL, BYTES, live_card, &zero, &commit,
				 arena->arena) == area);
}

/* Like jemalloc when it unmaps in one arena and maps in another. Then the new owner collects
 * and the program writes. */
static void *move_area(void *arg)
{
	CHECK(!je->hooks.dalloc(&je->hooks, area, BYTES, true, je->arena));
	map_area_in(other);
	(void)cardmark_jemalloc_collect_arena(other, other_table);
	live_store(area + 4 * live_card, 2);
	return arg;
}

static void set_up_area(void)
{
	cm = live_open();
	table = live_table(cm);
	other_table = live_table(cm);
	area = others = live_map(CARDS);
	je = adopt_with_area_hooks();
	other = adopt_with_area_hooks();
	map_area_in(je);
	memset(area, 1, BYTES);
	collect();
}

static bool reported_after_a_move_in_the_middle(bool broken)
{
	pthread_t collector, mover;
	bool locked, reported;

	broken_os_begin()->now = gated_now;
	set_up_area();
	atomic_store(&lets_go, broken);
	shut_gate();
	CHECK_EQ(pthread_create(&collector, NULL, collect_through_the_gate, NULL), 0);
	await(&gate_reached);
	locked = pthread_mutex_trylock(&je->lock) != 0;
	if (!locked)
		(void)pthread_mutex_unlock(&je->lock);
	CHECK(locked != broken);
	CHECK_EQ(pthread_create(&mover, NULL, move_area, NULL), 0);
	if (broken)
		(void)pthread_join(mover, NULL);
	open_gate();
	(void)pthread_join(collector, NULL);
	if (!broken)
		(void)pthread_join(mover, NULL);
	reported = others_write_is_reported();
	CHECK_EQ(cardmark_jemalloc_destroy(&other), 0);
	tear_down();
	return reported;
}

static void memory_does_not_change_hands_meanwhile(void)
{
	CHECK(reported_after_a_move_in_the_middle(false));
}

static void control_without_the_lock_its_writes_are_taken(void)
{
	CHECK(!reported_after_a_move_in_the_middle(true));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "an arena's cards and no others", an_arenas_cards_and_no_others,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "other arenas' cards are reported later", other_arenas_cards_are_reported_later,
		  0, 0 },
		{ "new memory is dirty", new_memory_is_dirty, 0, 0 },
		{ "all of it is dirty while suspended", all_of_it_is_dirty_while_suspended, 0, 0 },
		{ "a table of another tracker is all dirty",
		  a_table_of_another_tracker_is_all_dirty, 0, 0 },
		{ "without the lock all of its cards are dirty, and nothing is taken",
		  without_the_lock_all_cards_are_dirty, CARDMARK_CAP_PRECISE, 0 },
		{ "memory does not change hands meanwhile", memory_does_not_change_hands_meanwhile,
		  0, 0 },
		{ "control: a collect of all takes what is another arena's",
		  control_a_collect_of_all_takes_them, CARDMARK_CAP_PRECISE, 0 },
		{ "control: without the lock its writes are taken",
		  control_without_the_lock_its_writes_are_taken, CARDMARK_CAP_PRECISE, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
