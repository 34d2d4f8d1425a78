/* SPDX-License-Identifier: MIT
 *
 * Description: card tables: runs agree with is_dirty; union, clear, growing with the tracker,
 * and outliving it. */
#include "lib/tracker.h"
#include "tests/support/live.h"

#include <errno.h>
#include <string.h>

#define CARDS 200

/* By runs and by single questions, which must agree. Returns the count. */
static size_t compare_views(const struct cardmark_table *table, const unsigned char *mem)
{
	bool by_runs[CARDS] = { false };
	struct cardmark_run run = { 0, 0 };
	uintptr_t base = (uintptr_t)mem, last = 0;
	size_t n = 0;

	while (cardmark_table_next(table, run.end, UINTPTR_MAX, &run)) {
		CHECK(run.start < run.end);
		CHECK(last == 0 || run.start > last);
		last = run.end;
		for (size_t i = 0; i < CARDS; i++)
			if (base + i * live_card >= run.start && base + i * live_card < run.end)
				by_runs[i] = true;
	}
	for (size_t i = 0; i < CARDS; i++) {
		CHECK(by_runs[i] == cardmark_table_is_dirty(table, mem + i * live_card));
		CHECK(by_runs[i] == cardmark_table_is_dirty(table, mem + (i + 1) * live_card - 1));
		n += by_runs[i];
	}
	return n;
}

static void write_cards(unsigned char *mem, size_t from, size_t to, size_t step)
{
	for (size_t i = from; i < to; i += step)
		live_store(mem + i * live_card, (unsigned char)(mem[i * live_card] + 1));
}

static unsigned char *filled(void)
{
	unsigned char *mem = live_map(CARDS);

	memset(mem, 1, CARDS * live_card);
	return mem;
}

static void runs_equal_single_questions(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	CHECK_EQ(compare_views(table, mem), 0);
	write_cards(mem, 0, CARDS, 3);
	write_cards(mem, 60, 140, 1);
	(void)cardmark_collect(cm, table);
	CHECK_EQ(compare_views(table, mem), cardmark_table_count(table));
	CHECK(!cardmark_table_is_dirty(table, mem - 1)); /* never tracked */
	CHECK(!cardmark_table_is_dirty(table, mem + CARDS * live_card));
}

static void union_adds_the_other_table(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *a, *b;
	struct cardmark *cm = live_armed(mem, CARDS, &a);
	bool want[CARDS];

	b = live_table(cm);
	write_cards(mem, 0, 50, 2);
	(void)cardmark_collect(cm, a);
	write_cards(mem, 25, 100, 5);
	(void)cardmark_collect(cm, b);
	CHECK_EQ(cardmark_table_union(a, b), 0);
	for (size_t i = 0; i < CARDS; i++)
		want[i] = (i < 50 && i % 2 == 0) || (i >= 25 && i < 100 && i % 5 == 0);
	live_expect(a, mem, CARDS, want);
	for (size_t i = 0; i < CARDS; i++)
		want[i] = i >= 25 && i < 100 && i % 5 == 0;
	live_expect(b, mem, CARDS, want);
	(void)compare_views(a, mem);
}

static void clear_and_clear_range(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	bool want[CARDS];

	write_cards(mem, 0, CARDS, 1);
	(void)cardmark_collect(cm, table);
	CHECK_EQ(cardmark_table_clear_range(table, mem + 10 * live_card, 30 * live_card), 0);
	for (size_t i = 0; i < CARDS; i++) {
		want[i] = i < 10 || i >= 40;
		CHECK(cardmark_table_is_dirty(table, mem + i * live_card) == want[i]);
	}
	CHECK_EQ(compare_views(table, mem), CARDS - 30);
	CHECK_EQ(cardmark_table_clear_range(table, mem + 1, live_card), -EINVAL);
	CHECK_EQ(cardmark_table_clear_range(table, mem, 1), -EINVAL);
	/* Beyond the ends of the tracked memory. */
	CHECK_EQ(cardmark_table_clear_range(table, NULL, (uintptr_t)mem + live_card), 0);
	CHECK_EQ(cardmark_table_count(table), CARDS - 31);
	cardmark_table_clear(table);
	CHECK_EQ(cardmark_table_count(table), 0);
	CHECK_EQ(compare_views(table, mem), 0);
	/* Clearing a table arms nothing and forgets nothing. */
	write_cards(mem, 5, 6, 1);
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, mem + 5 * live_card));
}

