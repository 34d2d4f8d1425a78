/* SPDX-License-Identifier: MIT
 *
 * What most live tests start from: memory that holds data, tracked, clean and
 * armed, and which of its cards the next report must have. */
#ifndef CM_TESTS_FIXTURE_H
#define CM_TESTS_FIXTURE_H

#include "tests/support/live.h"

#include <string.h>

#define CARDS 64

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;
static bool want[CARDS];

static inline unsigned char *card_at(size_t i)
{
	return mem + i * live_card;
}

static inline void set_up_with(unsigned open_flags)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open_flags(open_flags);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	cardmark_table_clear(table);
	memset(want, 0, sizeof want);
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

/* The report has what was expected, and nothing else where that can be known. */
static inline void collect_and_compare(void)
{
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
}

#endif
