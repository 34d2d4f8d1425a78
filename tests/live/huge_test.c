/* SPDX-License-Identifier: MIT
 *
 * Description: transparent huge pages in tracked ranges (R16): they are kept, and the first
 * write to an armed one splits it, so that only the written card is reported; or they are
 * split when tracked; or none are made again. Splitting and collapsing lose nothing, and
 * contents stay. Where there are no huge pages the cases are skipped, or fail if
 * CARDMARK_REQUIRE names thp. */
#include "tests/support/live.h"
#include "tests/support/random.h"

#include "lib/huge.h"
#include "tests/support/broken_os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MADV_COLLAPSE /* 6.1 */
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGES 4
#define MOST_CARDS 32768 /* 4 huge pages of 512 MiB would be too many */

static size_t huge_bytes, cards; /* of a huge page; of all of them */
static unsigned char *mem;
static struct cardmark *cm;
static struct cardmark_table *table;
static bool want[MOST_CARDS];

/* ---- Huge pages ------------------------------------------------------------------ */

/* KiB of [mem, mem + len) that are mapped by huge pages. */
static size_t huge_kib(const unsigned char *from, size_t len)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uintptr_t start, end;
	bool inside = false;
	size_t sum = 0, kib;
	char line[512];

	CHECK(f != NULL);
	while (fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%zx-%zx ", &start, &end) == 2)
			inside = start < (uintptr_t)from + len && end > (uintptr_t)from;
		else if (inside && sscanf(line, "AnonHugePages: %zu", &kib) == 1)
			sum += kib;
	}
	(void)fclose(f);
	return sum;
}

static size_t huge_now(void)
{
	return huge_kib(mem, cards * live_card) / (huge_bytes >> 10);
}

_Noreturn static void no_huge_pages(const char *why)
{
	if (tap_required("thp"))
		tap_fail(__FILE__, __LINE__, why);
	tap_skip("no transparent huge pages here: %s", why);
}

/* Memory that holds data and lies in huge pages. */
static void map_huge(void)
{
	size_t bytes;
	unsigned char *p;

	huge_bytes = live_card / sizeof(uint64_t) * live_card;
	cards = HUGE_PAGES * huge_bytes / live_card;
	if (cards > MOST_CARDS)
		no_huge_pages("they are larger than this test wants");
	bytes = (HUGE_PAGES + 2) * huge_bytes;
	p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	live_own_memory(p, bytes);
	mem = (unsigned char *)(((uintptr_t)p + 2 * huge_bytes - 1) & ~(huge_bytes - 1));
	CHECK(mprotect(mem, HUGE_PAGES * huge_bytes, PROT_READ | PROT_WRITE) == 0);
	if (madvise(mem, HUGE_PAGES * huge_bytes, MADV_HUGEPAGE) != 0)
		no_huge_pages("the kernel is built without them");
	for (size_t i = 0; i < cards; i++)
		memset(mem + i * live_card, (int)(i % 255 + 1), live_card);
	if (huge_now() != HUGE_PAGES) /* memory is in pieces */
		(void)madvise(mem, HUGE_PAGES * huge_bytes, MADV_COLLAPSE);
	if (huge_now() != HUGE_PAGES)
		no_huge_pages("switched off, or there is no memory in one piece");
	memset(want, 0, sizeof want);
}

/* Existing huge pages stay. khugepaged makes no new ones: it would do so between the split and
 * the arming, because it begins at once in a program that has just called MADV_HUGEPAGE. */
static void map_huge_once(void)
{
	map_huge();
	CHECK(madvise(mem, cards * live_card, MADV_NOHUGEPAGE) == 0);
	CHECK_EQ(huge_now(), HUGE_PAGES);
}

static void open_huge(enum cardmark_huge huge)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.huge = huge;
	cm = live_open_options(&options);
	table = live_table(cm);
}

static void track_all(enum cardmark_huge huge)
{
	open_huge(huge);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	CHECK(live_collect(cm, table) == CARDMARK_EXACT);
}

/* Tracked, clean and armed. */
static void set_up(enum cardmark_huge huge)
{
	map_huge();
	track_all(huge);
}

static void write_card(size_t i)
{
	live_store(mem + i * live_card + 9, (unsigned char)(mem[i * live_card + 9] + 1));
	want[i] = true;
}

static void collect_and_compare(void)
{
	CHECK(live_collect(cm, table) == CARDMARK_EXACT);
	live_expect(table, mem, cards, want);
	memset(want, 0, sizeof want);
}

/* All other memory is as it was. */
static void check_contents(void)
{
	for (size_t i = 0; i < cards; i++)
		for (size_t k = 0; k < live_card; k += 8)
			if (k != 8)
				CHECK_EQ(mem[i * live_card + k], i % 255 + 1);
}

static long minor_faults(void)
{
	struct rusage usage;

	CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
	return usage.ru_minflt;
}

/* ---- Keep, split, never ------------------------------------------------------------ */

