/* SPDX-License-Identifier: MIT
 *
 * Description: a harvest shared out among threads, on a fake kernel: the same result
 * as by one, whatever fails; helpers that do not come, and helpers that come too
 * late, when they clear what was written since. With a negative control: a harvest
 * that forgets what a late helper has in hand. */
#include "lib/backend/pagemap.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* ---- A harvest without the rule ---------------------------------------------- */

/* Knows who has come back, and reports nothing for them. */
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

/* ---- The fake kernel, from several threads -------------------------------------- */

static struct cm_os fake_os, os;
static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static pthread_t caller;

/* A gate in the helpers' way, before or after the kernel does what they ask. */
enum gate { OPEN, BEFORE, AFTER };
static _Atomic int gate;
static _Atomic unsigned waiting; /* helpers at the gate */
static bool await_helper;        /* the caller's scans wait until one is there */
static _Atomic uint64_t jump_ns; /* how far the clock goes on for each look at it */
static _Atomic uint64_t clock_ns;
static _Atomic bool asleep; /* nobody wakes up */
static _Atomic unsigned sleepers;

#define LOCKED(type, call)                                                                         \
	do {                                                                                       \
		(void)pthread_mutex_lock(&kernel);                                                 \
		type result_ = (call);                                                             \
		(void)pthread_mutex_unlock(&kernel);                                               \
		return result_;                                                                    \
	} while (0)

static int locked_register(int fd, uintptr_t start, size_t len)
{
	LOCKED(int, fake_os.uffd_register(fd, start, len));
}

static int locked_unregister(int fd, uintptr_t start, size_t len)
{
	LOCKED(int, fake_os.uffd_unregister(fd, start, len));
}

static int locked_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	LOCKED(int, fake_os.uffd_protect(fd, start, len, protect));
}

static long locked_scan(int fd, struct pm_scan_arg *arg)
{
	LOCKED(long, fake_os.scan(fd, arg));
}

static void pass(enum gate which)
{
	if (atomic_load(&gate) != (int)which)
		return;
	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&gate) == (int)which)
		(void)sched_yield();
	atomic_fetch_sub(&waiting, 1);
}

static long gated_scan(int fd, struct pm_scan_arg *arg)
{
	bool helper = !pthread_equal(pthread_self(), caller);
	time_t give_up = time(NULL) + 20;
	long n;

	if (helper)
		pass(BEFORE);
	while (!helper && await_helper && atomic_load(&waiting) == 0) {
		CHECK(time(NULL) < give_up);
		(void)sched_yield();
	}
	n = locked_scan(fd, arg);
	if (helper)
		pass(AFTER);
	return n;
}

/* Stands still, or goes on by each look at it: nobody is late because the machine is
 * busy. */
static uint64_t test_now(void)
{
	uint64_t jump = atomic_load(&jump_ns);

	return atomic_fetch_add(&clock_ns, jump) + jump;
}

static int sleepy_wait(_Atomic uint32_t *word, uint32_t value)
{
	atomic_fetch_add(&sleepers, 1);
	do
		(void)cm_os_linux.futex_wait(word, value);
	while (atomic_load(&asleep));
	atomic_fetch_sub(&sleepers, 1);
	return 0;
}

static void begin(void)
{
	fake_kernel_begin();
	fake_os = *cm_os;
	os = fake_os;
	os.uffd_register = locked_register;
	os.uffd_unregister = locked_unregister;
	os.uffd_protect = locked_protect;
	os.scan = gated_scan;
	os.now = test_now;
	os.futex_wait = sleepy_wait;
	cm_os = &os;
	caller = pthread_self();
	atomic_store(&gate, OPEN);
	atomic_store(&jump_ns, 0);
	atomic_store(&clock_ns, 1);
	atomic_store(&asleep, false);
	await_helper = false;
}

/* ---- One backend, its ranges and two sets ----------------------------------------- */

static struct cm_backend *b;
static struct cm_counters counters;
static struct cm_ranges all;
static struct cm_cards cards, serial;
static bool written[FAKE_PAGES]; /* since last reported: must be in the next report */
static bool forgetful;

static void open_with(unsigned threads, size_t chunk_pages, size_t vec_len)
{
	struct cm_backend_params params = { .chunk_bytes = chunk_pages * FAKE_PAGE,
					    .vec_len = vec_len,
					    .threads = threads,
					    .counters = &counters };
	const char *why = NULL;

	memset(&counters, 0, sizeof counters);
	memset(written, 0, sizeof written);
	forgetful = false;
	begin();
	CHECK_EQ(cm_backend_pagemap.open(&b, &params, &why), 0);
	CHECK_EQ(cm_backend_pagemap.threads(b), threads);
	CHECK_EQ(cm_cards_init(&cards), 0);
	CHECK_EQ(cm_cards_reserve(&cards, FAKE_BASE, fake_addr(FAKE_PAGES)), 0);
	CHECK_EQ(cm_cards_init(&serial), 0);
	CHECK_EQ(cm_cards_reserve(&serial, FAKE_BASE, fake_addr(FAKE_PAGES)), 0);
}

