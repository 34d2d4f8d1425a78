/* SPDX-License-Identifier: MIT
 *
 * Description: the query on another process, on a fake kernel: older kernels, a
 * stale walk_end (R4), a process that ends, calls that fail. */
#include "cardmark/process.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <string.h>

#define POPULATED (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)

static struct cardmark_process *view;
static struct cardmark_region regions[FAKE_PAGES];

static void begin(void)
{
	fake_kernel_begin();
	CHECK_EQ(cardmark_process_open(&view, FAKE_PID), 0);
}

static void end(void)
{
	cardmark_process_close(&view);
	CHECK(view == NULL);
	fake_kernel_end();
}

static struct cardmark_query question(void)
{
	return (struct cardmark_query){ .size = sizeof(struct cardmark_query),
					.start = (void *)FAKE_BASE,
					.len = FAKE_PAGES * FAKE_PAGE,
					.op = CARDMARK_SCAN_GET,
					.any_of = POPULATED,
					.returned = POPULATED,
					.regions = regions,
					.capacity = FAKE_PAGES };
}

static void an_older_kernel_says_so(void)
{
	fake_kernel_begin();
	fake.no_scan = true;
	CHECK_EQ(cardmark_process_open(&view, FAKE_PID), -ENOTSUP);
	CHECK(view == NULL);
	CHECK(strstr(cardmark_last_error(), "6.7") != NULL);
	fake_kernel_end();
}

static void categories_are_this_kernels(void)
{
	struct cardmark_query q = question();

	fake_kernel_begin();
	fake.no_guard_category = true;
	CHECK_EQ(cardmark_process_open(&view, FAKE_PID), 0);
	CHECK_EQ(cardmark_process_categories(view), CARDMARK_PAGE_ALL & ~CARDMARK_PAGE_GUARD);
	q.excluded = CARDMARK_PAGE_GUARD;
	CHECK_EQ(cardmark_process_scan(view, &q), -ENOTSUP);
	CHECK_EQ(fake.calls[FAKE_SCAN], 1); /* the one that looks for the end */
	end();
}

/* Before 6.16 a scan of such memory crashed the kernel. */
static void memory_that_is_gone_at_open_is_not_scanned(void)
{
	fake_kernel_begin();
	fake.dead = true;
	CHECK_EQ(cardmark_process_open(&view, FAKE_PID), -ENOENT);
	CHECK(view == NULL);
	CHECK_EQ(fake.calls[FAKE_SCAN], 0);
	fake_kernel_end();
}

static void memory_that_went_away_is_not_an_empty_answer(void)
{
	struct cardmark_query q = question();

	begin();
	fake_write(0, 10);
	fake.dead = true;
	CHECK_EQ(cardmark_process_scan(view, &q), -ENOENT);
	end();
}

static void many_regions_complete_in_spite_of_a_stale_walk_end(void)
{
	for (unsigned honest = 0; honest < 2; honest++) {
		for (size_t n = 500; n < 540; n++) {
			struct cardmark_query q = question();

			begin();
			fake.honest_walk_end = honest != 0;
			for (size_t i = 0; i < n; i++)
				fake_write(3 * i, 3 * i + 1);
			/* With and without the look that measures. */
			q.excluded = n % 2 == 0 ? CARDMARK_PAGE_FILE : 0;
			CHECK_EQ(cardmark_process_scan(view, &q), 0);
			CHECK_EQ(q.resume, fake_addr(FAKE_PAGES));
			CHECK_EQ(q.count, n);
			CHECK_EQ(q.pages, n);
			end();
		}
	}
}

static void a_failed_call_gives_what_was_found_and_where(void)
{
	for (unsigned at = 1; at < 5; at++) {
		struct cardmark_query q = question(), rest;

		begin();
		for (size_t i = 0; i < 2000; i++)
			fake_write(2 * i, 2 * i + 1);
		fake.fail_at[FAKE_SCAN] = at;
		fake.error[FAKE_SCAN] = at == 1 ? -ENOMEM : -EINTR;
		CHECK_EQ(cardmark_process_scan(view, &q), at == 1 ? -ENOMEM : -EIO);
		CHECK(at == 1 || q.resume > FAKE_BASE);
		CHECK(q.resume < fake_addr(4000));
		CHECK_EQ(q.count, ((q.resume - FAKE_BASE) / FAKE_PAGE + 1) / 2);
		rest = question();
		rest.start = (void *)q.resume;
		rest.len = fake_addr(FAKE_PAGES) - q.resume;
		CHECK_EQ(cardmark_process_scan(view, &rest), 0);
		CHECK_EQ(q.count + rest.count, 2000);
		end();
	}
}

/* Any capacity, any limit, any mask that the fake kernel knows. */
static void bites_add_up(void)
{
	uint64_t rng = random_seed(unit_seed);

	for (unsigned round = 0; round < 100; round++) {
		struct cardmark_query q = question();
		size_t n = 0, pages = 0, want = 0;
		bool holes = round % 4 == 3;

		begin();
		for (size_t i = 0; i < 300; i++) {
			size_t from = random_below(&rng, FAKE_PAGES - 40);
			fake_write(from, from + 1 + random_below(&rng, 20));
		}
		for (size_t i = 0; i < FAKE_PAGES; i++)
			want += fake.page[i].present != holes;
		if (holes) {
			q.any_of = 0;
			q.excluded = POPULATED;
		} else if (round % 2 == 0) {
			q.excluded = CARDMARK_PAGE_FILE;
		}
		q.max_pages = random_below(&rng, 3) == 0 ? 0 : 1 + random_below(&rng, 500);
		q.capacity = 1 + random_below(&rng, 600);
		while ((uintptr_t)q.start < fake_addr(FAKE_PAGES)) {
			CHECK_EQ(cardmark_process_scan(view, &q), 0);
			CHECK(q.count <= q.capacity);
			CHECK(q.max_pages == 0 || q.pages <= q.max_pages);
			for (size_t i = 0; i < q.count; i++)
				for (uintptr_t a = regions[i].start; a < regions[i].end;
				     a += FAKE_PAGE, n++)
					CHECK(fake.page[(a - FAKE_BASE) / FAKE_PAGE].present !=
					      holes);
			pages += q.pages;
			q.len = fake_addr(FAKE_PAGES) - q.resume;
			q.start = (void *)q.resume;
		}
		CHECK_EQ(n, want);
		CHECK_EQ(pages, want);
		end();
	}
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(an_older_kernel_says_so),
		UNIT_CASE(categories_are_this_kernels),
		UNIT_CASE(memory_that_is_gone_at_open_is_not_scanned),
		UNIT_CASE(memory_that_went_away_is_not_an_empty_answer),
		UNIT_CASE(many_regions_complete_in_spite_of_a_stale_walk_end),
		UNIT_CASE(a_failed_call_gives_what_was_found_and_where),
		UNIT_CASE(bites_add_up),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
