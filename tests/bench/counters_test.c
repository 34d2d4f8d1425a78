/* SPDX-License-Identifier: MIT
 *
 * Description: what each call of the library costs in calls of the seam, system calls,
 * faults, traps and mappings, on 1 GiB, as tests/bench/counters.txt has it: a change
 * that adds one fails. Controls add one of each and are seen. */
#include "tests/bench/counters.h"
#include "tests/support/backends.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EVERY = 100 }; /* one card in so many is written */

static struct cardmark *cm;
static struct cardmark_table *table, *other;
static unsigned char *mem;
static size_t cards;

static void do_open(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
}

static void do_table_new(void)
{
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
}

static void do_track(void)
{
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, CARDMARK_TRACK_PRIVATE), 0);
}

static void do_track_unsaid(void)
{
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
}

static void do_collect(void)
{
	(void)cardmark_collect(cm, table);
}

/* 1 MiB of the 1 GiB. */
static void do_collect_range(void)
{
	(void)cardmark_collect_range(cm, mem + cards / 2 * live_card, (size_t)1 << 20, table);
}

static void do_write(void)
{
	for (size_t i = 0; i < cards; i += EVERY)
		live_store(mem + i * live_card, 2);
}

static void do_preclean(void)
{
	(void)cardmark_preclean(cm);
}

static void do_table_ops(void)
{
	struct cardmark_run r;
	size_t n = 0;

	for (uintptr_t at = 0;
	     cardmark_table_next(table, at, (uintptr_t)mem + cards * live_card, &r); at = r.end)
		n++;
	CHECK(n > 0);
	for (size_t i = 0; i < cards; i += EVERY)
		CHECK(cardmark_table_is_dirty(table, mem + i * live_card));
	CHECK(cardmark_table_count(table) >= (cards + EVERY - 1) / EVERY);
	CHECK_EQ(cardmark_table_union(other, table), 0);
	CHECK_EQ(cardmark_table_clear_range(other, mem, live_card), 0);
	CHECK(says_tracked(cm, mem, cards * live_card));
}

static void do_table_clear(void)
{
	cardmark_table_clear(other);
	cardmark_table_clear(table);
}

static void do_untrack_middle(void)
{
	CHECK_EQ(cardmark_untrack(cm, mem + cards / 4 * live_card, cards / 2 * live_card), 0);
}

static void do_untrack(void)
{
	CHECK_EQ(cardmark_untrack(cm, mem, cards * live_card), 0);
}

static void do_table_delete(void)
{
	cardmark_table_delete(&table);
}

static void do_close(void)
{
	cardmark_close(&cm);
}

/* Between steps. */
static void empty_table(void)
{
	cardmark_table_clear(table);
}

static void all(void)
{
	bool traps = (live_capabilities & CARDMARK_CAP_CONCURRENT) != 0;

	cards = ((size_t)1 << 30) / live_card;
	/* Populated at once, without huge pages, and with a guard page on each side. */
	mem = mmap(NULL, (cards + 2) * live_card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mem != MAP_FAILED);
	CHECK_EQ(madvise(mem, (cards + 2) * live_card, MADV_NOHUGEPAGE), 0);
	mem += live_card;
	CHECK_EQ(mprotect(mem, cards * live_card, PROT_READ | PROT_WRITE), 0);
	for (size_t i = 0; i < cards; i++)
		live_store(mem + i * live_card, 1);

	counters_step("open", do_open);
	counters_of(cm);
	counters_step("table_new", do_table_new);
	CHECK_EQ(cardmark_table_new(&other, cm), 0);
	counters_step("track", do_track);
	counters_step("collect_first", do_collect);
	empty_table();
	counters_step("collect_clean", do_collect);
	empty_table();
	counters_step("write_1pct", do_write);
	counters_step("collect_1pct", do_collect);
	counters_step("table_ops", do_table_ops);
	counters_step("table_clear", do_table_clear);
	counters_step("collect_again_clean", do_collect);
	empty_table();
	if (traps) {
		do_write();
		counters_step("preclean_1pct", do_preclean);
		counters_step("collect_precleaned", do_collect);
		empty_table();
	}
	do_write();
	counters_step("collect_range_1mib", do_collect_range);
	do_collect();
	empty_table();
	counters_step("untrack_middle", do_untrack_middle);
	counters_step("untrack", do_untrack);
	counters_step("track_unsaid", do_track_unsaid);
	do_untrack();
	counters_step("table_delete", do_table_delete);
	cardmark_table_delete(&other);
	counters_of(NULL);
	counters_step("close", do_close);
	CHECK_EQ(munmap(mem - live_card, (cards + 2) * live_card), 0);
}

/* The child's heap, and as much again for what else there is. */
static void need_memory(void)
{
	long pages = sysconf(_SC_AVPHYS_PAGES);

	if (live_card != 4096)
		tap_skip("the table is for cards of 4096 bytes, not %zu", live_card);
	if (getenv("CARDMARK_TEST_SMALL") != NULL || (size_t)pages * live_card < (size_t)2 << 30)
		tap_skip("less than 2 GiB of free memory, or an emulated machine");
}

static void costs(void)
{
	need_memory();
	CHECK_EQ(counters_compare("core", all, CONTROL_NONE), 0);
}

static void control_seam_call(void)
{
	need_memory();
	CHECK(counters_compare("core", all, CONTROL_SEAM_CALL) > 0);
}

static void control_system_call(void)
{
	need_memory();
	CHECK(counters_compare("core", all, CONTROL_SYSTEM_CALL) > 0);
}

static void control_fault(void)
{
	need_memory();
	CHECK(counters_compare("core", all, CONTROL_FAULT) > 0);
}

static void control_mapping(void)
{
	need_memory();
	CHECK(counters_compare("core", all, CONTROL_MAPPING) > 0);
}

static const struct live_case cases[] = {
	{ "no step costs more than the table says", costs, 0, 0 },
	{ "control: one more call of the seam is seen", control_seam_call, 0, 0 },
	{ "control: one more system call is seen", control_system_call, 0, 0 },
	{ "control: one more fault is seen", control_fault, 0, 0 },
	{ "control: one more mapping is seen", control_mapping, 0, 0 },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
