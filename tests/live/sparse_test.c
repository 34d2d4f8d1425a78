/* SPDX-License-Identifier: MIT
 *
 * Description: a tracker over 64 GiB of which a few thousand cards are ever touched:
 * exactly those are reported, no page tables are built for the holes, and kernel calls are
 * made only for the touched parts. Takes a seed. */
#include "tests/support/broken_os.h"
#include "tests/support/live.h"
#include "tests/support/random.h"
#include "tests/support/smaps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES ((size_t)64 << 30)
#define TOUCHED 3000
/* The limit for page tables of the library's own tables. One page table for each 2 MiB would
 * be 128 MiB. */
#define TABLES_KIB 512
/* Two for each cluster of touched cards, and one for each GiB, or where the windows of 2 MiB
 * are walked, one for each of 32768. */
#define CALLS 8192

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;
static size_t touched[TOUCHED];

static long page_tables(void)
{
	long kib = smaps_status_kib(getpid(), "VmPTE");

	CHECK(kib > 0);
	return kib;
}

static unsigned char *map_sparse(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		tap_skip("this machine does not let a process reserve %zu GiB", bytes >> 30);
	live_own_memory(p, bytes);
	CHECK(madvise(p, bytes, MADV_NOHUGEPAGE) == 0);
	return p;
}

static int ascending(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/* Does this kernel have PAGEMAP_SCAN? */
static bool kernel_scans(void)
{
	struct page_region region;
	struct pm_scan_arg arg = { .size = sizeof arg, .vec = (uintptr_t)&region, .vec_len = 1 };
	int fd = cm_os->open_self("pagemap", O_RDONLY);
	bool scans = cm_os->scan(fd, &arg) >= 0;

	(void)cm_os->close(fd);
	return scans;
}

/* The table has exactly the cards of touched[0], touched[step], ... */
static void expect_touched(size_t step)
{
	struct cardmark_run run;
	size_t n = 0;

	for (size_t i = 0; i < TOUCHED; i += step) {
		if (i > 0 && touched[i] == touched[i - step])
			continue;
		n++;
		CHECK(cardmark_table_is_dirty(table, mem + touched[i] * live_card));
	}
	CHECK_EQ(cardmark_table_count(table), n);
	CHECK(cardmark_table_next(table, 0, UINTPTR_MAX, &run));
	CHECK_EQ(run.start, (uintptr_t)mem + touched[0] * live_card);
}

static void reports_what_was_touched_and_builds_nothing(void)
{
	uint64_t rng = random_seed(NULL);
	struct cardmark_stats stats;
	long before, after;

	mem = map_sparse(BYTES);
	for (size_t i = 0; i < TOUCHED; i++) {
		/* Alone and in clusters. */
		touched[i] =
			i % 4 == 0 ? random_below(&rng, BYTES / live_card - 8) : touched[i - 1] + 1;
		live_store(mem + touched[i] * live_card, 1);
	}
	qsort(touched, TOUCHED, sizeof *touched, ascending);
	cm = live_open();
	table = live_table(cm);
	before = page_tables();
	CHECK_EQ(cardmark_track(cm, mem, BYTES, 0), 0);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	expect_touched(1); /* no card that was never touched */
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	CHECK_EQ(cardmark_table_count(table), 0);
	for (size_t i = 0; i < TOUCHED; i += 3)
		live_store(mem + touched[i] * live_card, 2);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	expect_touched(3);
	after = page_tables();
	stats = live_stats(cm);
	tap_note("64 GiB, %d cards touched: %.2f ms a collect, %llu kernel calls each; page "
		 "tables grew by %ld KiB, the tables are %llu KiB",
		 TOUCHED, (double)stats.collect_ns / 1e6 / (double)stats.collects,
		 (unsigned long long)(stats.kernel_calls / stats.collects), after - before,
		 (unsigned long long)(stats.table_bytes >> 10));
	CHECK(after - before <= TABLES_KIB);
	if (kernel_scans())
		CHECK(stats.kernel_calls / stats.collects < CALLS);
}

static long no_scan(int fd, struct pm_scan_arg *arg)
{
	(void)fd;
	(void)arg;
	return -ENOTTY;
}

/* As before Linux 6.7: every window of every hole is read. */
static void control_without_a_jump_each_hole_is_walked(void)
{
	struct cm_os *os = broken_os_begin();
	struct cardmark_stats stats;

	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("its monitor reads what this changes");
	os->scan = no_scan;
	mem = map_sparse(BYTES);
	live_store(mem + BYTES / 2, 1);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, BYTES, 0), 0);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	CHECK_EQ(cardmark_table_count(table), 1);
	stats = live_stats(cm);
	broken_os_end();
	CHECK(stats.kernel_calls > CALLS);
}

/* Treated like file memory, every hole is armed. */
static void control_holes_that_are_armed_cost_page_tables(void)
{
	const size_t bytes = (size_t)2 << 30;
	long before;

	mem = map_sparse(bytes);
	live_store(mem, 1);
	cm = live_open();
	table = live_table(cm);
	before = page_tables();
	CHECK_EQ(cardmark_track(cm, mem, bytes, CARDMARK_TRACK_FILE), 0);
	(void)live_collect(cm, table);
	CHECK(page_tables() - before > TABLES_KIB);
}

static const struct live_case cases[] = {
	{ "reports what was touched and builds nothing",
	  reports_what_was_touched_and_builds_nothing, CARDMARK_CAP_PRECISE, 0 },
	{ "control: without PAGEMAP_SCAN each hole is walked",
	  control_without_a_jump_each_hole_is_walked, 0,
	  LIVE_ONLY(SOFTDIRTY) | LIVE_ONLY(UFFD) | LIVE_ONLY(MPROTECT) },
	{ "control: holes that are armed cost page tables",
	  control_holes_that_are_armed_cost_page_tables, 0, LIVE_ONLY(PAGEMAP) },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
