/* SPDX-License-Identifier: MIT
 *
 * Description: negative controls. Each breaks one rule underneath the library and passes only
 * if the property test then finds lost writes. A property test that misses these would prove
 * nothing. Their sound twins, which report the same failures correctly, must lose nothing
 * (R3). */
#include "tests/soundness/random/world.h"

#include "tests/support/broken_os.h"
#include "tests/support/live.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 1.0
#define MOST_SEEDS 30 /* a busy machine does little in a second */

static struct world_counts run(void (*break_rule)(struct cm_os *os), unsigned threads,
			       uint64_t seed)
{
	struct world_options options = { .backend = live_backend,
					 .seed = seed,
					 .seconds = SECONDS,
					 .remap = true,
					 .faulty = true,
					 .threads = threads };
	struct world_counts c;
	int error;

	break_rule(broken_os_begin());
	error = world_run(&options, &c);
	broken_os_end();
	CHECK_EQ(error, 0);
	tap_note("%llu pages changed, %llu lost, %llu over-reported, %llu collects guessed",
		 (unsigned long long)c.changed, (unsigned long long)c.lost,
		 (unsigned long long)c.over, (unsigned long long)c.guessed);
	return c;
}

static void must_lose(void (*break_rule)(struct cm_os *os), unsigned threads)
{
	for (uint64_t seed = 7; seed < 7 + MOST_SEEDS; seed++)
		if (run(break_rule, threads, seed).lost > 0)
			return;
	tap_fail(__FILE__, __LINE__, "a broken rule loses writes");
}

static void arming_without_a_harvest_loses(void)
{
	must_lose(break_by_arming_without_harvest, 1);
}

static void a_scan_without_check_wpasync_loses(void)
{
	must_lose(break_by_not_checking_wpasync, 1);
}

static void an_error_taken_as_clean_loses(void)
{
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		must_lose(break_by_taking_errors_as_clean, 1);
	else if (live_backend == CARDMARK_BACKEND_MPROTECT)
		must_lose(break_by_not_protecting, 1);
	else if (live_backend == CARDMARK_BACKEND_UFFD)
		must_lose(break_by_taking_unreadable_as_empty, 1);
}

static void fail_honestly(struct cm_os *os)
{
	broken_os_fail_randomly(os, 8, 5);
}

static void failures_that_are_reported_lose_nothing(void)
{
	uint64_t failures = 0, enough = live_can(CARDMARK_CAP_PRECISE) ? 11 : 0;
	uint64_t seed = 7;

	do {
		struct world_counts c = run(fail_honestly, 1, seed);
		CHECK_EQ(c.lost, 0);
		CHECK(c.changed > 0);
		failures += broken_os_failures();
	} while (failures < enough && ++seed < 7 + MOST_SEEDS);
	CHECK(failures >= enough);
}

static void findings_of_helpers_dropped_lose(void)
{
	must_lose(break_by_dropping_what_helpers_find, 2);
}

static void helpers_that_come_late_lose_nothing(void)
{
	uint64_t guessed = 0, seed = 7;

	do {
		struct world_counts c = run(broken_os_delay_helpers, 3, seed);
		CHECK_EQ(c.lost, 0);
		CHECK(c.changed > 0);
		guessed += c.guessed;
	} while (guessed == 0 && ++seed < 7 + MOST_SEEDS);
	CHECK(guessed > 0);
}

/* ---- Fork ------------------------------------------------------------------- */

#define CARDS 32

/* A child that uses the inherited descriptor, as a library without R5 would. */
static void clear_by_inherited_descriptor(unsigned char *mem)
{
	struct page_region vec[CARDS];
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
				   .start = (uintptr_t)mem,
				   .end = (uintptr_t)mem + CARDS * live_card,
				   .vec = (uintptr_t)vec,
				   .vec_len = CARDS,
				   .category_mask = PAGE_IS_WRITTEN,
				   .return_mask = PAGE_IS_WRITTEN };

	_exit(cm_os_linux.scan(broken_os_pagemap, &arg) >= 0 ? 0 : 1);
}

static void an_inherited_descriptor_clears_the_parent(void)
{
	unsigned char *mem;
	struct cardmark_table *table;
	struct cardmark *cm;
	size_t lost = 0;
	pid_t pid;

	(void)broken_os_begin();
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_armed(mem, CARDS, &table);
	broken_os_end();
	memset(mem, 2, CARDS * live_card);
	/* Not fork(): the library's own handlers would close the descriptor. */
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0)
		clear_by_inherited_descriptor(mem);
	CHECK_EQ(tap_wait(pid), 0);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		lost += !cardmark_table_is_dirty(table, mem + i * live_card);
	tap_note("%zu of %d cards lost", lost, CARDS);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "arming without a harvest loses writes", arming_without_a_harvest_loses, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a scan without CHECK_WPASYNC loses writes", a_scan_without_check_wpasync_loses,
		  0, LIVE_ONLY(PAGEMAP) },
		{ "an error taken as clean loses writes", an_error_taken_as_clean_loses, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(MPROTECT) | LIVE_ONLY(UFFD) },
		{ "an inherited descriptor clears the parent's bits",
		  an_inherited_descriptor_clears_the_parent, 0, LIVE_ONLY(PAGEMAP) },
		{ "dropping what helpers find loses writes", findings_of_helpers_dropped_lose, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "helpers that come late lose nothing", helpers_that_come_late_lose_nothing, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "R3: failures that are reported lose nothing",
		  failures_that_are_reported_lose_nothing, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
