/* SPDX-License-Identifier: MIT
 *
 * An arena under watch, its tracker and a table, for the tests of one at a time. */
#ifndef CM_TESTS_WATCHED_H
#define CM_TESTS_WATCHED_H

#include "tests/jemalloc/je.h"

static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;

static inline void set_up(unsigned flags)
{
	cm = live_open();
	table = live_table(cm);
	je = je_create(cm, flags);
}

static inline void tear_down(void)
{
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	CHECK(je == NULL);
	/* The arena has left nothing in the tracker. */
	CHECK_EQ(live_stats(cm).tracked_bytes, 0);
}

static inline void collect(void)
{
	cardmark_table_clear(table);
	(void)cardmark_jemalloc_collect(je, table);
}

static inline bool dirty(const void *p)
{
	return cardmark_jemalloc_is_dirty(je, table, p);
}

/* The number of cards that the walk returns; each must be in the arena and dirty. */
static inline size_t dirty_cards(void)
{
	struct cardmark_run run, last;
	size_t n = 0;

	for (uintptr_t at = 0; cardmark_jemalloc_next_dirty(je, table, at, UINTPTR_MAX, &run);
	     at = run.end) {
		CHECK(run.start >= at && run.start < run.end);
		CHECK(cardmark_jemalloc_contains(je, (void *)run.start, run.end - run.start));
		CHECK(dirty((void *)run.start) && dirty((void *)(run.end - 1)));
		CHECK(cardmark_jemalloc_next_dirty(je, table, run.end - 2, run.end - 1, &last));
		CHECK(last.start == run.end - live_card && last.end == run.end);
		n += (run.end - run.start) / live_card;
	}
	return n;
}

static inline bool retains(void)
{
	bool retain = false;

	CHECK_EQ(je_read_option("opt.retain", &retain), 0);
	return retain;
}

#endif