/* Where all of [2, 7) is dirty: runs end with the bounds, which need not be whole cards. */
static void check_bounds(const struct cardmark_table *table, unsigned char *mem)
{
	uintptr_t at = (uintptr_t)mem;
	struct cardmark_run run = { 1, 1 };

	CHECK(cardmark_table_next(table, at + 2 * live_card, at + 7 * live_card, &run));
	CHECK(run.start == at + 2 * live_card && run.end == at + 7 * live_card);
	CHECK(cardmark_table_next(table, at + 3 * live_card + 1, at + 5 * live_card - 1, &run));
	CHECK(run.start == at + 3 * live_card && run.end == at + 5 * live_card);
	CHECK(cardmark_table_next(table, at + 3 * live_card + 5, at + 3 * live_card + 6, &run));
	CHECK(run.start == at + 3 * live_card && run.end == at + 4 * live_card);
	run.start = 77;
	CHECK(!cardmark_table_next(table, run.end, run.end, &run));
	CHECK(!cardmark_table_next(table, run.end, run.end - 1, &run));
	CHECK(!cardmark_table_next(table, UINTPTR_MAX - 1, UINTPTR_MAX, &run));
	CHECK_EQ(run.start, 77);
}

static void runs_are_cut_to_the_bounds(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	uintptr_t at = (uintptr_t)mem;
	struct cardmark_run run;

	write_cards(mem, 1, 9, 1);
	(void)cardmark_collect(cm, table);
	check_bounds(table, mem);
	CHECK(!cardmark_table_next(table, at + 9 * live_card, at + 100 * live_card, &run) ||
	      live_backend == CARDMARK_BACKEND_ALLDIRTY);
}

static void set_range(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	cardmark_table_clear(table);
	CHECK_EQ(cardmark_table_set_range(table, mem + 10 * live_card, 20 * live_card), 0);
	CHECK_EQ(compare_views(table, mem), 20);
	/* A byte of a card sets the whole card. */
	CHECK_EQ(cardmark_table_set_range(table, mem + 41 * live_card - 1, 2), 0);
	CHECK_EQ(compare_views(table, mem), 22);
	CHECK(cardmark_table_is_dirty(table, mem + 40 * live_card));
	CHECK(cardmark_table_is_dirty(table, mem + 41 * live_card));
	/* A table has room only for tracked memory, and returns an error for the rest. */
	CHECK_EQ(cardmark_untrack(cm, mem + 60 * live_card, 10 * live_card), 0);
	CHECK_EQ(cardmark_table_set_range(table, mem + 55 * live_card, 10 * live_card), -ENOENT);
	CHECK_EQ(compare_views(table, mem), 27);
	CHECK_EQ(cardmark_table_set_range(table, mem, 0), -EINVAL);
	CHECK_EQ(cardmark_table_set_range(table, (void *)(UINTPTR_MAX - 4), 4), -EINVAL);
	CHECK_EQ(cardmark_table_clear_range(table, mem, 60 * live_card), 0);
	CHECK_EQ(compare_views(table, mem), 0);
}

