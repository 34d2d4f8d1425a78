/* SPDX-License-Identifier: MIT
 *
 * Description: calls that may run while the world is stopped use no malloc: track, untrack,
 * collect, scan, table calls, and the traps, counted by a malloc of our own. Table memory is
 * our own too, and backends that promise no helper thread have none. */
#include "tests/support/backends.h"
#include "tests/support/live.h"
#include "tests/support/smaps.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic uint64_t mallocs;

#if !TAP_ASAN && !TAP_TSAN && defined(__GLIBC__)
#define COUNTS_MALLOC 1
/* glibc's own entries behind the names. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t m);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static void count(void)
{
	atomic_fetch_add_explicit(&mallocs, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
	count();
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t m)
{
	count();
	return __libc_calloc(n, m);
}

void *realloc(void *p, size_t n)
{
	count();
	return __libc_realloc(p, n);
}

void free(void *p)
{
	if (p != NULL)
		count();
	__libc_free(p);
}
#else
#define COUNTS_MALLOC 0
#endif

#define CARDS 2000

static void check_mallocs(unsigned threads, bool verify)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	static struct cardmark_region regions[64];
	unsigned char *mem = live_map(CARDS);
	struct cardmark *cm;
	struct cardmark_table *table, *other;
	struct cardmark_query q;
	struct cardmark_run run = { 0, 0 };
	struct cardmark_stats stats;
	void *volatile some;
	uint64_t before;
	size_t bad = 0;

	if (!COUNTS_MALLOC)
		tap_skip("malloc is the sanitizer's");
	/* Check that it counts. */
	before = atomic_load(&mallocs);
	some = malloc(10);
	free(some);
	if (atomic_load(&mallocs) == before)
		tap_skip("another malloc is in place"); /* valgrind's */

	options.threads = threads;
	options.chunk_bytes = threads > 1 ? 16 * live_card : 0; /* something to share */
	options.verify = verify ? CARDMARK_VERIFY_HASH : CARDMARK_VERIFY_OFF;
	cm = live_open_options(&options);
	table = live_table(cm);
	other = live_table(cm);
	before = atomic_load(&mallocs);
	for (size_t i = 0; i < CARDS; i += 2)
		bad += cardmark_track(cm, mem + i * live_card, live_card, 0) != 0;
	bad += cardmark_track(cm, mem, CARDS * live_card, 0) != 0;
	bad += cardmark_track(cm, mem + 1, live_card, 0) != -EINVAL;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = round; i < CARDS; i += 3)
			live_store(mem + i * live_card, 1);
		(void)cardmark_collect(cm, table);
		(void)cardmark_collect(cm, other);
		q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, regions, 64);
		bad += cardmark_scan(cm, &q) != 0;
		bad += cardmark_table_union(table, other) != 0;
		run.end = 0;
		while (cardmark_table_next(table, run.end, UINTPTR_MAX, &run))
			;
		cardmark_table_clear(table);
		bad += cardmark_table_clear_range(table, mem, live_card) != 0;
		bad += cardmark_untrack(cm, mem + 9 * live_card, live_card) != 0;
		bad += cardmark_track(cm, mem + 9 * live_card, live_card, 0) != 0;
		(void)says_tracked(cm, mem, live_card);
		stats.size = sizeof stats;
		bad += cardmark_stats(cm, &stats) != 0;
	}
	bad += cardmark_untrack(cm, mem, CARDS * live_card) != 0;
	CHECK_EQ(atomic_load(&mallocs) - before, 0);
	CHECK_EQ(bad, 0);
}

static void no_malloc_where_the_world_may_be_stopped(void)
{
	check_mallocs(1, false);
}

static void no_malloc_where_threads_share_a_collect(void)
{
	check_mallocs(4, false);
}

static void no_malloc_in_verify_mode_either(void)
{
	check_mallocs(1, true);
}

