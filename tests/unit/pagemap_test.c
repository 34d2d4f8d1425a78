/* SPDX-License-Identifier: MIT
 *
 * Description: the pagemap backend on a fake kernel: a get-and-clear that fails
 * after it cleared (R3), memory mapped anew (R2), a stale walk_end (R4), a fork
 * child's descriptors (R5), and every call failing at every place. */
#include "lib/backend/backend.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <string.h>

static struct cm_backend *b;
static struct cm_counters counters;
static struct cm_ranges all;
static struct cm_cards cards;
static bool written[FAKE_PAGES]; /* since last reported: must be in the next report */

static void open_with(size_t chunk_pages, size_t vec_len)
{
	struct cm_backend_params params = { .chunk_bytes = chunk_pages * FAKE_PAGE,
					    .vec_len = vec_len,
					    .counters = &counters };
	const char *why = NULL;

	memset(&counters, 0, sizeof counters);
	memset(written, 0, sizeof written);
	fake_kernel_begin();
	CHECK_EQ(cm_backend_pagemap.open(&b, &params, &why), 0);
	CHECK_EQ(cm_cards_init(&cards), 0);
	CHECK_EQ(cm_cards_reserve(&cards, FAKE_BASE, fake_addr(FAKE_PAGES)), 0);
}

static void close_all(void)
{
	cm_backend_pagemap.close(b, &all);
	cm_ranges_free(&all);
	cm_cards_free(&cards);
	fake_kernel_end();
}

static void add(size_t from, size_t to, enum cm_kind kind)
{
	struct cm_range r = {
		.start = fake_addr(from), .end = fake_addr(to), .kind = kind, .prot = 3
	};

	CHECK_EQ(cm_ranges_reserve(&all, 1), 0);
	CHECK_EQ(cm_backend_pagemap.add(b, &r), 0);
	cm_ranges_add(&all, r);
}

static void write_pages(size_t from, size_t to)
{
	fake_write(from, to);
	for (size_t i = from; i < to; i++)
		written[i] = true;
}

static size_t harvest(void)
{
	cm_cards_clear_all(&cards);
	return cm_backend_pagemap.harvest(b, &all, CM_ALL, &cards);
}

/* Checks that no written page is missing. Returns the number of other pages reported. */
static size_t compare(void)
{
	size_t extra = 0;

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		bool dirty = cm_cards_test(&cards, fake_addr(i));
		bool tracked = cm_ranges_cover(&all, fake_addr(i), fake_addr(i + 1));
		if (tracked && written[i] && !dirty)
			tap_note("page %zu was written and is not reported", i);
		CHECK(!(tracked && written[i] && !dirty));
		CHECK(!(dirty && !tracked));
		extra += dirty && !written[i];
		written[i] = false;
	}
	return extra;
}

static void exact(void)
{
	CHECK_EQ(harvest(), 0);
	CHECK_EQ(compare(), 0);
}

static void reports_what_was_written_and_clears(void)
{
	open_with(FAKE_PAGES, 512);
	write_pages(10, 20);
	add(0, 100, CM_KIND_PRIVATE);
	exact();
	exact();
	write_pages(3, 4);
	write_pages(98, 100);
	fake_write(100, 103); /* not ours */
	exact();
	close_all();
}

static void adjacent_pieces_are_one_call(void)
{
	const size_t pieces = ((size_t)3 << 20) / FAKE_PAGE; /* too little for a look before the
							      * harvest */
	unsigned calls;

	open_with(FAKE_PAGES, 512);
	for (size_t i = 0; i < pieces; i++)
		add(i, i + 1, CM_KIND_PRIVATE);
	calls = fake.calls[FAKE_SCAN];
	exact();
	CHECK_EQ(fake.calls[FAKE_SCAN] - calls, 1);
	close_all();
}

/* R3: it had cleared 37 pages when it failed, and their count is lost. */
static void a_failed_get_and_clear_reports_its_whole_piece(void)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT, -EIO };

	for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
		open_with(256, 64);
		add(0, 1000, CM_KIND_PRIVATE);
		write_pages(0, 1000);
		exact();
		for (size_t i = 0; i < 1000; i += 2)
			write_pages(i, i + 1);
		fake.fail_at[FAKE_SCAN] = 6; /* in the second chunk, not at its start */
		fake.fail_after = 37;
		fake.error[FAKE_SCAN] = errors[e];
		CHECK(harvest() > 0);
		CHECK(counters.guessed > 0);
		CHECK_EQ(counters.last_errno, -errors[e]);
		CHECK(compare() <= 256); /* that chunk, no more */
		exact();
		write_pages(400, 500);
		exact();
		close_all();
	}
}

