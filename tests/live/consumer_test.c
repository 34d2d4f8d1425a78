/* SPDX-License-Identifier: MIT
 *
 * Description: each of several consumers of one tracker gets the cards written since it last
 * asked, in whatever order they and other callers ask. */
#include "tests/support/fixture.h"

#include "lib/tracker.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

enum { ASKERS = 3 }; /* the tracker itself, and consumers */

static struct cardmark_consumer *consumer[ASKERS]; /* [0]: none, the tracker */
static bool owed[ASKERS][CARDS];

static void delete_consumers(void)
{
	for (size_t a = 1; a < ASKERS; a++)
		cardmark_consumer_delete(&consumer[a]);
}

static enum cardmark_collected ask(size_t asker)
{
	cardmark_table_clear(table);
	return asker == 0 ? cardmark_collect(cm, table)
			  : cardmark_consumer_collect(consumer[asker], table);
}

static enum cardmark_collected ask_range(size_t asker, size_t first, size_t last)
{
	size_t len = (last - first) * live_card;

	cardmark_table_clear(table);
	return asker == 0 ? cardmark_collect_range(cm, card_at(first), len, table)
			  : cardmark_consumer_collect_range(consumer[asker], card_at(first), len,
							    table);
}

/* The last answer has the owed cards of first to last - 1, and no others. */
static void compare(size_t asker, size_t first, size_t last)
{
	live_expect(table, card_at(first), last - first, owed[asker] + first);
	for (size_t i = 0; i < CARDS; i++)
		CHECK((i >= first && i < last) || !card_dirty(table, i));
	memset(owed[asker] + first, 0, last - first);
}

static void ask_and_compare(size_t asker)
{
	CHECK(ask(asker) != CARDMARK_ALL_DIRTY);
	compare(asker, 0, CARDS);
}

static void all_ask(void)
{
	for (size_t a = 0; a < ASKERS; a++)
		ask_and_compare(a);
	for (size_t a = 0; a < ASKERS; a++) /* each card is reported once */
		ask_and_compare(a);
}

static void owe(size_t i)
{
	for (size_t a = 0; a < ASKERS; a++)
		owed[a][i] = true;
}

static void store(size_t i)
{
	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	owe(i);
}

static void add_consumers(void)
{
	for (size_t a = 1; a < ASKERS; a++)
		CHECK_EQ(cardmark_consumer_new(&consumer[a], cm), 0);
}

/* Every consumer has got all cards up to here. */
static void begin_on(struct cardmark *opened)
{
	delete_consumers(); /* of a case that failed */
	set_up_on(opened);
	add_consumers();
	for (size_t a = 1; a < ASKERS; a++)
		CHECK_EQ(ask(a), CARDMARK_EXACT);
	memset(owed, 0, sizeof owed);
}

static void begin(void)
{
	begin_on(live_open());
}

static void each_is_told_what_was_written_since_it_asked(void)
{
	begin();
	store(3);
	ask_and_compare(0);
	store(4);
	ask_and_compare(1);
	store(3);
	all_ask();
	delete_consumers();
}

/* ---- The first answer ------------------------------------------------------ */

static void the_first_answer_has_what_holds_data(void)
{
	bool data[CARDS] = { false };

	delete_consumers();
	mem = live_map(CARDS);
	for (size_t i = 0; i < CARDS; i += 3)
		live_store(card_at(i), 1);
	cm = live_armed(mem, CARDS, &table);
	(void)live_collect(cm, table); /* all is clean now */
	add_consumers();
	live_store(card_at(40), 1);
	for (size_t i = 0; i < CARDS; i++)
		data[i] = i % 3 == 0 || i == 40;
	for (size_t a = 1; a < ASKERS; a++) {
		CHECK_EQ(ask(a), CARDMARK_EXACT);
		live_expect(table, mem, CARDS, data);
	}
	memset(owed, 0, sizeof owed);
	owed[0][40] = true;
	all_ask();
	delete_consumers();
}

static void the_first_answer_may_come_in_ranges(void)
{
	delete_consumers();
	set_up();
	add_consumers();
	memset(owed, 0, sizeof owed);
	memset(owed[1], 1, CARDS);
	memset(owed[2], 1, CARDS);
	store(5);
	CHECK_EQ(ask_range(1, 0, 20), CARDMARK_EXACT);
	compare(1, 0, 20);
	CHECK_EQ(ask_range(1, 10, 30), CARDMARK_EXACT);
	compare(1, 10, 30);
	all_ask();
	delete_consumers();
}

