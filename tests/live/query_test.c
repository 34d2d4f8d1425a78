/* SPDX-License-Identifier: MIT
 *
 * Description: the full query: get, clear, get-and-clear, masks, regions, limits,
 * resuming, and what it refuses. */
#include "tests/support/live.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CARDS 300

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;
static bool want[CARDS];
static struct cardmark_region regions[CARDS + 1];

static void set_up(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_armed(mem, CARDS, &table);
	memset(want, 0, sizeof want);
}

static struct cardmark_query question(enum cardmark_scan_op op)
{
	struct cardmark_query q;

	q = live_query(op, mem, CARDS, op == CARDMARK_SCAN_CLEAR ? NULL : regions,
		       op == CARDMARK_SCAN_CLEAR ? 0 : CARDS + 1);
	return q;
}

static void dirty(size_t i)
{
	live_store(mem + i * live_card, (unsigned char)(mem[i * live_card] + 1));
	want[i] = true;
}

/* The answer of one complete query: regions ascend, touch only if they differ, and are exactly
 * want. */
static void compare(const struct cardmark_query *q)
{
	bool got[CARDS] = { false };
	uintptr_t base = (uintptr_t)mem, last = 0;
	size_t pages = 0;

	CHECK(!q->guessed);
	for (size_t i = 0; i < q->count; i++) {
		const struct cardmark_region *r = &q->regions[i];
		CHECK(r->start < r->end && r->start >= base && r->end <= base + q->len);
		CHECK(r->start >= last);
		CHECK(i == 0 || r->start > last || r->categories != r[-1].categories);
		last = r->end;
		for (size_t c = (r->start - base) / live_card; c < (r->end - base) / live_card; c++)
			got[c] = true;
		pages += (r->end - r->start) / live_card;
	}
	CHECK_EQ(q->pages, pages);
	for (size_t i = 0; i < CARDS; i++) {
		if (want[i] && !got[i])
			tap_note("card %zu is missing", i);
		CHECK(got[i] || !want[i]);
		CHECK(!got[i] || want[i] || !live_can(CARDMARK_CAP_PRECISE));
	}
}

static void complete(struct cardmark_query *q)
{
	int error = cardmark_scan(cm, q);

	if (error < 0)
		tap_note("%s", cardmark_last_error());
	CHECK_EQ(error, 0);
	CHECK_EQ(q->resume, (uintptr_t)q->start + q->len);
}

static bool contains(const struct cardmark_query *q, size_t card)
{
	uintptr_t at = (uintptr_t)mem + card * live_card;

	for (size_t i = 0; i < q->count; i++)
		if (q->regions[i].start <= at && at < q->regions[i].end)
			return true;
	return false;
}