/* Where memory is clean it looks first, which is cheap, and then takes only the pages it
 * found. */
static void looks_before_it_takes(void)
{
	unsigned calls;

	open_with(FAKE_PAGES, 512);
	add(0, 4000, CM_KIND_PRIVATE);
	write_pages(0, 4000);
	exact(); /* all of it is written: the look did not help, and is not repeated at once */
	write_pages(7, 8);
	calls = fake.calls[FAKE_SCAN];
	exact();
	CHECK_EQ(fake.calls[FAKE_SCAN] - calls, 1);
	write_pages(7, 8);
	write_pages(2000, 2010);
	write_pages(3999, 4000);
	calls = fake.calls[FAKE_SCAN];
	exact();
	CHECK_EQ(fake.calls[FAKE_SCAN] - calls, 4);
	calls = fake.calls[FAKE_SCAN];
	exact();
	CHECK_EQ(fake.calls[FAKE_SCAN] - calls, 1);
	for (size_t i = 0; i < 4000; i += 40)
		write_pages(i, i + 1);
	exact(); /* more regions than a look has room for */
	close_all();
}

static void does_not_look_again_at_what_was_busy(void)
{
	unsigned calls;

	open_with(FAKE_PAGES, 512);
	add(0, 4000, CM_KIND_PRIVATE);
	write_pages(0, 4000);
	exact();
	exact();
	for (unsigned round = 0; round < 8; round++) {
		for (size_t i = 0; i < 4000; i += 40)
			write_pages(i, i + 1);
		calls = fake.calls[FAKE_SCAN];
		exact();
		CHECK_EQ(fake.calls[FAKE_SCAN] - calls, round == 0 ? 2 : 1);
	}
	exact(); /* and when it is quiet, it looks again */
	write_pages(0, 1);
	write_pages(3999, 4000);
	calls = fake.calls[FAKE_SCAN];
	exact();
	CHECK_EQ(fake.calls[FAKE_SCAN] - calls, 3);
	close_all();
}

/* It cleared nothing, so nothing has to be guessed: the other call has the answer. */
static void a_failed_look_loses_nothing(void)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT, -EINVAL };

	for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
		open_with(FAKE_PAGES, 512);
		add(0, 4000, CM_KIND_PRIVATE);
		write_pages(0, 4000);
		exact();
		exact();
		write_pages(100, 110);
		fake.fail_at[FAKE_SCAN] = 1;
		fake.fail_after = 3;
		fake.error[FAKE_SCAN] = errors[e];
		exact();
		close_all();
	}
}

/* Its entries show it as clean, but it is not watched: a look must fail there. */
static void a_look_is_not_deceived_by_memory_moved_in(void)
{
	open_with(FAKE_PAGES, 512);
	add(0, 4000, CM_KIND_PRIVATE);
	write_pages(0, 4000);
	exact();
	exact();
	fake_move_in(100, 120);
	write_pages(105, 106);
	(void)harvest();
	(void)compare();
	exact();
	close_all();
}

static void every_scan_failing_is_all_dirty(void)
{
	open_with(100, 64);
	add(0, 1000, CM_KIND_PRIVATE);
	exact();
	write_pages(500, 510);
	fake.fail_at[FAKE_SCAN] = 1;
	fake.error[FAKE_SCAN] = -ENOMEM;
	fake.fail_for_ever = true;
	CHECK(harvest() >= 10);
	CHECK_EQ(compare(), 990);
	close_all();
}

/* R2: a new mapping is not registered, and EPERM says so. */
static void memory_mapped_anew_is_dirty_and_registered_again(void)
{
	open_with(FAKE_PAGES, 512);
	add(0, 200, CM_KIND_PRIVATE);
	write_pages(0, 200);
	exact();
	fake_remap(50, 60);
	for (size_t i = 50; i < 60; i++)
		written[i] = true;
	write_pages(199, 200);
	CHECK(harvest() > 0);
	(void)compare();
	CHECK_EQ(counters.rearmed, 1);
	CHECK_EQ(counters.last_errno, EPERM);
	CHECK(fake.page[55].registered);
	write_pages(52, 53); /* armed by the collect that found it */
	exact();
	close_all();
}

/* Before 6.12.11 mremap dropped the registration of what it moved, and left the mark:
 * after a write it keeps the mark and no longer faults. */
