/* SPDX-License-Identifier: MIT
 *
 * Description: the kernel changes memory behind the program's back: it swaps it out and in,
 * merges equal pages (KSM), and backs it with huge TLB pages. No write is lost. Skipped where
 * there is no swap, KSM or huge TLB page, unless CARDMARK_REQUIRE names swap, ksm or hugetlb. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT /* 5.4 */
#define MADV_PAGEOUT 21
#endif

static void read_all(void)
{
	for (size_t i = 0; i < CARDS; i++)
		(void)*(volatile unsigned char *)(mem + i * live_card);
}

static void wait_a_little(void)
{
	struct timespec ts = { 0, 5000000 };

	(void)nanosleep(&ts, NULL);
}

/* Ends the case: as failed if CARDMARK_REQUIRE says that the machine has it. */
_Noreturn static void lacks(const char *what, const char *why)
{
	if (tap_required(what))
		tap_fail(__FILE__, __LINE__, why);
	tap_skip("%s", why);
}

/* The first number in a file, -1 if it cannot be read. */
static long number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (f != NULL) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		(void)fclose(f);
	}
	return n;
}

/* ---- Swap ------------------------------------------------------------------- */

#define PME_SWAPPED (UINT64_C(1) << 62)

static size_t swapped(unsigned char *p, size_t cards)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	CHECK(fd >= 0);
	for (size_t i = 0; i < cards; i++) {
		uint64_t entry = 0;
		off_t at = (off_t)(((uintptr_t)p / live_card + i) * sizeof entry);
		CHECK_EQ(pread(fd, &entry, sizeof entry, at), sizeof entry);
		n += (entry & PME_SWAPPED) != 0;
	}
	(void)close(fd);
	return n;
}

static bool swap_is_on(void)
{
	FILE *f = fopen("/proc/swaps", "re");
	char line[256];
	bool on = false;

	if (f == NULL)
		return false;
	on = fgets(line, sizeof line, f) != NULL && fgets(line, sizeof line, f) != NULL;
	(void)fclose(f);
	return on;
}

static size_t not_resident(unsigned char *p, size_t cards)
{
	unsigned char resident[CARDS];
	size_t n = 0;

	CHECK(mincore(p, cards * live_card, resident) == 0);
	for (size_t i = 0; i < cards; i++)
		n += !(resident[i] & 1);
	return n;
}

/* Until `gone` counts all cards. New pages wait in a list of the CPU that made them, out of
 * reach of all others: so it pages out from each CPU in turn. */
static void page_out(unsigned char *p, size_t cards, size_t (*gone)(unsigned char *, size_t))
{
	cpu_set_t before, one;
	size_t n = 0;
	int error = 0;

	if (!swap_is_on())
		lacks("swap", "no swap is on");
	CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
	for (size_t i = 0; i < 100 * CPU_SETSIZE && error == 0 && n < cards; i++) {
		if (!CPU_ISSET(i % CPU_SETSIZE, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i % CPU_SETSIZE, &one);
		(void)sched_setaffinity(0, sizeof one, &one);
		error = madvise(p, cards * live_card, MADV_PAGEOUT);
		n = gone(p, cards);
		if (n < cards)
			wait_a_little();
	}
	(void)sched_setaffinity(0, sizeof before, &before);
	if (error < 0)
		lacks("swap", "the kernel has no MADV_PAGEOUT (5.4)");
	if (n < cards)
		tap_note("%zu of %zu cards are swapped out", n, cards);
	CHECK_EQ(n, cards);
}

static void swap_out(unsigned char *p, size_t cards)
{
	page_out(p, cards, swapped);
}

static void written_then_swapped_out(void)
{
	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS);
	exact_then_clean();
	write_some(0, 3);
	exact_then_clean();
}

static void swapped_out_clean_then_written(void)
{
	set_up();
	swap_out(mem, CARDS);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
	write_some(0, 3);
	exact_then_clean();
}

