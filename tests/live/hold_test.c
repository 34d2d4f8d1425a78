/* SPDX-License-Identifier: MIT
 *
 * Description: held ranges are dirty in every answer until released, and in the
 * one after that. */
#include "tests/support/fixture.h"

#include "lib/holds.h"
#include "tests/support/random.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static void held_cards_are_in_every_answer(void)
{
	set_up();
	/* Holds are in bytes: each touched card is held as a whole. */
	CHECK_EQ(cardmark_hold(cm, card_at(5) + 100, live_card), 0);
	for (int round = 0; round < 3; round++) {
		want[5] = want[6] = true;
		write_card(20);
		collect_and_compare();
	}
	CHECK_EQ(live_stats(cm).holds, 1);
	CHECK_EQ(cardmark_release(cm, card_at(5) + 100, live_card), 0);
	want[5] = want[6] = true; /* they may have been written until the release */
	collect_and_compare();
	collect_and_compare();
	CHECK_EQ(live_stats(cm).holds, 0);
}

static void holds_count(void)
{
	set_up();
	/* Two buffers in one card, one of them held twice. */
	CHECK_EQ(cardmark_hold(cm, card_at(9), 8), 0);
	CHECK_EQ(cardmark_hold(cm, card_at(9), 8), 0);
	CHECK_EQ(cardmark_hold(cm, card_at(9) + 8, 8), 0);
	CHECK_EQ(cardmark_release(cm, card_at(9), 8), 0);
	(void)live_collect(cm, table);
	want[9] = true;
	collect_and_compare();
	CHECK_EQ(cardmark_release(cm, card_at(9), 8), 0);
	(void)live_collect(cm, table);
	want[9] = true;
	collect_and_compare();
	CHECK_EQ(cardmark_release(cm, card_at(9) + 8, 8), 0);
	want[9] = true;
	collect_and_compare();
	collect_and_compare();
}

/* More holds than the first array has room for, sixteen in each card. */
static void hundreds_of_holds_are_kept(void)
{
	size_t n = 0;

	set_up();
	for (size_t i = 0; i < CARDS; i += 2)
		for (size_t at = 0; at < live_card; at += live_card / 16, n++)
			CHECK_EQ(cardmark_hold(cm, card_at(i) + at, 8), 0);
	CHECK(n > 128);
	CHECK_EQ(live_stats(cm).holds, n);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i += 2)
		want[i] = true;
	collect_and_compare();
	for (size_t i = 0; i < CARDS; i += 2)
		for (size_t at = 0; at < live_card; at += live_card / 16)
			CHECK_EQ(cardmark_release(cm, card_at(i) + at, 8), 0);
	for (size_t i = 0; i < CARDS; i += 2)
		want[i] = true;
	collect_and_compare();
	collect_and_compare();
	CHECK_EQ(live_stats(cm).holds, 0);
}

static void bad_arguments_are_refused(void)
{
	set_up();
	CHECK_EQ(cardmark_hold(cm, mem, 0), -EINVAL);
	CHECK_EQ(cardmark_hold(cm, (void *)UINTPTR_MAX, 2), -EINVAL);
	CHECK_EQ(cardmark_release(cm, mem, 0), -EINVAL);
	CHECK_EQ(cardmark_release(cm, mem, 8), -ENOENT);
	CHECK_EQ(cardmark_hold(cm, mem, 8), 0);
	CHECK_EQ(cardmark_release(cm, mem, 9), -ENOENT);
	CHECK(*cardmark_last_error() != '\0');
	CHECK_EQ(cardmark_release(cm, mem, 8), 0);
	want[0] = true;
	collect_and_compare();
}

/* Memory that is not tracked may be held, and is reported once it is tracked. */
static void holds_and_ranges_are_independent(void)
{
	set_up();
	CHECK_EQ(cardmark_hold(cm, card_at(30), 4 * live_card), 0);
	CHECK_EQ(cardmark_untrack(cm, card_at(32), 4 * live_card), 0);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(31)));
	CHECK(!cardmark_table_is_dirty(table, card_at(32)));
	CHECK_EQ(cardmark_track(cm, card_at(32), 4 * live_card, 0), 0);
	(void)live_collect(cm, table);
	for (size_t i = 30; i < 34; i++)
		want[i] = true;
	collect_and_compare();
	CHECK_EQ(cardmark_untrack(cm, card_at(32), live_card), 0);
	CHECK_EQ(cardmark_release(cm, card_at(30), 4 * live_card), 0);
	(void)live_collect(cm, table);
	CHECK(!cardmark_table_is_dirty(table, card_at(32)));
	CHECK(cardmark_table_is_dirty(table, card_at(33)));
}