static void memory_moved_in_with_its_protection_is_not_clean(void)
{
	open_with(FAKE_PAGES, 512);
	add(0, 200, CM_KIND_PRIVATE);
	write_pages(0, 200);
	exact();
	fake_move_in(50, 60);
	for (size_t i = 50; i < 60; i++)
		written[i] = true;
	write_pages(52, 53);
	CHECK(harvest() > 0);
	(void)compare();
	write_pages(52, 53);
	write_pages(55, 56);
	exact();
	close_all();
}

/* The same, where nothing was tracked until now. */
static void new_memory_with_a_protection_from_before_is_written(void)
{
	for (unsigned fails = 0; fails < 2; fails++) {
		open_with(FAKE_PAGES, 512);
		fake_move_in(10, 30);
		fake_write(12, 14);
		fake.fail_at[FAKE_PROTECT] = fails;
		fake.error[FAKE_PROTECT] = -EAGAIN;
		add(10, 30, CM_KIND_PRIVATE);
		memset(&written[10], true, 20 * sizeof *written);
		exact();
		write_pages(12, 13);
		exact();
		close_all();
	}
}

static void a_failing_registration_stays_dirty_until_it_works(void)
{
	open_with(FAKE_PAGES, 512);
	add(0, 200, CM_KIND_PRIVATE);
	exact();
	fake_remap(50, 60);
	fake.fail_at[FAKE_REGISTER] = 1;
	fake.error[FAKE_REGISTER] = -ENOMEM;
	fake.fail_for_ever = true;
	for (unsigned round = 0; round < 3; round++) {
		write_pages(52 + round, 53 + round);
		CHECK(harvest() > 0);
		(void)compare();
	}
	fake.fail_at[FAKE_REGISTER] = 0;
	(void)harvest();
	(void)harvest();
	memset(written, 0, sizeof written);
	write_pages(55, 57);
	exact();
	close_all();
}

/* R4: 5000 regions; walk_end is stale when the call that completes found more
 * than 512. A loop that trusts it never ends or starts over. */
static void many_regions_complete_in_spite_of_a_stale_walk_end(void)
{
	static const size_t vecs[] = { 8, 511, 512, 513, 4096, 65536 };

	for (size_t v = 0; v < 2 * sizeof vecs / sizeof *vecs; v++) {
		unsigned calls;

		open_with(FAKE_PAGES, vecs[v / 2]);
		fake.honest_walk_end = v % 2;
		add(0, FAKE_PAGES, CM_KIND_PRIVATE);
		write_pages(0, FAKE_PAGES);
		exact();
		for (size_t i = 0; i < FAKE_PAGES; i += 2)
			write_pages(i, i + 1);
		calls = fake.calls[FAKE_SCAN];
		exact();
		calls = fake.calls[FAKE_SCAN] - calls;
		CHECK(calls <= FAKE_PAGES / 2 / vecs[v / 2] + 2);
		exact();
		close_all();
	}
}

static void descriptors_of_a_rebuild_are_new(void)
{
	open_with(FAKE_PAGES, 512);
	add(0, 100, CM_KIND_PRIVATE);
	write_pages(0, 100);
	exact();
	/* The child's memory has no registration. */
	for (size_t i = 0; i < 100; i++)
		fake.page[i].registered = fake.page[i].protected = false;
	fake.fail_at[FAKE_UFFD_OPEN] = 1;
	fake.error[FAKE_UFFD_OPEN] = -EMFILE;
	CHECK(cm_backend_pagemap.rebuild(b, &all) < 0);
	CHECK_EQ(cm_backend_pagemap.rebuild(b, &all), 0);
	for (size_t i = 0; i < 100; i++)
		written[i] = true;
	exact();
	write_pages(7, 8);
	exact();
	close_all();
}

