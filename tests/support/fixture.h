/* SPDX-License-Identifier: MIT
 *
 * What most live tests start from: memory that holds data, tracked, clean and armed, and
 * which of its cards the next report must have. Included once, by the test itself, which
 * may choose CARDS. */
#ifndef CM_TESTS_FIXTURE_H
#define CM_TESTS_FIXTURE_H

#include "tests/support/live.h"

#include <string.h>

#ifndef CARDS
#define CARDS 64
#endif

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;
static bool want[CARDS];

static inline unsigned char *card_at(size_t i)
{
	return mem + i * live_card;
}

static inline void set_up_on(struct cardmark *opened)
{
	cm = opened;
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	cardmark_table_clear(table);
	memset(want, 0, sizeof want);
}

static inline void set_up_with(unsigned open_flags)
{
	set_up_on(live_open_flags(open_flags));
}

static inline void set_up(void)
{
	set_up_with(0);
}

/* Changes a card and expects it. */
static inline void write_card(size_t i)
{
	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	want[i] = true;
}

/* Changes the cards first, first + step, ...: they and no others are expected. */
static inline void write_some(size_t first, size_t step)
{
	memset(want, 0, sizeof want);
	for (size_t i = first; i < CARDS; i += step)
		write_card(i);
}

static inline bool card_dirty(const struct cardmark_table *t, size_t i)
{
	return cardmark_table_is_dirty(t, card_at(i));
}

/* The report has what was expected, and nothing else where that can be known. */
static inline void collect_and_compare(void)
{
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
}

/* The same where nothing may be guessed, and the next report has nothing. */
static inline void exact_then_clean(void)
{
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
	memset(want, 0, sizeof want);
}

#endif
