/* SPDX-License-Identifier: MIT
 *
 * Description: helpers of a harvest that come too late and clear later writes, on a fake
 * kernel. With a negative control: a harvest that forgets the unit of a late helper. */
#include "lib/backend/pagemap.h"

#include <errno.h>

/* ---- A harvest without the rule ---------------------------------------------- */

/* Knows which helpers have returned, and reports nothing for them. */
static size_t forget(uint64_t *seen)
{
	const struct cm_ranges none = { .n = 0 };

	return cm_owed_mark(seen, &none, NULL);
}

size_t forgetful_harvest(struct cm_backend *b, const struct cm_ranges *all,
			 struct cardmark_run span, struct cm_cards *into);
void forgetful_help(struct cm_unit *u, struct page_region *vec, size_t vec_len,
		    struct cm_counters *counters);
#define cm_pagemap_harvest forgetful_harvest
#define cm_pagemap_help forgetful_help
#define cm_owed_mark(seen, all, into) forget(seen)
#include "lib/backend/pagemap_harvest.c"
#undef cm_pagemap_harvest
#undef cm_owed_mark

#include "tests/unit/crew.h"

/* ---- Helpers that come too late --------------------------------------------------- */

static struct cm_unit *late_unit(void)
{
	static struct cm_unit unit;

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		uintptr_t end = fake_addr(i + 1);
		if (!cm_owed_at(cm_pagemap_self(b)->owed_seen, fake_addr(i), &end))
			continue;
		unit.start = fake_addr(i);
		for (unit.end = unit.start; unit.end < fake_addr(FAKE_PAGES);
		     unit.end += FAKE_PAGE) {
			end = unit.end + FAKE_PAGE;
			if (!cm_owed_at(cm_pagemap_self(b)->owed_seen, unit.end, &end))
				break;
		}
		return &unit;
	}
	return NULL;
}

/* One helper takes a unit and stays at the gate, through a whole harvest. */
static struct cm_unit *make_one_late(enum gate where)
{
	struct cm_unit *u;

	open_with(2, 100, 64);
	add(0, 4000);
	exact();
	write_pages(0, 4000);
	await_helper = true;
	atomic_store(&gate, where);
	atomic_store(&jump_ns, 1000000);
	CHECK_EQ(harvest_all(), 1);
	await_helper = false;
	atomic_store(&jump_ns, 0);
	CHECK_EQ(compare().lost, 0);
	CHECK_EQ(counters.last_errno, ETIMEDOUT);
	u = late_unit();
	CHECK(u != NULL);
	CHECK_EQ(u->end - u->start, 100 * FAKE_PAGE);
	return u;
}

static bool kernel_says_clean(size_t page)
{
	return fake.page[page].protected;
}

/* The main case: the late helper clears a card that was written after the report that had its
 * whole unit. From then on the kernel shows the card as clean. */
static void what_a_late_helper_clears_is_reported(void)
{
	struct cm_unit *u;
	size_t page;

	u = make_one_late(BEFORE);
	page = (u->start - FAKE_BASE) / FAKE_PAGE + 5;
	write_pages(page, page + 1);
	CHECK(!kernel_says_clean(page));
	let_through();
	CHECK(kernel_says_clean(page)); /* a look at the kernel would lose it */
	CHECK_EQ(harvest_all(), 1);
	CHECK_EQ(compare().lost, 0);
	CHECK(late_unit() == NULL);
	exact();
	write_pages(page, page + 1);
	exact();
	close_all();
}

/* The helper has cleared its unit, but has not reported it yet. */
static void a_unit_is_owed_in_every_report_until_its_helper_is_back(void)
{
	struct cm_unit *u;
	size_t first;

	u = make_one_late(AFTER);
	first = (u->start - FAKE_BASE) / FAKE_PAGE;
	for (unsigned i = 0; i < 5; i++) {
		memset(&written[first], true, 100 * sizeof *written);
		CHECK_EQ(harvest_all(), 1); /* with one helper less, it goes on alone */
		CHECK_EQ(compare().lost, 0);
	}
	let_through();
	memset(&written[first], true, 100 * sizeof *written);
	CHECK_EQ(harvest_all(), 1);
	CHECK_EQ(compare().extra, 0);
	exact();
	close_all();
}