static void written_swapped_out_and_read_in(void)
{
	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS);
	read_all();
	CHECK_EQ(swapped(mem, CARDS), 0);
	exact_then_clean();
}

static void armed_while_swapped_out_then_written(void)
{
	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	write_some(0, 3);
	swap_out(mem, CARDS);
	exact_then_clean();
}

static void tracked_while_swapped_out(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	swap_out(mem, CARDS);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
	write_some(0, 5);
	exact_then_clean();
}

static void any_order(void)
{
	uint64_t rng = random_seed(NULL);

	set_up();
	for (unsigned step = 0; step < 300; step++) {
		size_t from = random_below(&rng, CARDS);
		size_t n = 1 + random_below(&rng, CARDS - from);

		switch (random_below(&rng, 5)) {
		case 0:
		case 1:
			for (size_t i = from; i < from + n; i += 1 + random_below(&rng, 5)) {
				live_store(mem + i * live_card + step, (unsigned char)step);
				want[i] = true;
			}
			break;
		case 2:
			swap_out(mem + from * live_card, n);
			break;
		case 3:
			read_all();
			break;
		default:
			CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
			live_expect(table, mem, CARDS, want);
			memset(want, 0, sizeof want);
		}
	}
	exact_then_clean();
}

static void collect_in_child(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	write_some(0, 4);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void a_fork_child_with_swapped_memory(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS);
	CHECK_EQ(tap_in_child(collect_in_child, NULL), 0);
	exact_then_clean();
}

static void a_query_for_swapped_cards(void)
{
	struct cardmark_region regions[CARDS];
	struct cardmark_query q = { .size = sizeof q,
				    .len = CARDS * live_card,
				    .op = CARDMARK_SCAN_GET,
				    .required = CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_SWAPPED,
				    .regions = regions,
				    .capacity = CARDS };

	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS / 2);
	q.start = mem;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, live_can(CARDMARK_CAP_PRECISE) ? CARDS / 4 : CARDS / 2);
	CHECK_EQ(swapped(mem, CARDS / 2), CARDS / 2); /* looking does not touch */
	exact_then_clean();
}