static void a_failed_open_says_why_and_keeps_nothing(void)
{
	static const struct {
		enum fake_call call;
		int error, result;
	} cases[] = {
		{ FAKE_UFFD_OPEN, -EINVAL, -ENOTSUP },   { FAKE_UFFD_OPEN, -ENOSYS, -ENOTSUP },
		{ FAKE_UFFD_OPEN, -EPERM, -EPERM },      { FAKE_UFFD_OPEN, -EMFILE, -EMFILE },
		{ FAKE_PAGEMAP_OPEN, -EACCES, -EACCES }, { FAKE_PAGEMAP_OPEN, -ENOENT, -ENOENT },
		{ FAKE_PAGEMAP_OPEN, -EMFILE, -EMFILE },
	};
	struct cm_backend_params params = { .chunk_bytes = FAKE_PAGE,
					    .vec_len = 8,
					    .counters = &counters };
	const char *why;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int error;

		fake_kernel_begin();
		fake.fail_at[cases[i].call] = 1;
		fake.error[cases[i].call] = cases[i].error;
		fake.fail_at[FAKE_UFFD_DEVICE] = 1;
		fake.error[FAKE_UFFD_DEVICE] = -ENOENT;
		why = NULL;
		error = cm_backend_pagemap.open(&b, &params, &why);
		CHECK(error < 0);
		if (cases[i].result != 0)
			CHECK_EQ(error, cases[i].result);
		CHECK(why != NULL);
		CHECK(strlen(why) > 10);
	}
	fake_kernel_begin();
	fake.no_scan = true;
	CHECK_EQ(cm_backend_pagemap.open(&b, &params, &why), -ENOTSUP);
	CHECK(strstr(why, "PAGEMAP_SCAN") != NULL);
	fake_kernel_begin();
	fake.no_guard_category = true;
	CHECK_EQ(cm_backend_pagemap.open(&b, &params, &why), 0);
	CHECK_EQ(cm_backend_pagemap.categories(b) & CARDMARK_PAGE_GUARD, 0);
	cm_backend_pagemap.close(b, &all);
	fake_kernel_end();
}

static void nothing_is_lost_whatever_fails_when(void)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT, -EPERM };
	uint64_t rng = random_seed(unit_seed);

	for (unsigned round = 0; round < 40; round++) {
		/* In large chunks, where little is written, it looks before it takes. */
		open_with(1 + random_below(&rng, round % 2 ? 600 : 5000),
			  8 + random_below(&rng, 600));
		add(0, 700, CM_KIND_PRIVATE);
		add(900, 1500, CM_KIND_FILE);
		add(2000, 6000, CM_KIND_PRIVATE);
		for (unsigned step = 0; step < 40; step++) {
			if (random_below(&rng, 5) == 0) {
				size_t from = random_below(&rng, 600);
				if (random_below(&rng, 2))
					from += 2000 + random_below(&rng, 3000);
				(random_below(&rng, 2) ? fake_remap : fake_move_in)(from,
										    from + 20);
				memset(&written[from], true, 20 * sizeof *written);
			}
			for (unsigned k = 0; k < 30; k++) {
				size_t from = random_below(&rng, 1490);
				write_pages(from, from + 1 + random_below(&rng, 10));
			}
			for (size_t k = random_below(&rng, 80); k > 0; k--) {
				size_t from = 2000 + random_below(&rng, 4000);
				write_pages(from, from + 1);
			}
			for (int c = FAKE_REGISTER; c <= FAKE_SCAN; c++) {
				fake.fail_at[c] = (unsigned)random_below(&rng, 6);
				fake.error[c] = errors[random_below(&rng, 5)];
			}
			fake.fail_after = random_below(&rng, 400);
			(void)harvest();
			(void)compare();
		}
		memset(fake.fail_at, 0, sizeof fake.fail_at);
		(void)harvest();
		(void)harvest();
		memset(written, 0, sizeof written);
		exact();
		close_all();
	}
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(reports_what_was_written_and_clears),
		UNIT_CASE(adjacent_pieces_are_one_call),
		UNIT_CASE(a_failed_get_and_clear_reports_its_whole_piece),
		UNIT_CASE(looks_before_it_takes),
		UNIT_CASE(does_not_look_again_at_what_was_busy),
		UNIT_CASE(a_failed_look_loses_nothing),
		UNIT_CASE(a_look_is_not_deceived_by_memory_moved_in),
		UNIT_CASE(every_scan_failing_is_all_dirty),
		UNIT_CASE(memory_mapped_anew_is_dirty_and_registered_again),
		UNIT_CASE(memory_moved_in_with_its_protection_is_not_clean),
		UNIT_CASE(new_memory_with_a_protection_from_before_is_written),
		UNIT_CASE(a_failing_registration_stays_dirty_until_it_works),
		UNIT_CASE(many_regions_complete_in_spite_of_a_stale_walk_end),
		UNIT_CASE(descriptors_of_a_rebuild_are_new),
		UNIT_CASE(a_failed_open_says_why_and_keeps_nothing),
		UNIT_CASE(nothing_is_lost_whatever_fails_when),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