/* ---- Beside everybody else who takes bits ------------------------------------ */

static void what_a_preclean_takes_is_kept_for_each(void)
{
	begin();
	store(3);
	CHECK_EQ(cardmark_preclean(cm), 0);
	ask_and_compare(2);
	store(5);
	CHECK_EQ(cardmark_preclean(cm), 0);
	all_ask();
	delete_consumers();
}

static void what_a_range_takes_is_kept_for_each(void)
{
	begin();
	for (size_t i = 0; i < CARDS; i += 5)
		store(i);
	CHECK_EQ(ask_range(1, 8, 24), CARDMARK_EXACT);
	compare(1, 8, 24);
	CHECK_EQ(ask_range(0, 20, 50), CARDMARK_EXACT);
	compare(0, 20, 50);
	all_ask();
	delete_consumers();
}

/* The tracker's clearing scan takes the cards that the tracker was owed. The consumers are
 * owed all of these, some for a second time. */
static void owe_what_a_scan_takes(void)
{
	for (size_t a = 1; a < ASKERS; a++)
		for (size_t i = 0; i < CARDS; i++)
			owed[a][i] |= owed[0][i];
	memset(owed[0], 0, CARDS);
}

static void scan(enum cardmark_scan_op op, unsigned flags)
{
	struct cardmark_region v[CARDS];
	struct cardmark_query q = live_query(op, mem, CARDS, v, CARDS);

	q.flags = flags;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.resume, (uintptr_t)mem + q.len);
}

static void a_clearing_scan_takes_from_nobody_else(void)
{
	begin();
	store(3);
	store(9);
	scan(CARDMARK_SCAN_GET_AND_CLEAR, 0);
	owe_what_a_scan_takes();
	store(11);
	CHECK_EQ(ask_range(1, 0, 8), CARDMARK_EXACT);
	compare(1, 0, 8);
	scan(CARDMARK_SCAN_CLEAR, 0);
	owe_what_a_scan_takes();
	all_ask();
	delete_consumers();
}

static void a_scan_that_ignores_new_memory_takes_from_nobody(void)
{
	begin();
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	memset(owed, 1, sizeof owed);
	ask_and_compare(2); /* still new to the scan's caller */
	store(7);
	scan(CARDMARK_SCAN_CLEAR, CARDMARK_SCAN_IGNORE_NEW);
	owe_what_a_scan_takes();
	all_ask();
	delete_consumers();
}

static void the_end_of_a_hold_is_told_to_each(void)
{
	begin();
	CHECK_EQ(cardmark_hold(cm, card_at(4), live_card), 0);
	for (size_t a = 0; a < ASKERS; a++) {
		(void)ask(a);
		CHECK(card_dirty(table, 4));
	}
	CHECK_EQ(cardmark_release(cm, card_at(4), live_card), 0);
	owe(4);
	all_ask();
	delete_consumers();
}

static void emptied_is_written_to_each_if_it_counts(void)
{
	begin_on(live_open_flags(CARDMARK_OPEN_DISCARD_IS_WRITE));
	CHECK_EQ(madvise(card_at(8), live_card, MADV_DONTNEED), 0);
	owe(8);
	ask_and_compare(1);
	CHECK_EQ(madvise(card_at(9), live_card, MADV_DONTNEED), 0);
	owe(9);
	cardmark_table_clear(table);
	CHECK_EQ(cardmark_discarded(cm, table), 0);
	CHECK(card_dirty(table, 9));
	owed[0][9] = false; /* answered, to the tracker's own caller */
	all_ask();
	delete_consumers();
}

static bool is_discarded(size_t i)
{
	CHECK_EQ(madvise(card_at(i), live_card, MADV_DONTNEED), 0);
	cardmark_table_clear(table);
	CHECK_EQ(cardmark_discarded(cm, table), CARDMARK_EXACT);
	return card_dirty(table, i);
}

/* A card that was found empty has data again, which is kept but not yet reported. */
static void what_was_kept_before_the_first_consumer_can_be_emptied(void)
{
	begin_on(live_open_flags(CARDMARK_OPEN_DISCARDS));
	delete_consumers();
	CHECK(is_discarded(8));
	store(8);
	CHECK_EQ(cardmark_preclean(cm), 0);
	add_consumers();
	(void)ask(0);
	CHECK(card_dirty(table, 8));
	CHECK(is_discarded(8));
	CHECK(!is_discarded(8)); /* control: it is reported once */
	delete_consumers();
}