/* Writes two cards of each huge page, and checks the effect on it. */
static void write_to_each(const char *what)
{
	size_t before = huge_now();
	long faults = minor_faults();

	for (size_t h = 0; h < HUGE_PAGES; h++) {
		write_card(h * (cards / HUGE_PAGES) + 3 * h);
		write_card((h + 1) * (cards / HUGE_PAGES) - 1);
	}
	tap_note("%s: %zu huge pages before the first writes, %zu after; %ld faults for %d cards",
		 what, before, huge_now(), minor_faults() - faults, 2 * HUGE_PAGES);
	collect_and_compare(); /* these cards, not 2 MiB each */
	collect_and_compare();
	check_contents();
}

static void kept_ones_are_split_by_their_first_write(void)
{
	set_up(CARDMARK_HUGE_KEEP);
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK_EQ(huge_now(), HUGE_PAGES); /* tracked and armed as they are */
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("soft-dirty knows a huge page as one, and reports it whole");
	write_to_each("keep");
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK_EQ(huge_now(), 0);
}

static void split_when_they_are_tracked(void)
{
	map_huge_once();
	track_all(CARDMARK_HUGE_SPLIT);
	live_expect_dirty(table, mem, cards); /* as all new memory */
	CHECK_EQ(huge_now(), 0);
	check_contents();
	write_to_each("split");
}

static void never_again(void)
{
	set_up(CARDMARK_HUGE_NEVER);
	CHECK_EQ(huge_now(), 0);
	check_contents();
	write_to_each("never");
	/* Emptied and filled again: the program asked for MADV_HUGEPAGE, and later we refused
	 * it. */
	CHECK(madvise(mem, cards * live_card, MADV_DONTNEED) == 0);
	for (size_t i = 0; i < cards; i++) {
		memset(mem + i * live_card, (int)(i % 255 + 1), live_card);
		want[i] = true;
	}
	CHECK_EQ(huge_now(), 0);
	collect_and_compare();
	check_contents();
}

/* A range that begins and ends inside huge pages, and the rest of those. */
static void parts_of_huge_pages(void)
{
	size_t from = cards / HUGE_PAGES / 2, to = cards - from;

	map_huge_once();
	open_huge(CARDMARK_HUGE_SPLIT);
	CHECK_EQ(cardmark_track(cm, mem + from * live_card, (to - from) * live_card, 0), 0);
	CHECK_EQ(huge_now(), 0);
	check_contents();
	(void)live_collect(cm, table);
	write_card(from);
	write_card(to - 1);
	CHECK(live_collect(cm, table) == CARDMARK_EXACT);
	live_expect(table, mem + from * live_card, to - from, want + from);
}

