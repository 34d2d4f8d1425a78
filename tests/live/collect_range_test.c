/* SPDX-License-Identifier: MIT
 *
 * Description: a collect of a range reports only the cards of the range, and leaves all others
 * for the next collect. Its cost does not grow with the heap. */
#include "tests/support/fixture.h"

#include "lib/tracker.h"

#include <errno.h>
#include <sys/mman.h>

static enum cardmark_collected ask(const void *addr, size_t len)
{
	cardmark_table_clear(table);
	return cardmark_collect_range(cm, addr, len, table);
}

/* Asks for cards first to last - 1: the written ones among them are reported now, and all
 * others by the next collect. */
static void ask_and_compare(size_t first, size_t last)
{
	bool now[CARDS] = { false };

	for (size_t i = first; i < last; i++) {
		now[i] = want[i];
		want[i] = false;
	}
	CHECK_EQ(ask(card_at(first), (last - first) * live_card), CARDMARK_EXACT);
	live_expect(table, mem + first * live_card, last - first, now + first);
	for (size_t i = 0; i < CARDS; i++)
		CHECK((i >= first && i < last) || !cardmark_table_is_dirty(table, card_at(i)));
	collect_and_compare();
	collect_and_compare(); /* each is reported once */
}

static void write_everywhere(void)
{
	for (size_t i = 0; i < CARDS; i += 3)
		write_card(i);
}

static void its_cards_and_no_others(void)
{
	set_up();
	for (size_t first = 0; first < CARDS; first += 11) {
		write_everywhere();
		ask_and_compare(first, first + 9);
	}
}

static void its_cards_are_armed_again(void)
{
	set_up();
	write_card(7);
	CHECK_EQ(ask(mem, CARDS * live_card), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
	write_card(7);
	write_card(8);
	ask_and_compare(8, 9);
}

static void an_object_need_not_be_aligned(void)
{
	bool now[CARDS] = { false };

	set_up();
	for (size_t i = 9; i < 15; i++)
		write_card(i);
	CHECK_EQ(ask(card_at(11) - 1, 2 + live_card), CARDMARK_EXACT);
	now[10] = now[11] = now[12] = true;
	for (size_t i = 0; i < CARDS; i++)
		CHECK(now[i] ? cardmark_table_is_dirty(table, card_at(i))
			     : !live_can(CARDMARK_CAP_PRECISE) || i < 10 || i > 12 ||
				       !cardmark_table_is_dirty(table, card_at(i)));
	want[10] = want[11] = want[12] = false;
	collect_and_compare();
}

static void a_range_may_be_empty_or_untracked_or_everything(void)
{
	set_up();
	write_everywhere();
	CHECK_EQ(ask(card_at(3), 0), CARDMARK_EXACT);
	CHECK_EQ(cardmark_table_count(table), 0);
	CHECK_EQ(ask((void *)live_card, live_card), CARDMARK_EXACT);
	CHECK_EQ(ask((void *)CM_ADDRESS_LIMIT, live_card), CARDMARK_EXACT);
	CHECK_EQ(cardmark_table_count(table), 0);
	CHECK_EQ(ask(card_at(32), SIZE_MAX), CARDMARK_EXACT);
	for (size_t i = 0; i < CARDS; i++)
		if (live_can(CARDMARK_CAP_PRECISE))
			CHECK_EQ(cardmark_table_is_dirty(table, card_at(i)), i >= 32 && want[i]);
	memset(want + 32, 0, 32 * sizeof *want);
	CHECK_EQ(ask(NULL, SIZE_MAX), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
}

static void a_range_covers_several_tracked_ones(void)
{
	set_up();
	CHECK_EQ(cardmark_untrack(cm, card_at(20), 4 * live_card), 0);
	write_everywhere();
	memset(want + 20, 0, 4 * sizeof *want);
	ask_and_compare(10, 40);
}

static void new_memory_is_dirty_where_it_is_asked_for(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	memset(want, 1, sizeof want);
	ask_and_compare(5, 12);
}

static void a_table_of_another_tracker_is_all_dirty(void)
{
	struct cardmark_table *other;

	live_may_open_another();
	set_up();
	write_card(3);
	other = live_table(live_open());
	CHECK_EQ(cardmark_collect_range(cm, mem, live_card, other), CARDMARK_REFUSED);
	CHECK(cardmark_table_all_dirty(other));
	ask_and_compare(0, 8);
}

/* ---- Beside the other calls -------------------------------------------------- */

static void what_a_preclean_kept_is_divided_too(void)
{
	set_up();
	write_everywhere();
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(1);
	write_card(50);
	ask_and_compare(0, 30);
}

static void held_cards_are_in_each_answer(void)
{
	set_up();
	CHECK_EQ(cardmark_hold(cm, card_at(4), 4 * live_card), 0);
	for (unsigned round = 0; round < 2; round++) {
		CHECK_EQ(ask(card_at(6), live_card), CARDMARK_EXACT);
		CHECK(cardmark_table_is_dirty(table, card_at(6)));
		if (live_can(CARDMARK_CAP_PRECISE))
			CHECK_EQ(cardmark_table_count(table), 1);
	}
	CHECK_EQ(cardmark_release(cm, card_at(4), 4 * live_card), 0);
	for (size_t i = 4; i < 8; i++)
		want[i] = true;
	ask_and_compare(6, 10);
}

static void everything_is_dirty_while_suspended(void)
{
	set_up();
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_card(40);
	CHECK_EQ(ask(card_at(8), 8 * live_card), CARDMARK_GUESSED);
	live_expect_dirty(table, card_at(8), 8);
	CHECK(!cardmark_table_is_dirty(table, card_at(40)));
	CHECK_EQ(cardmark_resume(cm), 0);
	memset(want, 1, sizeof want);
	(void)ask(card_at(8), 8 * live_card);
	live_expect_dirty(table, card_at(8), 8);
	memset(want + 8, 0, 8 * sizeof *want);
	collect_and_compare();
}

static void what_was_emptied_is_written_if_it_counts(void)
{
	set_up_with(CARDMARK_OPEN_DISCARD_IS_WRITE);
	for (size_t i = 8; i < 16; i++) {
		CHECK_EQ(madvise(card_at(i), live_card, MADV_DONTNEED), 0);
		want[i] = true;
	}
	ask_and_compare(12, 20);
}

static void verify_finds_nothing(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	for (unsigned round = 0; round < 4; round++) {
		write_everywhere();
		ask_and_compare(round * 7, round * 7 + 20);
	}
	CHECK_EQ(live_stats(cm).verify_missed, 0);
}

static void a_scan_passes_over_what_is_still_new(void)
{
	struct cardmark_region v[CARDS];
	struct cardmark_query q;

	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)ask(card_at(16), 16 * live_card);
	write_card(20);
	write_card(40);
	q = live_query(CARDMARK_SCAN_GET, mem, CARDS, v, CARDS);
	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK(q.count >= 1 && v[0].start <= (uintptr_t)card_at(20) &&
	      v[q.count - 1].end >= (uintptr_t)card_at(21));
	CHECK(v[0].start >= (uintptr_t)card_at(16) &&
	      v[q.count - 1].end <= (uintptr_t)card_at(32)); /* the rest is new */
}

static void expect_in_child(void *arg)
{
	(void)arg;
	(void)ask(card_at(8), 8 * live_card);
	live_expect_dirty(table, card_at(8), 8);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(40)));
}