static void memory_that_is_tracked_anew_is_told_to_each(void)
{
	begin();
	store(3);
	CHECK_EQ(cardmark_untrack(cm, mem, 8 * live_card), 0);
	for (size_t a = 0; a < ASKERS; a++)
		memset(owed[a], 0, 8);
	store(20);
	all_ask();
	CHECK_EQ(cardmark_track(cm, mem, 8 * live_card, 0), 0);
	for (size_t i = 0; i < 8; i++)
		owe(i);
	all_ask();
	delete_consumers();
}

static void everything_is_dirty_to_each_after_a_suspend(void)
{
	begin();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(ask(2), CARDMARK_GUESSED);
	live_expect_dirty(table, mem, CARDS);
	CHECK_EQ(cardmark_resume(cm), 0);
	memset(owed, 1, sizeof owed);
	all_ask();
	delete_consumers();
}

static void verify_finds_nothing(void)
{
	begin_on(live_open_verifying(0));
	for (unsigned round = 0; round < 9; round++) {
		store(round);
		ask_and_compare(round % ASKERS);
	}
	all_ask();
	CHECK_EQ(live_stats(cm).verify_missed, 0);
	delete_consumers();
}

/* Runs that are reported without a look are reported to every consumer. */
static void backoff_loses_nothing(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backoff = 2;
	begin_on(live_open_options(&options));
	cm->backoff.least = 4;
	for (unsigned round = 0; round < 40; round++) {
		size_t a = round % ASKERS;

		if (round % 4 != 3)
			for (size_t i = 8; i < 24; i++)
				store(i);
		(void)ask(a);
		for (size_t i = 0; i < CARDS; i++)
			CHECK(!owed[a][i] || card_dirty(table, i));
		memset(owed[a], 0, CARDS);
	}
	delete_consumers();
}

/* ---- At random --------------------------------------------------------------- */

static void something_at_random(uint64_t *rng)
{
	size_t a = (size_t)random_below(rng, ASKERS), first = (size_t)random_below(rng, CARDS);
	size_t last = first + 1 + (size_t)random_below(rng, CARDS - first);

	switch (random_below(rng, 8)) {
	case 0:
	case 1:
		ask_and_compare(a);
		break;
	case 2:
		CHECK(ask_range(a, first, last) != CARDMARK_ALL_DIRTY);
		compare(a, first, last);
		break;
	case 3:
		if (live_can(CARDMARK_CAP_CONCURRENT))
			CHECK_EQ(cardmark_preclean(cm), 0);
		break;
	case 4:
		scan(random_below(rng, 2) ? CARDMARK_SCAN_CLEAR : CARDMARK_SCAN_GET_AND_CLEAR, 0);
		owe_what_a_scan_takes();
		break;
	default:
		for (size_t i = first; i < last; i += 1 + (size_t)random_below(rng, 9))
			store(i);
	}
}

static void in_any_order(void)
{
	uint64_t rng = random_seed(NULL);

	begin();
	for (unsigned step = 0; step < 2000; step++)
		something_at_random(&rng);
	all_ask();
	delete_consumers();
}

/* ---- Who cannot be answered ---------------------------------------------------- */

static void a_stopped_thread_inside_takes_from_nobody(void)
{
	begin();
	store(3);
	CHECK_EQ(pthread_mutex_lock(&cm->lock), 0); /* like a stopped thread that holds it */
	CHECK_EQ(ask(1), CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_all_dirty(table));
	CHECK_EQ(ask_range(2, 0, 8), CARDMARK_ALL_DIRTY);
	CHECK_EQ(pthread_mutex_unlock(&cm->lock), 0);
	CHECK_EQ(live_stats(cm).all_dirty, 2);
	all_ask(); /* the two answers before cleared nothing */
	delete_consumers();
}

static void a_table_of_another_tracker_is_all_dirty(void)
{
	struct cardmark_table *other;

	live_may_open_another();
	begin();
	store(3);
	other = live_table(live_open());
	CHECK_EQ(cardmark_consumer_collect(consumer[1], other), CARDMARK_REFUSED);
	all_ask();
	delete_consumers();
}

static void a_closed_tracker_leaves_consumers_to_delete(void)
{
	begin();
	live_clean_up(); /* closes it */
	delete_consumers();
	cardmark_consumer_delete(NULL);
	cardmark_consumer_delete(&consumer[1]);
}

static void a_consumer_that_is_deleted_takes_nothing_along(void)
{
	begin();
	store(3);
	ask_and_compare(0);
	cardmark_consumer_delete(&consumer[1]);
	store(4);
	ask_and_compare(2);
	CHECK_EQ(cardmark_consumer_new(&consumer[1], cm), 0);
	memset(owed[1], 1, CARDS);
	all_ask();
	delete_consumers();
	store(5);
	ask_and_compare(0);
	ask_and_compare(0);
}