static void an_all_dirty_table(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table, *own;
	struct cardmark *cm = live_armed(mem, CARDS, &own), *cm2;
	struct cardmark_run run;

	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
	cm2 = live_open();
	table = live_table(cm2);
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_REFUSED);
	CHECK(strstr(cardmark_last_error(), "another tracker") != NULL);
	CHECK(cardmark_table_all_dirty(table));
	CHECK(cardmark_table_is_dirty(table, mem));
	CHECK(cardmark_table_is_dirty(table, NULL));
	CHECK(cardmark_table_next(table, 0, UINTPTR_MAX, &run));
	CHECK(run.start == 0 && run.end > (uintptr_t)mem);
	check_bounds(table, mem);
	CHECK(!cardmark_table_next(table, run.end, UINTPTR_MAX, &run));
	CHECK_EQ(cardmark_table_clear_range(table, mem, live_card), 0);
	CHECK(cardmark_table_is_dirty(table, mem));
	{
		struct cardmark_table *other = live_table(cm2);
		CHECK_EQ(cardmark_table_union(other, table), 0);
		CHECK(cardmark_table_all_dirty(other));
	}
	cardmark_table_clear(table);
	CHECK(!cardmark_table_all_dirty(table));
	CHECK(!cardmark_table_is_dirty(table, mem));
}

static void a_table_grows_with_the_tracker(void)
{
	unsigned char *mem = filled(), *late = filled();
	struct cardmark_table *early;
	struct cardmark *cm = live_armed(mem, CARDS, &early);
	struct cardmark_table *after;

	CHECK_EQ(cardmark_track(cm, late, CARDS * live_card, 0), 0);
	after = live_table(cm);
	(void)live_collect(cm, early);
	live_expect_dirty(early, late, CARDS);
	live_expect_clean(early, mem, CARDS);
	write_cards(late, 0, CARDS, 7);
	(void)live_collect(cm, after);
	CHECK(cardmark_table_is_dirty(after, late + 7 * live_card));
	CHECK_EQ(cardmark_table_union(early, after), 0);
}

static void a_table_outlives_its_tracker(void)
{
	unsigned char *mem = filled();
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark_table *table = NULL;
	struct cardmark *cm = NULL;

	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)cardmark_collect(cm, table);
	cardmark_close(&cm);
	CHECK_EQ(compare_views(table, mem), CARDS);
	CHECK_EQ(cardmark_table_union(table, table), -EINVAL);
	cardmark_table_clear(table);
	CHECK_EQ(cardmark_table_set_range(table, mem, 1), -EINVAL);
	CHECK(cardmark_table_all_dirty(table));
	cardmark_table_clear(table);
	cardmark_table_delete(&table);
	CHECK(table == NULL);
	cardmark_table_delete(&table);
	cardmark_table_delete(NULL);
}

/* Untrack removes cards from a table under the lock, in the same machine words that a union
 * writes. So a union takes the lock too, or does not read at all. */
static void a_union_does_not_meet_an_untrack(void)
{
	unsigned char *mem = filled();
	struct cardmark_table *table, *other;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	other = live_table(cm);
	write_cards(mem, 0, CARDS, 3);
	(void)cardmark_collect(cm, other);
	CHECK(cm_tracker_lock(cm, CM_WAIT_CALL_NS));
	CHECK_EQ(cardmark_table_union(table, other), 0);
	cm_tracker_unlock(cm);
	CHECK(cardmark_table_all_dirty(table));
	cardmark_table_clear(table);
	CHECK_EQ(cardmark_table_union(table, other), 0);
	CHECK(cardmark_table_all_dirty(table) == cardmark_table_all_dirty(other));
	CHECK(cardmark_table_is_dirty(table, mem));
	CHECK_EQ(cardmark_table_count(table), cardmark_table_count(other));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "runs equal single questions", runs_equal_single_questions, 0, 0 },
		{ "union adds the other table", union_adds_the_other_table, 0, 0 },
		{ "a union does not meet an untrack", a_union_does_not_meet_an_untrack, 0, 0 },
		{ "clear and clear_range", clear_and_clear_range, 0, 0 },
		{ "set_range", set_range, 0, 0 },
		{ "runs are cut to the bounds", runs_are_cut_to_the_bounds, 0, 0 },
		{ "an all-dirty table", an_all_dirty_table, 0, 0 },
		{ "a table grows with the tracker", a_table_grows_with_the_tracker, 0, 0 },
		{ "a table outlives its tracker", a_table_outlives_its_tracker, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