static void get_does_not_clear(void)
{
	struct cardmark_query q;

	set_up();
	for (size_t i = 3; i < CARDS; i += 11)
		dirty(i);
	for (unsigned round = 0; round < 3; round++) {
		q = question(CARDMARK_SCAN_GET);
		complete(&q);
		compare(&q);
	}
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void get_and_clear_does_both(void)
{
	struct cardmark_query q;

	set_up();
	for (unsigned round = 0; round < 5; round++) {
		for (size_t i = round; i < CARDS; i += 2 + round)
			dirty(i);
		dirty(100), dirty(101), dirty(102);
		q = question(CARDMARK_SCAN_GET_AND_CLEAR);
		complete(&q);
		compare(&q);
		memset(want, 0, sizeof want);
		q = question(CARDMARK_SCAN_GET_AND_CLEAR);
		complete(&q);
		compare(&q);
	}
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void clear_reports_nothing_and_arms(void)
{
	struct cardmark_query q;

	set_up();
	for (size_t i = 0; i < CARDS; i += 2)
		dirty(i);
	q = question(CARDMARK_SCAN_CLEAR);
	complete(&q);
	CHECK_EQ(q.count, 0);
	CHECK(q.pages >= CARDS / 2);
	memset(want, 0, sizeof want);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	dirty(77);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void a_part_is_cleared_and_the_rest_kept(void)
{
	struct cardmark_query q;

	set_up();
	for (size_t i = 0; i < CARDS; i++)
		dirty(i);
	q = question(CARDMARK_SCAN_CLEAR);
	q.start = mem + 100 * live_card;
	q.len = 50 * live_card;
	complete(&q);
	for (size_t i = 100; i < 150; i++)
		want[i] = false;
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void untracked_memory_is_passed_over(void)
{
	struct cardmark_query q;

	set_up();
	for (size_t i = 0; i < CARDS; i++)
		dirty(i);
	CHECK_EQ(cardmark_untrack(cm, mem + 40 * live_card, 20 * live_card), 0);
	for (size_t i = 40; i < 60; i++)
		want[i] = false;
	q = question(CARDMARK_SCAN_GET_AND_CLEAR);
	complete(&q);
	for (size_t i = 0; i < q.count; i++)
		CHECK(q.regions[i].end <= (uintptr_t)mem + 40 * live_card ||
		      q.regions[i].start >= (uintptr_t)mem + 60 * live_card);
	CHECK_EQ(q.pages, CARDS - 20);
	CHECK_EQ(q.count, 2);
}

/* Goes on from resume until complete: each dirty card must come exactly once. */
static void resume_loop(enum cardmark_scan_op op, size_t capacity, size_t max_pages)
{
	struct cardmark_query q;
	unsigned seen[CARDS] = { 0 };
	uintptr_t base = (uintptr_t)mem, end = base + CARDS * live_card, at = base;

	for (unsigned calls = 0; at < end; calls++) {
		CHECK(calls <= 2 * CARDS + 2);
		q = question(op);
		q.start = (void *)at;
		q.len = end - at;
		q.capacity = capacity;
		q.max_pages = max_pages;
		CHECK_EQ(cardmark_scan(cm, &q), 0);
		CHECK(q.count <= capacity);
		CHECK(max_pages == 0 || q.pages <= max_pages);
		CHECK(q.resume >= at && q.resume <= end);
		CHECK(q.resume > at || q.pages > 0 || q.resume == end);
		for (size_t i = 0; i < q.count; i++)
			for (uintptr_t a = regions[i].start; a < regions[i].end; a += live_card) {
				CHECK(a >= at && a < q.resume);
				seen[(a - base) / live_card]++;
			}
		at = q.resume;
	}
	for (size_t i = 0; i < CARDS; i++) {
		CHECK(seen[i] <= 1);
		CHECK(!want[i] || seen[i] == 1);
		CHECK(want[i] || seen[i] == 0 || !live_can(CARDMARK_CAP_PRECISE));
	}
}

static void resuming_gives_every_card_once(void)
{
	static const size_t limits[][2] = { { 1, 0 },  { 1, 1 },  { 2, 0 },         { 7, 5 },
					    { 50, 1 }, { 8, 64 }, { CARDS + 1, 37 } };

	set_up();
	for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
		memset(want, 0, sizeof want);
		for (size_t i = k; i < CARDS; i += 3 + k % 3)
			dirty(i);
		for (size_t i = 120; i < 160; i++)
			dirty(i);
		dirty(CARDS - 1);
		resume_loop(CARDMARK_SCAN_GET, limits[k][0], limits[k][1]);
		resume_loop(CARDMARK_SCAN_GET_AND_CLEAR, limits[k][0], limits[k][1]);
		memset(want, 0, sizeof want);
		resume_loop(CARDMARK_SCAN_GET, limits[k][0], limits[k][1]);
	}
}

static void max_pages_leaves_the_rest_dirty(void)
{
	struct cardmark_query q;

	set_up();
	for (size_t i = 0; i < CARDS; i += 2)
		dirty(i);
	q = question(CARDMARK_SCAN_GET_AND_CLEAR);
	q.max_pages = 10;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, 10);
	for (size_t i = 0; i < q.count; i++)
		for (uintptr_t a = regions[i].start; a < regions[i].end; a += live_card)
			want[(a - (uintptr_t)mem) / live_card] = false;
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void only_new_memory_may_be_left_out(void)
{
	struct cardmark_query q;
	unsigned char *big = live_map(CARDS);

	memset(big, 1, CARDS * live_card);
	mem = big;
	memset(want, 0, sizeof want);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, 100 * live_card, 0), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_track(cm, mem + 100 * live_card, 100 * live_card, 0), 0);
	dirty(5);
	dirty(150);
	want[150] = false; /* new, so left out */
	q = question(CARDMARK_SCAN_GET);
	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	complete(&q);
	CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) ? 1 : 100);
	CHECK(q.count == 1 && q.regions[0].end <= (uintptr_t)mem + 100 * live_card);
	q = question(CARDMARK_SCAN_GET); /* without the flag: also all of the new memory */
	complete(&q);
	CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) ? 101 : 200);
	q = question(CARDMARK_SCAN_GET_AND_CLEAR);
	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	complete(&q);
	CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) ? 1 : 100);
	/* It is not new any more, and armed. */
	memset(want, 0, sizeof want);
	dirty(160);
	q = question(CARDMARK_SCAN_GET);
	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	complete(&q);
	compare(&q);
}