static void a_query_finds_what_is_owed(void)
{
	struct cardmark_region regions[8];
	struct cm_masks written_only = { .required = CARDMARK_PAGE_WRITTEN };
	struct cm_masks present = { .required = CARDMARK_PAGE_PRESENT };
	struct cm_unit *u;

	u = make_one_late(AFTER);
	for (int op = CARDMARK_SCAN_GET; op <= CARDMARK_SCAN_GET_AND_CLEAR; op += 2) {
		struct cm_sink sink = { .v = regions, .cap = 8, .max_pages = SIZE_MAX };
		uintptr_t resume = 0;

		cm_backend_pagemap.scan(b, &all, &all.v[0], &written_only,
					(enum cardmark_scan_op)op, &sink, &resume);
		CHECK_EQ(resume, all.v[0].end);
		CHECK(sink.guessed);
		CHECK_EQ(sink.n, 1);
		CHECK_EQ(regions[0].start, u->start);
		CHECK_EQ(regions[0].end, u->end);
	}
	struct cm_sink sink = { .v = regions, .cap = 8, .max_pages = SIZE_MAX };
	uintptr_t resume = 0;
	cm_backend_pagemap.scan(b, &all, &all.v[0], &present, CARDMARK_SCAN_GET, &sink, &resume);
	CHECK(!sink.guessed); /* the question is not about writes */
	CHECK_EQ(sink.pages, 4000);
	close_all();
}

static void what_is_owed_and_untracked_is_not_reported(void)
{
	struct cm_unit *u;

	u = make_one_late(BEFORE);
	cm_ranges_remove(&all, u->start, u->end);
	let_through();
	(void)harvest_all();
	CHECK_EQ(compare().extra, 0); /* compare() fails if an untracked page is reported */
	close_all();
}

/* The clock leaps at each look, so every helper is late. Helpers come back at any time, and pages
 * are written in between. */
static size_t lose_by_racing(uint64_t *rng, bool break_rule)
{
	size_t lost = 0, guessed = 0;
	unsigned long rounds = random_rounds(20, 6);

	/* On a busy machine helpers do little, and few are late: then it runs longer. */
	for (unsigned round = 0; round < rounds || (guessed <= 20 && round < 100 * rounds);
	     round++) {
		open_with(2 + round % 4, 20 + random_below(rng, 60), 8 + random_below(rng, 60));
		if (break_rule)
			harvest = forgetful_harvest;
		add(0, 3000);
		atomic_store(&jump_ns, 12000000); /* two looks at the clock */
		for (unsigned step = 0; step < 60; step++) {
			write_some(rng, 3000);
			atomic_store(&gate, (int)random_below(rng, 3));
			guessed += harvest_all();
			lost += compare().lost;
			write_some(rng, 3000);
			if (random_below(rng, 3) == 0)
				let_through();
		}
		let_through();
		atomic_store(&jump_ns, 0);
		(void)harvest_all();
		lost += compare().lost;
		close_all();
	}
	CHECK(guessed > 20); /* otherwise no helper was late */
	return lost;
}

static void nothing_is_lost_by_helpers_that_come_late(void)
{
	uint64_t rng = random_seed(unit_seed);

	CHECK_EQ(lose_by_racing(&rng, false), 0);
}

/* Negative control: the same with late units dropped once they were reported. */
static void forgetting_what_is_owed_loses_writes(void)
{
	uint64_t rng = random_seed(unit_seed);
	size_t lost = lose_by_racing(&rng, true);

	(void)printf("# %zu pages lost\n", lost);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(what_a_late_helper_clears_is_reported),
		UNIT_CASE(a_unit_is_owed_in_every_report_until_its_helper_is_back),
		UNIT_CASE(a_query_finds_what_is_owed),
		UNIT_CASE(what_is_owed_and_untracked_is_not_reported),
		UNIT_CASE(nothing_is_lost_by_helpers_that_come_late),
		UNIT_CASE(forgetting_what_is_owed_loses_writes),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