static void expect_in_child(void *arg)
{
	(void)arg;
	for (size_t a = 0; a < ASKERS; a++) {
		CHECK(ask(a) != CARDMARK_ALL_DIRTY);
		CHECK(card_dirty(table, 9));
		CHECK(card_dirty(table, 40));
	}
	memset(owed, 0, sizeof owed);
	store(50);
	for (size_t a = 0; a < ASKERS; a++) {
		(void)ask(a);
		CHECK(card_dirty(table, 50));
	}
	delete_consumers();
}

static void in_a_child_of_a_fork(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	begin();
	store(9);
	ask_and_compare(1);
	store(40);
	CHECK_EQ(tap_in_child(expect_in_child, NULL), 0);
	all_ask();
	delete_consumers();
}

/* ---- What it costs, and control -------------------------------------------------- */

static uint64_t calls_of_a_collect(void)
{
	uint64_t before;

	for (size_t i = 0; i < CARDS; i += 2)
		store(i);
	before = live_stats(cm).kernel_calls;
	(void)ask(0);
	return live_stats(cm).kernel_calls - before;
}

static void no_kernel_call_more(void)
{
	uint64_t with;

	begin();
	(void)calls_of_a_collect();
	with = calls_of_a_collect();
	delete_consumers();
	(void)calls_of_a_collect();
	CHECK_EQ(with, calls_of_a_collect());
}

/* A tracker that hands the taken cards only to the asker, not to the other consumers. */
static void control_what_is_not_handed_over_is_lost(void)
{
	begin();
	store(3);
	ask_and_compare(0);
	cm_cards_clear_all(&consumer[1]->kept.cards);
	(void)ask(1);
	CHECK(!card_dirty(table, 3));
	(void)ask(2);
	CHECK(card_dirty(table, 3));
	delete_consumers();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "each is told what was written since it asked",
		  each_is_told_what_was_written_since_it_asked, 0, 0 },
		{ "the first answer has what holds data", the_first_answer_has_what_holds_data, 0,
		  0 },
		{ "the first answer may come in ranges", the_first_answer_may_come_in_ranges, 0,
		  0 },
		{ "what a preclean takes is kept for each", what_a_preclean_takes_is_kept_for_each,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "what a range takes is kept for each", what_a_range_takes_is_kept_for_each, 0,
		  0 },
		{ "a clearing scan takes from nobody else", a_clearing_scan_takes_from_nobody_else,
		  0, 0 },
		{ "a scan that ignores new memory takes from nobody",
		  a_scan_that_ignores_new_memory_takes_from_nobody, 0, 0 },
		{ "the end of a hold is told to each", the_end_of_a_hold_is_told_to_each, 0, 0 },
		{ "emptied is written to each, if it counts",
		  emptied_is_written_to_each_if_it_counts, 0, 0 },
		{ "what was kept before the first consumer can be emptied",
		  what_was_kept_before_the_first_consumer_can_be_emptied, CARDMARK_CAP_CONCURRENT,
		  0 },
		{ "memory that is tracked anew is told to each",
		  memory_that_is_tracked_anew_is_told_to_each, 0, 0 },
		{ "everything is dirty to each after a suspend",
		  everything_is_dirty_to_each_after_a_suspend, 0, 0 },
		{ "verify finds nothing", verify_finds_nothing, 0, 0 },
		{ "backoff loses nothing", backoff_loses_nothing, CARDMARK_CAP_CONCURRENT, 0 },
		{ "in any order", in_any_order, 0, 0 },
		{ "a stopped thread inside takes from nobody",
		  a_stopped_thread_inside_takes_from_nobody, 0, 0 },
		{ "a table of another tracker is all dirty",
		  a_table_of_another_tracker_is_all_dirty, 0, 0 },
		{ "a closed tracker leaves consumers to delete",
		  a_closed_tracker_leaves_consumers_to_delete, 0, 0 },
		{ "a consumer that is deleted takes nothing along",
		  a_consumer_that_is_deleted_takes_nothing_along, 0, 0 },
		{ "in a child of a fork", in_a_child_of_a_fork, 0, 0 },
		{ "no kernel call more", no_kernel_call_more, 0, 0 },
		{ "control: what is not handed over is lost",
		  control_what_is_not_handed_over_is_lost, CARDMARK_CAP_PRECISE, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
