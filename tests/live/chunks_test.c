/* SPDX-License-Identifier: MIT
 *
 * Description: many dirty regions, small chunks and short vectors: every scan completes and
 * reports exactly the written cards (R4, R10). */
#include "tests/support/live.h"
#include "tests/support/random.h"

#include <stdlib.h>
#include <string.h>

#define MOST 10000 /* 5000 regions when every other card is dirty */
#define FEW 2600   /* 1300: still more than twice 512 */

static size_t cards = MOST;
static bool want[MOST];
static struct cardmark_region regions[MOST];

static void exact_after(struct cardmark *cm, struct cardmark_table *table, unsigned char *mem)
{
	(void)live_collect(cm, table);
	live_expect(table, mem, cards, want);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, cards);
}

static void write_pattern(unsigned char *mem, size_t step, size_t run)
{
	memset(want, 0, sizeof want);
	for (size_t i = 0; i < cards; i++)
		if (i % step < run) {
			live_store(mem + i * live_card + 8, (unsigned char)step);
			want[i] = true;
		}
}

static void check_patterns(size_t chunk, size_t vec)
{
	unsigned char *mem = live_map(cards);
	struct cardmark *cm = live_open_with(chunk, vec);
	struct cardmark_table *table = live_table(cm);

	memset(mem, 1, cards * live_card);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, cards);
	write_pattern(mem, 2, 1); /* thousands of regions of one card */
	exact_after(cm, table, mem);
	write_pattern(mem, 19, 1); /* 527: just over 512 */
	exact_after(cm, table, mem);
	write_pattern(mem, 3, 2);
	exact_after(cm, table, mem);
	write_pattern(mem, cards, cards);
	exact_after(cm, table, mem);
	write_pattern(mem, 20, 1); /* 500: just under */
	exact_after(cm, table, mem);
	live_clean_up(); /* softdirty has room for one tracker */
}

static void thousands_of_regions_by_collect(void)
{
	check_patterns(0, 0);
}

static void small_chunks(void)
{
	check_patterns(live_card, 0);
	check_patterns(7 * live_card, 0);
}

static void short_vectors(void)
{
	check_patterns(0, 8);
	check_patterns(0, 65536);
	check_patterns(33 * live_card, 9);
}

/* Exactly as many regions as the vector holds, one less, one more. */
static void regions_about_the_length_of_a_vector(void)
{
	const size_t vec = 16;
	unsigned char *mem = live_map(cards);
	struct cardmark *cm = live_open_with(0, vec);
	struct cardmark_table *table = live_table(cm);

	memset(mem, 1, cards * live_card);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, table);
	for (size_t n = vec - 1; n <= 2 * vec + 1; n++) {
		memset(want, 0, sizeof want);
		for (size_t i = 0; i < n; i++) {
			want[cards - 1 - 2 * i] = true; /* up to the very last card */
			live_store(mem + (cards - 1 - 2 * i) * live_card, 3);
		}
		exact_after(cm, table, mem);
	}
}

/* One query with room for all: more than 512 regions in one kernel call (R4). */
static void thousands_of_regions_by_one_query(void)
{
	unsigned char *mem = live_map(cards);
	struct cardmark *cm = live_open_with(0, 65536);
	struct cardmark_table *table = live_table(cm);
	struct cardmark_query q;

	memset(mem, 1, cards * live_card);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, table);
	for (int op = CARDMARK_SCAN_GET; op <= CARDMARK_SCAN_GET_AND_CLEAR; op += 2) {
		write_pattern(mem, 2, 1);
		q = live_query((enum cardmark_scan_op)op, mem, cards, regions, cards);
		CHECK_EQ(cardmark_scan(cm, &q), 0);
		CHECK_EQ(q.resume, (uintptr_t)mem + cards * live_card);
		CHECK(!q.guessed);
		if (live_can(CARDMARK_CAP_PRECISE)) {
			CHECK_EQ(q.count, cards / 2);
			CHECK_EQ(q.pages, cards / 2);
		} else {
			CHECK_EQ(q.pages, cards);
		}
	}
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, cards);
}

static void environment_sets_chunk_and_vector(void)
{
	unsigned char *mem = live_map(cards);
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;
	struct cardmark_table *table;
	struct cardmark_stats before;
	uint64_t calls;

	options.backend = live_backend;
	CHECK(setenv("CARDMARK_CHUNK", "1M", 1) == 0);
	CHECK(setenv("CARDMARK_VEC", "8", 1) == 0);
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	CHECK(unsetenv("CARDMARK_CHUNK") == 0);
	CHECK(unsetenv("CARDMARK_VEC") == 0);
	table = live_table(cm);
	memset(mem, 1, cards * live_card);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, table);
	before = live_stats(cm);
	(void)live_collect(cm, table);
	calls = live_stats(cm).kernel_calls - before.kernel_calls;
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK_EQ(calls, (cards * live_card + (1u << 20) - 1) >> 20);
	write_pattern(mem, 2, 1);
	exact_after(cm, table, mem);
	cardmark_close(&cm);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "R4: thousands of regions by collect", thousands_of_regions_by_collect, 0, 0 },
		{ "R4: thousands of regions by one query", thousands_of_regions_by_one_query, 0,
		  0 },
		{ "R10: small chunks", small_chunks, 0, 0 },
		{ "R10: short and long vectors", short_vectors, 0, 0 },
		{ "regions about the length of a vector", regions_about_the_length_of_a_vector, 0,
		  0 },
		{ "the environment sets chunk and vector", environment_sets_chunk_and_vector, 0,
		  0 },
	};

	if (getenv("CARDMARK_TEST_SMALL") != NULL) /* an emulated machine */
		cards = FEW;
	return live_main(argc, argv, LIVE_CASES(cases));
}