static void close_all(void)
{
	atomic_store(&gate, OPEN);
	atomic_store(&asleep, false);
	cm_backend_pagemap.close(b, &all);
	cm_ranges_free(&all);
	cm_cards_free(&cards);
	cm_cards_free(&serial);
	fake_kernel_end();
}

static void add(size_t from, size_t to)
{
	struct cm_range r = {
		.start = fake_addr(from), .end = fake_addr(to), .kind = CM_KIND_PRIVATE, .prot = 3
	};

	CHECK_EQ(cm_ranges_reserve(&all, 1), 0);
	CHECK_EQ(cm_backend_pagemap.add(b, &r), 0);
	cm_ranges_add(&all, r);
}

static void write_pages(size_t from, size_t to)
{
	(void)pthread_mutex_lock(&kernel);
	fake_write(from, to);
	(void)pthread_mutex_unlock(&kernel);
	for (size_t i = from; i < to; i++)
		written[i] = true;
}

static void write_some(uint64_t *rng, size_t pages)
{
	for (uint64_t n = random_below(rng, 60); n > 0; n--) {
		size_t from = random_below(rng, pages - 12);
		write_pages(from, from + 1 + random_below(rng, 12));
	}
}

static size_t harvest_all(void)
{
	cm_cards_clear_all(&cards);
	return (forgetful ? forgetful_harvest : cm_backend_pagemap.harvest)(b, &all, CM_ALL,
									    &cards);
}

struct difference {
	size_t lost, extra;
};

static struct difference compare(void)
{
	struct difference d = { 0, 0 };

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		bool dirty = cm_cards_test(&cards, fake_addr(i));
		bool tracked = cm_ranges_cover(&all, fake_addr(i), fake_addr(i + 1));
		CHECK(!(dirty && !tracked));
		d.lost += tracked && written[i] && !dirty;
		d.extra += dirty && !written[i];
		written[i] = false;
	}
	return d;
}

static void exact(void)
{
	struct difference d;

	CHECK_EQ(harvest_all(), 0);
	d = compare();
	CHECK_EQ(d.lost, 0);
	CHECK_EQ(d.extra, 0);
}

/* Waits until no helper stands at the gate or before its end. */
static void let_through(void)
{
	atomic_store(&gate, OPEN);
	while (atomic_load(&waiting) != 0)
		(void)sched_yield();
	CHECK(cm_crew_settle(&cm_pagemap_self(b)->crew, UINT64_MAX));
}

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
	atomic_store(&gate, BEFORE); /* whoever comes is not let through */
	for (unsigned i = 0; i < 20; i++) {
		write_pages(i * 100, i * 300 + 7);
		exact();
	}
	CHECK_EQ(atomic_load(&waiting), 0);
	close_all();
}

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

/* The heart of the matter: it clears a card that was written after the report in
 * which its unit stood as a whole. The kernel calls the card clean from then on. */
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

/* It has cleared, and keeps what it found to itself. */
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
	CHECK(!sink.guessed); /* has nothing to do with writes */
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
	CHECK_EQ(compare().extra, 0); /* compare() fails on what is not tracked */
	close_all();
}

/* Everything is late at once, for the clock runs away; helpers come back whenever
 * they like, and in between pages are written. */
static size_t lose_by_racing(uint64_t *rng, bool break_rule)
{
	size_t lost = 0, guessed = 0;
	unsigned long rounds = random_rounds(20, 6);

	/* On a busy machine helpers get little done, and few are late: longer then. */
	for (unsigned round = 0; round < rounds || (guessed <= 20 && round < 100 * rounds);
	     round++) {
		open_with(2 + round % 4, 20 + random_below(rng, 60), 8 + random_below(rng, 60));
		forgetful = break_rule;
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
	CHECK(guessed > 20); /* or nobody was late */
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
		UNIT_CASE(what_a_late_helper_clears_is_reported),
		UNIT_CASE(a_unit_is_owed_in_every_report_until_its_helper_is_back),
		UNIT_CASE(a_query_finds_what_is_owed),
		UNIT_CASE(what_is_owed_and_untracked_is_not_reported),
		UNIT_CASE(nothing_is_lost_by_helpers_that_come_late),
		UNIT_CASE(forgetting_what_is_owed_loses_writes),
		UNIT_CASE(an_open_without_its_helpers_fails),
		UNIT_CASE(opening_and_closing_leaves_no_thread_behind),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