static void collect_with_closed_files(void *arg)
{
	unsigned char *mem = live_map(CARDS);
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);
	uint64_t before;

	(void)arg;
	live_store(mem, 1);
	CHECK(syscall(SYS_close_range, 3u, ~0u, 0u) == 0);
	before = atomic_load(&mallocs);
	(void)cardmark_collect(cm, table);
	CHECK_EQ(atomic_load(&mallocs) - before, 0);
	CHECK(cardmark_table_is_dirty(table, mem));
	CHECK(live_stats(cm).reopened > 0);
}

static void opening_again_calls_no_malloc(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	CHECK_EQ(tap_in_child(collect_with_closed_files, NULL), 0);
}

static size_t threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t n = 0;

	CHECK(dir != NULL);
	for (const struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static void no_thread_and_no_mapping_more_than_it_needs(void)
{
	unsigned char *mem = live_map(CARDS);
	size_t before = threads_now();
	struct cardmark_table *table;
	struct cardmark *cm = live_armed(mem, CARDS, &table);

	for (size_t i = 0; i < CARDS; i += 2)
		live_store(mem + i * live_card, 1);
	CHECK_EQ(threads_now(), before);
	CHECK_EQ(live_stats(cm).faults, 0);
}

/* R14: a table in a tracked mapping would report itself dirty for ever. */
static void tables_are_never_in_tracked_memory(void)
{
	unsigned char *mem[16];
	struct cardmark *cm = live_open();
	struct cardmark_table *table = live_table(cm);

	for (size_t i = 0; i < 16; i++) {
		mem[i] = live_map(8);
		memset(mem[i], 1, 8 * live_card);
		CHECK_EQ(cardmark_track(cm, mem[i], 8 * live_card, 0), 0);
		(void)live_table(cm);
	}
	for (unsigned round = 0; round < 3; round++)
		(void)live_collect(cm, table);
	for (size_t i = 0; i < 16; i++)
		live_expect_clean(table, mem[i], 8);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(cardmark_table_count(table), 0);
}

static size_t large_without_flag(void)
{
	static struct smaps_vma v[SMAPS_MAX];
	size_t count = 0, n = smaps_read(getpid(), v);

	CHECK(n > 0);
	for (size_t i = 0; i < n; i++)
		count += v[i].end - v[i].start >= (size_t)1 << 20 && !v[i].no_huge;
	return count;
}

/* They are sparse: where huge pages are on for everyone, a byte would cost 2 MiB. */
static void tables_take_no_huge_pages(void)
{
	struct cardmark *cm;
	unsigned char *mem;
	size_t before;
	void *other;

	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
		tap_skip("this kernel has no transparent huge pages");
	mem = live_map(CARDS);
	before = large_without_flag();
	cm = live_open_verifying(0);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, live_table(cm));
	CHECK_EQ(large_without_flag(), before);
	/* Memory without the flag is counted. */
	other = mmap(NULL, (size_t)4 << 20, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	live_own_memory(other, (size_t)4 << 20);
	CHECK_EQ(large_without_flag(), before + 1);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "no malloc where the world may be stopped",
		  no_malloc_where_the_world_may_be_stopped, 0, 0 },
		{ "no malloc where threads share a collect",
		  no_malloc_where_threads_share_a_collect, 0, LIVE_ONLY(PAGEMAP) },
		{ "no malloc in verify mode either", no_malloc_in_verify_mode_either, 0, 0 },
		{ "no malloc to open descriptors again", opening_again_calls_no_malloc, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(SOFTDIRTY) },
		{ "no helper thread and no trap", no_thread_and_no_mapping_more_than_it_needs,
		  CARDMARK_CAP_NO_TRAP, 0 },
		{ "R14: tables are never in tracked memory", tables_are_never_in_tracked_memory, 0,
		  0 },
		/* The uffd backend starts a thread, with a stack. */
		{ "tables take no huge pages", tables_take_no_huge_pages, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(SOFTDIRTY) | LIVE_ONLY(MPROTECT) |
			  LIVE_ONLY(ALLDIRTY) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