static void categories_present_swapped_and_file(void)
{
	struct cardmark_query q;
	unsigned char *fresh = live_map(CARDS);

	if (!(live_categories & CARDMARK_PAGE_PRESENT))
		tap_skip("this backend cannot tell PRESENT");
	mem = fresh;
	memset(want, 0, sizeof want);
	for (size_t i = 10; i < 20; i++)
		dirty(i);
	cm = live_open();
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	q = question(CARDMARK_SCAN_GET);
	q.required = 0;
	q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	q.excluded = CARDMARK_PAGE_FILE;
	q.returned = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED | CARDMARK_PAGE_FILE;
	complete(&q);
	compare(&q);
	CHECK_EQ(q.pages, 10);
	CHECK_EQ(q.regions[0].categories & CARDMARK_PAGE_FILE, 0);
	CHECK(q.regions[0].categories & (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED));
	q = question(CARDMARK_SCAN_GET);
	q.required = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_FILE;
	complete(&q);
	CHECK_EQ(q.pages, 0);
	/* Each run of absent pages is one region. */
	q = question(CARDMARK_SCAN_GET);
	q.required = 0;
	q.excluded = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	q.returned = CARDMARK_PAGE_PRESENT;
	complete(&q);
	CHECK_EQ(q.pages, CARDS - 10);
	CHECK_EQ(q.count, 2);
}

/* WRITTEN may or may not be true of it; it is never PRESENT or SWAPPED. */
static void what_was_never_touched_is_left_out_by_present(void)
{
	struct cardmark_query q;

	mem = live_map(CARDS);
	cm = live_open();
	table = live_table(cm);
	memset(want, 0, sizeof want);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	dirty(7), dirty(50);
	for (unsigned round = 0; round < 4; round++) {
		enum cardmark_scan_op op =
			round % 2 == 0 ? CARDMARK_SCAN_GET : CARDMARK_SCAN_GET_AND_CLEAR;

		q = question(op);
		q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
		complete(&q);
		CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) || round < 2 ? 2 : 3);
		for (size_t i = 0; i < CARDS; i++)
			CHECK(!want[i] || contains(&q, i));
		if (op == CARDMARK_SCAN_GET)
			continue;
		memset(want, 0, sizeof want);
		dirty(100), dirty(7); /* one hole filled, and one card again */
	}
	q = question(CARDMARK_SCAN_GET_AND_CLEAR); /* WRITTEN alone: with holes or without */
	complete(&q);
	CHECK(contains(&q, 7) && contains(&q, 100));
	CHECK(!live_can(CARDMARK_CAP_PRECISE) || !contains(&q, 50));
	/* Whatever was reported of the holes, the next write there is found. */
	memset(want, 0, sizeof want);
	dirty(200);
	q = question(CARDMARK_SCAN_GET_AND_CLEAR);
	complete(&q);
	CHECK(contains(&q, 200));
	dirty(201);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, mem + 201 * live_card));
}