/* Reclaim drops the page table entries of shared memory. */
static void shared_memory_swapped_out(void)
{
	int fd = memfd_create("pressure", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	mem = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	live_own_memory(mem, CARDS * live_card);
	memset(mem, 1, CARDS * live_card);
	cm = live_armed(mem, CARDS, &table);
	write_some(0, 2);
	page_out(mem, CARDS, not_resident);
	exact_then_clean();
	write_some(0, 3);
	exact_then_clean();
}

/* R6: without SWAPPED in the mask, swapped-out cards are not in the answer. */
static void masks_without_swapped_lose(void)
{
	size_t lost = 0;

	set_up();
	write_some(0, 2);
	swap_out(mem, CARDS);
	break_by_passing_over_swapped(broken_os_begin());
	(void)live_collect(cm, table);
	broken_os_end();
	for (size_t i = 0; i < CARDS; i++)
		lost += want[i] && !cardmark_table_is_dirty(table, mem + i * live_card);
	tap_note("%zu of %d written cards lost", lost, CARDS / 2);
	CHECK(lost > 0);
}

/* ---- KSM ---------------------------------------------------------------------- */

static unsigned char *twin;

/* Does KSM have notes about this process? (6.1) */
static bool knows_us(void)
{
	FILE *f = fopen("/proc/self/ksm_stat", "re");
	long n = 0;

	if (f != NULL) {
		if (fscanf(f, "ksm_rmap_items %ld", &n) != 1)
			n = 0;
		(void)fclose(f);
	}
	return n != 0;
}

/* Card i of one region equals card i of the other and no other card. */
static void fill_twins(unsigned char seed)
{
	for (size_t i = 0; i < CARDS; i++) {
		memset(mem + i * live_card, (int)(i + 1), live_card);
		live_store(mem + i * live_card, seed);
		memcpy(twin + i * live_card, mem + i * live_card, live_card);
	}
}

static void wait_until_merged(void)
{
	long n = 0;

	if (number_in("/sys/kernel/mm/ksm/run") != 1)
		lacks("ksm", "KSM is off");
	if (madvise(mem, CARDS * live_card, MADV_MERGEABLE) < 0 ||
	    madvise(twin, CARDS * live_card, MADV_MERGEABLE) < 0)
		lacks("ksm", "the kernel is built without KSM");
	for (unsigned i = 0; i < 6000; i++) {
		n = number_in("/proc/self/ksm_merging_pages");
		if (n < 0)
			lacks("ksm", "/proc/self/ksm_merging_pages (5.19) can't be read");
		if (n >= 2 * CARDS)
			return;
		wait_a_little();
	}
	tap_note("%ld of %d pages are merged", n, 2 * CARDS);
	CHECK_EQ(n, 2 * CARDS);
}

static void set_up_twins(void)
{
	/* KSM forgets the last case's memory in its next round; until then softdirty
	 * may not be exact. */
	for (unsigned i = 0; i < 6000 && number_in("/sys/kernel/mm/ksm/run") == 1; i++) {
		if (number_in("/proc/self/ksm_merging_pages") <= 0 && !knows_us())
			break;
		wait_a_little();
	}
	twin = live_map(CARDS);
	mem = live_map(CARDS);
	fill_twins(1);
	cm = live_armed(mem, CARDS, &table);
	CHECK_EQ(cardmark_track(cm, twin, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	(void)live_collect(cm, table);
	live_expect_clean(table, twin, CARDS);
}

/* What was written is reported; merging may report more. */
static void nothing_lost(const unsigned char *region, size_t step)
{
	size_t lost = 0, extra = 0;

	for (size_t i = 0; i < CARDS; i++) {
		bool dirty = cardmark_table_is_dirty(table, region + i * live_card);
		lost += i % step == 0 && !dirty;
		extra += i % step != 0 && dirty;
	}
	tap_note("%zu cards lost, %zu over-reported", lost, extra);
	CHECK_EQ(lost, 0);
}

static void store_every(unsigned char *region, size_t step, unsigned char v)
{
	for (size_t i = 0; i < CARDS; i += step)
		live_store(region + i * live_card, v);
}

static void merged_then_written(void)
{
	set_up_twins();
	wait_until_merged();
	store_every(twin, 3, 7);
	(void)live_collect(cm, table);
	nothing_lost(twin, 3);
	store_every(mem, 2, 8);
	(void)live_collect(cm, table);
	nothing_lost(mem, 2);
	CHECK(mem[0] == 8 && twin[0] == 7);
}

static void merged_armed_and_written(void)
{
	set_up_twins();
	wait_until_merged();
	(void)live_collect(cm, table);
	(void)live_collect(cm, table);
	store_every(twin, 3, 7);
	(void)live_collect(cm, table);
	nothing_lost(twin, 3);
}

static void written_then_merged(void)
{
	set_up_twins();
	store_every(mem, 2, 5);
	store_every(twin, 2, 5);
	wait_until_merged();
	(void)live_collect(cm, table);
	nothing_lost(mem, 2);
	nothing_lost(twin, 2);
}

static void written_merged_and_unmerged(void)
{
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("what KSM takes back before it is asked about, softdirty does not see");
	set_up_twins();
	store_every(mem, 2, 5);
	store_every(twin, 2, 5);
	wait_until_merged();
	CHECK(madvise(mem, CARDS * live_card, MADV_UNMERGEABLE) == 0);
	CHECK(madvise(twin, CARDS * live_card, MADV_UNMERGEABLE) == 0);
	(void)live_collect(cm, table);
	nothing_lost(mem, 2);
	nothing_lost(twin, 2);
	(void)live_collect(cm, table);
	store_every(mem, 3, 6);
	(void)live_collect(cm, table);
	nothing_lost(mem, 3);
}

/* R12: a merged page has lost its soft-dirty bit. */
static void not_asking_ksm_loses(void)
{
	size_t lost = 0;

	set_up_twins();
	store_every(mem, 2, 5);
	store_every(twin, 2, 5);
	wait_until_merged();
	break_by_not_asking_ksm(broken_os_begin());
	(void)live_collect(cm, table);
	broken_os_end();
	for (size_t i = 0; i < CARDS; i += 2)
		lost += !cardmark_table_is_dirty(table, mem + i * live_card);
	tap_note("%zu of %d written cards lost", lost, CARDS / 2);
	CHECK(lost > 0);
}

/* ---- Huge TLB pages ------------------------------------------------------------- */

static size_t huge_page(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Hugepagesize: %lu kB", &kib) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return (size_t)kib << 10;
}

/* Ordinary memory with a huge TLB page behind it. */
static void huge_tlb_pages_are_refused_whole(void)
{
	static const unsigned flags[] = { 0, CARDMARK_TRACK_PRIVATE, CARDMARK_TRACK_FILE };
	size_t huge = huge_page();
	unsigned char *area, *big;

	if (huge == 0)
		lacks("hugetlb", "the kernel has no huge TLB pages");
	area = mmap(NULL, 3 * huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	live_own_memory(area, 3 * huge);
	big = area + huge + (huge - (uintptr_t)area % huge) % huge;
	if (mmap(big, huge, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == MAP_FAILED)
		lacks("hugetlb", "no huge TLB page is reserved");
	mem = live_map_at(big - CARDS * live_card, CARDS);
	(void)madvise(mem, CARDS * live_card, MADV_NOHUGEPAGE);
	memset(mem, 1, CARDS * live_card);
	memset(big, 1, huge);
	cm = live_open();
	table = live_table(cm);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		/* With CARDMARK_TRACK_FILE that flag is refused first. */
		bool other =
			flags[i] == CARDMARK_TRACK_FILE && live_backend == CARDMARK_BACKEND_UFFD;
		int error = other ? -EINVAL : -ENOTSUP;
		CHECK_EQ(cardmark_track(cm, big, huge, flags[i]), error);
		CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card + huge, flags[i]), error);
		CHECK_EQ(live_stats(cm).ranges, 0);
		CHECK(!says_tracked(cm, mem, live_card));
	}
	memset(big, 2, huge);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	memset(big, 3, huge);
	write_some(0, 3);
	exact_then_clean();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "written, then swapped out", written_then_swapped_out, 0, 0 },
		{ "swapped out clean, then written", swapped_out_clean_then_written, 0, 0 },
		{ "written, swapped out, read in", written_swapped_out_and_read_in, 0, 0 },
		{ "armed while swapped out, then written", armed_while_swapped_out_then_written, 0,
		  0 },
		{ "tracked while swapped out", tracked_while_swapped_out, 0, 0 },
		{ "swap: any order of writes, swapping and questions", any_order, 0, 0 },
		{ "R5: a fork child with swapped memory", a_fork_child_with_swapped_memory, 0, 0 },
		{ "a query for swapped cards", a_query_for_swapped_cards, 0, 0 },
		{ "shared memory swapped out", shared_memory_swapped_out, CARDMARK_CAP_SHARED, 0 },
		{ "R6: masks without SWAPPED lose writes", masks_without_swapped_lose, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(SOFTDIRTY) | LIVE_ONLY(UFFD) },
		{ "huge TLB pages are refused, nothing half-tracked",
		  huge_tlb_pages_are_refused_whole, 0, 0 },
		{ "KSM: merged, then written", merged_then_written, 0, 0 },
		{ "KSM: merged, armed, then written", merged_armed_and_written, 0, 0 },
		{ "KSM: written, then merged", written_then_merged, 0, 0 },
		{ "KSM: written, merged, unmerged", written_merged_and_unmerged, 0, 0 },
		{ "R12: who does not ask KSM loses writes", not_asking_ksm_loses, 0,
		  LIVE_ONLY(SOFTDIRTY) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
