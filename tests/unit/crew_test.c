/* SPDX-License-Identifier: MIT
 *
 * Description: a harvest shared out among threads, on a fake kernel: the same result as by one
 * thread, whatever fails; and helpers that do not come. */
#include "tests/unit/crew.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- The same as by one thread ---------------------------------------------------- */

static struct fake_page before[FAKE_PAGES], after[FAKE_PAGES];

/* Harvests twice from the same state, alone and with helpers. */
static void compare_with_serial(void)
{
	struct pagemap *p = cm_pagemap_self(b);
	struct cm_crew crew = p->crew;
	struct cardmark_run r = { 0, 0 }, q = { 0, 0 };

	memcpy(before, fake.page, sizeof before);
	memset(&p->crew, 0, sizeof p->crew);
	cm_cards_clear_all(&serial);
	CHECK_EQ(cm_backend_pagemap.harvest(b, &all, CM_ALL, &serial), 0);
	memcpy(after, fake.page, sizeof after);
	memcpy(fake.page, before, sizeof before);
	p->crew = crew;
	exact();
	CHECK(memcmp(fake.page, after, sizeof after) == 0);
	do {
		bool more = cm_cards_next(&serial, r.end, &r);
		CHECK_EQ(cm_cards_next(&cards, q.end, &q), more);
		if (!more)
			break;
		CHECK_EQ(r.start, q.start);
		CHECK_EQ(r.end, q.end);
	} while (true);
	CHECK_EQ(cm_cards_count(&serial), cm_cards_count(&cards));
}

static void finds_what_one_thread_finds(void)
{
	static const unsigned threads[] = { 1, 2, 4, 64 };
	uint64_t rng = random_seed(unit_seed);
	unsigned long rounds = random_rounds(12, 3);

	for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
		for (unsigned round = 0; round < rounds; round++) {
			open_with(threads[t], 1 + random_below(&rng, round % 2 ? 100 : 4000),
				  8 + random_below(&rng, 600));
			for (uint64_t n = 1 + random_below(&rng, 200); n > 0; n--) {
				size_t from = random_below(&rng, FAKE_PAGES - 500);
				add(from, from + 1 + random_below(&rng, 40 * (round + 1)));
			}
			for (unsigned step = 0; step < 6; step++) {
				write_some(&rng, FAKE_PAGES);
				for (size_t i = 0; i < FAKE_PAGES; i++)
					if (!cm_ranges_cover(&all, fake_addr(i), fake_addr(i + 1)))
						written[i] = false;
				compare_with_serial();
			}
			close_all();
		}
}

static void helpers_do_take_part(void)
{
	open_with(2, 100, 64);
	add(0, 4000);
	write_pages(0, 4000);
	await_helper = true;
	atomic_store(&gate, BEFORE);
	atomic_store(&jump_ns, 1000000);
	CHECK_EQ(harvest_all(), 1); /* the one unit that it took and keeps */
	CHECK_EQ(compare().lost, 0);
	close_all();
}

static void a_small_harvest_wakes_nobody(void)
{
	open_with(2, 100, 64);
	add(0, 399); /* less than four pieces */
	atomic_store(&gate, BEFORE);
	for (unsigned i = 0; i < 50; i++) {
		write_pages(i, 399);
		exact();
	}
	CHECK_EQ(atomic_load(&waiting), 0);
	close_all();
}

static void nothing_is_lost_whatever_fails_when(void)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT, -EPERM };
	uint64_t rng = random_seed(unit_seed);
	unsigned long rounds = random_rounds(30, 6);

	for (unsigned round = 0; round < rounds; round++) {
		open_with(2 + round % 3, 1 + random_below(&rng, 100), 8 + random_below(&rng, 600));
		add(0, 700);
		add(900, 1500);
		for (unsigned step = 0; step < 40; step++) {
			write_some(&rng, 1500);
			if (random_below(&rng, 5) == 0) {
				size_t from = random_below(&rng, 600);
				fake_remap(from, from + 20);
				memset(&written[from], true, 20 * sizeof *written);
			}
			for (int c = FAKE_REGISTER; c <= FAKE_SCAN; c++) {
				fake.fail_at[c] = (unsigned)random_below(&rng, 12);
				fake.error[c] = errors[random_below(&rng, 5)];
			}
			fake.fail_after = random_below(&rng, 100);
			(void)harvest_all();
			CHECK_EQ(compare().lost, 0);
		}
		memset(fake.fail_at, 0, sizeof fake.fail_at);
		(void)harvest_all();
		(void)harvest_all();
		memset(written, 0, sizeof written);
		exact();
		close_all();
	}
}

/* ---- Helpers that do not come --------------------------------------------------- */

static void helpers_that_sleep_on_are_not_waited_for(void)
{
	open_with(4, 100, 64);
	add(0, 8000);
	while (atomic_load(&sleepers) != 3)
		(void)sched_yield();
	atomic_store(&asleep, true);
	atomic_store(&gate, BEFORE); /* no helper is let through */
	for (unsigned i = 0; i < 20; i++) {
		write_pages(i * 100, i * 300 + 7);
		exact();
	}
	CHECK_EQ(atomic_load(&waiting), 0);
	close_all();
}

/* ---- Beginning and end ------------------------------------------------------------ */

static int no_wipe(void *addr, size_t len, int advice)
{
	return advice == MADV_WIPEONFORK ? -EINVAL : fake_os.madvise(addr, len, advice);
}

static void an_open_without_its_helpers_fails(void)
{
	struct cm_backend_params params = {
		.chunk_bytes = FAKE_PAGE, .vec_len = 8, .threads = 2, .counters = &counters
	};
	const char *why = NULL;

	begin();
	os.madvise = no_wipe;
	CHECK(cm_backend_pagemap.open(&b, &params, &why) < 0);
	CHECK(why != NULL);
	CHECK(strstr(why, "threads") != NULL);
	fake_kernel_end();
}

static void opening_and_closing_leaves_no_thread_behind(void)
{
	for (unsigned i = 0; i < 200; i++) {
		open_with(1 + i % 8, 100, 64);
		if (i % 2) {
			add(0, 4000);
			write_pages(0, 4000);
			exact();
		}
		close_all();
	}
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(finds_what_one_thread_finds),
		UNIT_CASE(helpers_do_take_part),
		UNIT_CASE(a_small_harvest_wakes_nobody),
		UNIT_CASE(nothing_is_lost_whatever_fails_when),
		UNIT_CASE(helpers_that_sleep_on_are_not_waited_for),
		UNIT_CASE(an_open_without_its_helpers_fails),
		UNIT_CASE(opening_and_closing_leaves_no_thread_behind),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