static void regions_are_split_by_what_is_returned(void)
{
	struct cardmark_query q;

	if (!(live_categories & CARDMARK_PAGE_PRESENT))
		tap_skip("this backend cannot tell PRESENT");
	set_up();
	for (size_t i = 100; i < 110; i++)
		dirty(i);
	q = question(CARDMARK_SCAN_GET);
	q.required = CARDMARK_PAGE_PRESENT;
	q.returned = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_WRITTEN;
	complete(&q);
	CHECK_EQ(q.pages, CARDS);
	if (live_can(CARDMARK_CAP_PRECISE)) {
		CHECK_EQ(q.count, 3);
		CHECK_EQ(q.regions[0].categories, CARDMARK_PAGE_PRESENT);
		CHECK_EQ(q.regions[1].categories, CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_WRITTEN);
	}
	q = question(CARDMARK_SCAN_GET);
	q.required = CARDMARK_PAGE_PRESENT;
	q.returned = CARDMARK_PAGE_PRESENT;
	complete(&q);
	CHECK_EQ(q.count, 1);
	q = question(CARDMARK_SCAN_GET);
	q.required = CARDMARK_PAGE_PRESENT;
	q.excluded = CARDMARK_PAGE_WRITTEN;
	complete(&q);
	CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) ? CARDS - 10 : 0);
}

static void refusal(struct cardmark_query q, int error)
{
	CHECK_EQ(cardmark_scan(cm, &q), error);
	CHECK(cardmark_last_error()[0] != '\0');
}

#define REFUSED(op, error, ...)                                                                    \
	do {                                                                                       \
		struct cardmark_query q = question(op);                                            \
		__VA_ARGS__;                                                                       \
		refusal(q, error);                                                                 \
	} while (0)

static void what_cannot_be_asked_is_refused(void)
{
	set_up();
	for (size_t i = 0; i < 10; i++)
		dirty(i);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.size = 0);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.size = sizeof q / 2);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.len = 0);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.len -= 1);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.start = mem + 1);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.len = (size_t)0 - live_card);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.len = (size_t)1 << 62);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.capacity = 0);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.regions = NULL);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.flags = 0x80);
	REFUSED((enum cardmark_scan_op)0, -EINVAL, (void)0);
	REFUSED((enum cardmark_scan_op)9, -EINVAL, (void)0);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.excluded = CARDMARK_PAGE_WRITTEN);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.required = UINT64_C(1) << 40);
	REFUSED(CARDMARK_SCAN_GET, -EINVAL, q.required = 0; q.any_of = CARDMARK_PAGE_WRITTEN;
		q.excluded = CARDMARK_PAGE_WRITTEN);
	REFUSED(CARDMARK_SCAN_CLEAR, -EINVAL, q.required = 0);
	REFUSED(CARDMARK_SCAN_GET_AND_CLEAR, -EINVAL, q.required = 0);
	for (unsigned bit = 0; bit < 9; bit++) {
		uint64_t category = UINT64_C(1) << bit;
		if (live_categories & category)
			continue;
		REFUSED(CARDMARK_SCAN_GET, -ENOTSUP, q.required |= category);
		REFUSED(CARDMARK_SCAN_GET, -ENOTSUP, q.any_of = category);
		REFUSED(CARDMARK_SCAN_GET, -ENOTSUP, q.excluded = category);
		REFUSED(CARDMARK_SCAN_GET, -ENOTSUP, q.returned |= category);
	}
	if (live_can(CARDMARK_CAP_CATEGORIES))
		CHECK_EQ(live_categories & 0x7f, 0x7f);
	/* A refused clear cleared nothing. */
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "get does not clear", get_does_not_clear, 0, 0 },
		{ "get-and-clear does both", get_and_clear_does_both, 0, 0 },
		{ "clear reports nothing and arms", clear_reports_nothing_and_arms, 0, 0 },
		{ "a part is cleared, the rest kept", a_part_is_cleared_and_the_rest_kept,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "untracked memory is passed over", untracked_memory_is_passed_over, 0, 0 },
		{ "resuming gives every card exactly once", resuming_gives_every_card_once, 0, 0 },
		{ "max_pages leaves the rest dirty", max_pages_leaves_the_rest_dirty, 0, 0 },
		{ "only new memory may be left out", only_new_memory_may_be_left_out, 0, 0 },
		{ "present, swapped and file", categories_present_swapped_and_file, 0, 0 },
		{ "what was never touched is left out by PRESENT",
		  what_was_never_touched_is_left_out_by_present, 0, 0 },
		{ "regions are split by what is returned", regions_are_split_by_what_is_returned, 0,
		  0 },
		{ "what cannot be asked is refused", what_cannot_be_asked_is_refused, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