static void a_scan_knows_held_cards_as_written(void)
{
	struct cardmark_region r[8];
	struct cardmark_query q;

	set_up();
	q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, r, 8);
	CHECK_EQ(cardmark_hold(cm, card_at(10), 1), 0);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(cardmark_scan(cm, &q), 0);
		CHECK_EQ(q.count, 1);
		CHECK_EQ(q.pages, 1);
		CHECK(r[0].start == (uintptr_t)card_at(10));
		CHECK_EQ(r[0].categories, CARDMARK_PAGE_WRITTEN);
	}
}

/* The purpose of holds: a write that the page table never sees (R13). */
static void a_write_through_another_mapping(bool hold)
{
	unsigned char *other;
	bool dirty;

	mem = live_map_twice(4, &other);
	cm = live_armed(mem, 4, &table);
	if (hold)
		CHECK_EQ(cardmark_hold(cm, card_at(2), live_card), 0);
	live_store(other + 2 * live_card, 7);
	(void)live_collect(cm, table);
	CHECK_EQ(*card_at(2), 7);
	dirty = cardmark_table_is_dirty(table, card_at(2));
	CHECK(hold ? dirty : !dirty);
}

static void a_held_write_through_another_mapping_is_reported(void)
{
	a_write_through_another_mapping(true);
}

static void without_the_hold_it_is_lost(void)
{
	a_write_through_another_mapping(false);
}

/* ---- The array itself --------------------------------------------------------- */

#define MODEL_CARDS 64
#define MODEL_STEPS 4000

static void holds_agree_with_a_plain_count_of_bytes(void)
{
	static unsigned count[MODEL_CARDS];
	struct {
		uintptr_t start, end;
	} held[MODEL_CARDS];
	struct cm_holds h = { 0 };
	uint64_t seed = random_seed(NULL);
	size_t n = 0;

	memset(count, 0, sizeof count);
	for (unsigned step = 0; step < MODEL_STEPS; step++) {
		bool add = n == 0 || (n < MODEL_CARDS && random_next(&seed) % 2 == 0);
		size_t which = n == 0 ? 0 : random_next(&seed) % n;
		struct cardmark_run run;

		if (add) {
			held[n].start = live_card + random_next(&seed) % (40 * live_card);
			held[n].end = held[n].start + 1 + random_next(&seed) % (9 * live_card);
			if (n > 0 && random_next(&seed) % 4 == 0)
				held[n] = held[which];
			which = n++;
			CHECK_EQ(cm_holds_add(&h, held[which].start, held[which].end), 0);
		} else {
			CHECK_EQ(cm_holds_remove(&h, held[which].start, held[which].end), 0);
		}
		for (uintptr_t c = held[which].start / live_card; c * live_card < held[which].end;
		     c++)
			count[c] += add ? 1u : -1u;
		if (!add)
			held[which] = held[--n];
		CHECK_EQ(h.total, n);
		for (size_t c = 0; c < MODEL_CARDS; c++) {
			bool is = cm_holds_next(&h, c * live_card, &run) &&
				  run.start <= c * live_card;
			CHECK_EQ(is, count[c] > 0);
		}
	}
	cm_holds_free(&h);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "held cards are in every answer", held_cards_are_in_every_answer, 0, 0 },
		{ "holds count", holds_count, 0, 0 },
		{ "hundreds of holds are kept", hundreds_of_holds_are_kept, 0, 0 },
		{ "bad arguments are refused", bad_arguments_are_refused, 0, 0 },
		{ "holds and ranges are independent", holds_and_ranges_are_independent,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "a scan knows held cards as written", a_scan_knows_held_cards_as_written,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "a held write through another mapping is reported",
		  a_held_write_through_another_mapping_is_reported, CARDMARK_CAP_SHARED, 0 },
		{ "control: without the hold it is lost", without_the_hold_it_is_lost,
		  CARDMARK_CAP_SHARED | CARDMARK_CAP_PRECISE, 0 },
		{ "holds agree with a plain count of bytes",
		  holds_agree_with_a_plain_count_of_bytes, 0, LIVE_ONLY(ALLDIRTY) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