static void shared_and_ordinary_memory_is_left_alone(void)
{
	unsigned char *plain = live_map(16);

	open_huge(CARDMARK_HUGE_NEVER);
	memset(plain, 7, 16 * live_card);
	CHECK_EQ(cardmark_track(cm, plain, 16 * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_store(plain + 5 * live_card, 8);
	(void)live_collect(cm, table);
	bool one[16] = { [5] = true };
	live_expect(table, plain, 16, one);
	CHECK_EQ(plain[6 * live_card], 7);
	if (!live_can(CARDMARK_CAP_SHARED))
		return;
	unsigned char *shared = mmap(NULL, 16 * live_card, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	live_own_memory(shared, 16 * live_card);
	memset(shared, 7, 16 * live_card);
	CHECK_EQ(cardmark_track(cm, shared, 16 * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_store(shared + 5 * live_card, 8);
	(void)live_collect(cm, table);
	live_expect(table, shared, 16, one);
}

/* ---- Whatever splits and collapses: nothing is lost -------------------------------- */

/* Armed ones stay armed, and what was written stays written. */
static void splitting_keeps_the_dirty_state(void)
{
	map_huge_once();
	track_all(CARDMARK_HUGE_KEEP);
	write_card(cards / HUGE_PAGES + 17); /* splits the second */
	cm_huge_prepare(CARDMARK_HUGE_SPLIT, (uintptr_t)mem, (uintptr_t)mem + cards * live_card);
	CHECK_EQ(huge_now(), 0);
	check_contents();
	write_card(5);
	CHECK(live_collect(cm, table) == CARDMARK_EXACT);
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("soft-dirty knows a huge page as one, and reports it whole");
	live_expect(table, mem, cards, want);
}

/* Cards that are all zero may be mapped to the zero page when their huge page is
 * split. The first write to them is seen all the same. */
static void zeros_in_a_split_page(void)
{
	map_huge_once();
	memset(mem, 0, cards * live_card);
	for (size_t i = 0; i < cards; i += 7)
		mem[i * live_card] = 1;
	open_huge(CARDMARK_HUGE_SPLIT);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	CHECK_EQ(huge_now(), 0);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < cards; i++)
		CHECK_EQ(mem[i * live_card], i % 7 == 0);
	for (size_t i = 0; i < cards; i += 3)
		write_card(i);
	collect_and_compare();
}

static size_t count_lost(void)
{
	size_t lost = 0;

	for (size_t i = 0; i < cards; i++)
		lost += want[i] && !cardmark_table_is_dirty(table, mem + i * live_card);
	memset(want, 0, sizeof want);
	return lost;
}

/* MADV_COLLAPSE does at once what khugepaged does later. A collapsed page may be reported
 * whole. */
static size_t collapse_at_random(enum cardmark_huge huge)
{
	uint64_t rng = random_seed(NULL);
	unsigned done = 0, refused = 0, appeared = 0;
	unsigned long rounds = random_rounds(40, 16);
	size_t lost = 0;

	set_up(huge);
	for (unsigned round = 0; round < rounds; round++) {
		for (uint64_t n = random_below(&rng, 6); n > 0; n--)
			write_card(random_below(&rng, cards));
		if (round % 8 == 7) /* a page written from end to end can be collapsed */
			for (size_t i = 0; i < cards / HUGE_PAGES; i++)
				write_card(i);
		size_t before = huge_now();
		if (madvise(mem, cards * live_card, MADV_COLLAPSE) == 0)
			done++;
		else
			refused++;
		appeared += huge_now() > before;
		for (uint64_t n = random_below(&rng, 3); n > 0; n--)
			write_card(random_below(&rng, cards));
		CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
		lost += count_lost();
	}
	tap_note("MADV_COLLAPSE: %u times done, %u refused, %u times there were more huge pages",
		 done, refused, appeared);
	return lost;
}

static void collapsing_kept_ones_loses_nothing(void)
{
	CHECK_EQ(collapse_at_random(CARDMARK_HUGE_KEEP), 0);
}

static void collapsing_split_ones_loses_nothing(void)
{
	CHECK_EQ(collapse_at_random(CARDMARK_HUGE_SPLIT), 0);
}

/* docs/choosing.md on memory that has been clean for a long time: armed small pages are not
 * collapsed, so it is untracked for the collapse, and counts as written once. */
static void cold_memory_becomes_huge_again(void)
{
	size_t bytes = cards * live_card, huge;

	map_huge_once();
	track_all(CARDMARK_HUGE_KEEP);
	cm_huge_prepare(CARDMARK_HUGE_SPLIT, (uintptr_t)mem, (uintptr_t)mem + bytes);
	CHECK_EQ(huge_now(), 0);
	write_card(7); /* in no answer yet */
	CHECK_EQ(cardmark_untrack(cm, mem, bytes), 0);
	CHECK(madvise(mem, bytes, MADV_HUGEPAGE) == 0);
	/* Linux 6.1 refuses that after uffd or soft-dirty. Even then nothing may be lost. */
	if (madvise(mem, bytes, MADV_COLLAPSE) != 0)
		tap_note("MADV_COLLAPSE is refused: error %d", errno);
	CHECK(madvise(mem, bytes, MADV_NOHUGEPAGE) == 0); /* khugepaged makes no more of them */
	huge = huge_now();
	if (live_backend == CARDMARK_BACKEND_PAGEMAP && tap_required("thp"))
		CHECK_EQ(huge, HUGE_PAGES);
	CHECK_EQ(cardmark_track(cm, mem, bytes, 0), 0);
	CHECK(live_collect(cm, table) == CARDMARK_EXACT);
	CHECK_EQ(huge_now(), huge);
	live_expect_dirty(table, mem, cards);
	memset(want, 0, sizeof want);
	check_contents();
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY || !live_can(CARDMARK_CAP_PRECISE))
		return;
	collect_and_compare();
	write_to_each("made huge again");
}

static void arming_without_a_harvest_loses(void)
{
	size_t lost;

	break_by_arming_without_harvest(broken_os_begin());
	lost = collapse_at_random(CARDMARK_HUGE_KEEP);
	live_clean_up();
	broken_os_end();
	tap_note("%zu cards lost", lost);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "kept ones are split by their first write",
		  kept_ones_are_split_by_their_first_write, 0, 0 },
		{ "split when they are tracked", split_when_they_are_tracked, 0, 0 },
		{ "never again", never_again, 0, 0 },
		{ "parts of huge pages", parts_of_huge_pages, 0, 0 },
		{ "shared and ordinary memory", shared_and_ordinary_memory_is_left_alone, 0, 0 },
		{ "splitting keeps the dirty state", splitting_keeps_the_dirty_state, 0, 0 },
		{ "zeros in a split page", zeros_in_a_split_page, 0, 0 },
		{ "collapsing kept ones loses nothing", collapsing_kept_ones_loses_nothing, 0, 0 },
		{ "collapsing split ones loses nothing", collapsing_split_ones_loses_nothing, 0,
		  0 },
		{ "cold memory becomes huge again", cold_memory_becomes_huge_again, 0, 0 },
		{ "control: arming without a harvest loses writes", arming_without_a_harvest_loses,
		  0, LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