static void in_a_child_of_a_fork(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	write_card(9);
	write_card(40);
	CHECK_EQ(tap_in_child(expect_in_child, NULL), 0);
	ask_and_compare(8, 16);
}

/* ---- What it costs ----------------------------------------------------------- */

static uint64_t calls_for_a_few_cards(size_t cards)
{
	uint64_t before;

	mem = live_map(cards);
	memset(mem, 1, cards * live_card);
	cm = live_armed(mem, cards, &table);
	for (size_t i = 0; i < cards; i += 2)
		live_store(card_at(i), 2);
	before = live_stats(cm).kernel_calls;
	CHECK_EQ(ask(card_at(4), 4 * live_card), CARDMARK_EXACT);
	return live_stats(cm).kernel_calls - before;
}

static void kernel_calls_grow_with_the_range_and_not_with_the_heap(void)
{
	uint64_t small = calls_for_a_few_cards(CARDS), large;

	live_clean_up();
	large = calls_for_a_few_cards((size_t)1 << 15);
	tap_note("%llu kernel calls of a small heap, %llu of a large one",
		 (unsigned long long)small, (unsigned long long)large);
	CHECK(large <= small);
	/* Control: a collect of all has more to do. */
	if (live_backend != CARDMARK_BACKEND_ALLDIRTY) {
		uint64_t before = live_stats(cm).kernel_calls;

		(void)live_collect(cm, table);
		CHECK(live_stats(cm).kernel_calls - before > large ||
		      live_backend == CARDMARK_BACKEND_MPROTECT); /* one mprotect(2) a range */
	}
}

/* ---- Control ------------------------------------------------------------------ */

/* A library that forgets the cards that a backend takes beyond the range. */
static void control_a_rest_that_is_forgotten_is_lost(void)
{
	set_up();
	write_card(3);
	write_card(40);
	if (live_can(CARDMARK_CAP_CONCURRENT))
		CHECK_EQ(cardmark_preclean(cm), 0);
	CHECK_EQ(ask(card_at(0), 8 * live_card), CARDMARK_EXACT);
	cm_cards_clear_all(&cm->kept.cards);
	(void)live_collect(cm, table);
	CHECK(!cardmark_table_is_dirty(table, card_at(40)));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "its cards and no others", its_cards_and_no_others, 0, 0 },
		{ "its cards are armed again", its_cards_are_armed_again, 0, 0 },
		{ "an object need not be aligned", an_object_need_not_be_aligned, 0, 0 },
		{ "a range may be empty, untracked, or everything",
		  a_range_may_be_empty_or_untracked_or_everything, 0, 0 },
		{ "a range covers several tracked ones", a_range_covers_several_tracked_ones, 0,
		  0 },
		{ "new memory is dirty where it is asked for",
		  new_memory_is_dirty_where_it_is_asked_for, 0, 0 },
		{ "a table of another tracker is all dirty",
		  a_table_of_another_tracker_is_all_dirty, 0, 0 },
		{ "what a preclean kept is divided too", what_a_preclean_kept_is_divided_too,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "held cards are in each answer", held_cards_are_in_each_answer, 0, 0 },
		{ "everything is dirty while suspended", everything_is_dirty_while_suspended, 0,
		  0 },
		{ "what was emptied is written, if it counts",
		  what_was_emptied_is_written_if_it_counts, 0, 0 },
		{ "verify finds nothing", verify_finds_nothing, 0, 0 },
		{ "a scan passes over what is still new", a_scan_passes_over_what_is_still_new,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "in a child of a fork", in_a_child_of_a_fork, 0, 0 },
		{ "kernel calls grow with the range, not with the heap",
		  kernel_calls_grow_with_the_range_and_not_with_the_heap, CARDMARK_CAP_CONCURRENT,
		  0 },
		{ "control: a rest that is forgotten is lost",
		  control_a_rest_that_is_forgotten_is_lost, CARDMARK_CAP_PRECISE, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
