/* SPDX-License-Identifier: MIT
 *
 * Description: what can happen to the mappings of tracked memory: unmapped, mapped over, moved,
 * grown, protected, and advised. With a negative control. */
#include "tests/soundness/events/events.h"
#include "tests/support/backends.h"

#include "tests/support/broken_os.h"

#include <errno.h>

#ifndef MADV_POPULATE_READ /* 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* 6.1 */
#define MADV_COLLAPSE 25
#endif
#define MADV_GUARD_INSTALL_ 102 /* 6.13 */
#define MADV_GUARD_REMOVE_ 103

/* ---- Mappings -------------------------------------------------------------------- */

#define FIRST 16
#define N 8

static void data_came(size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		want[i] = true;
}

static const char *unmapped(void)
{
	write_card(2);
	CHECK(munmap(card_at(FIRST), N * live_card) == 0);
	memset(usable + FIRST, 0, N * sizeof *usable);
	write_card(40);
	return NULL;
}

static const char *unmapped_and_mapped(void)
{
	CHECK(munmap(card_at(FIRST), N * live_card) == 0);
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	data_came(FIRST, N);
	return NULL;
}

static const char *mapped_over(void)
{
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	data_came(FIRST, N);
	return NULL;
}

static const char *moved_onto(void)
{
	unsigned char *other = live_map(N);

	memset(other, 3, N * live_card);
	CHECK(mremap(other, N * live_card, N * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(FIRST)) == card_at(FIRST));
	data_came(FIRST, N);
	return NULL;
}

static const char *armed_moved_onto(void)
{
	CHECK(mremap(card_at(40), N * live_card, N * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(FIRST)) == card_at(FIRST));
	memset(usable + 40, 0, N * sizeof *usable);
	data_came(FIRST, N);
	return NULL;
}

/* The program that grew the memory tracks the new part. */
static const char *grown(void)
{
	unsigned char *area =
		mmap(NULL, 3 * N * live_card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *p;

	live_own_memory(area, 3 * N * live_card);
	p = live_map_at(area, N);
	memset(p, 1, N * live_card);
	CHECK(munmap(area + N * live_card, 2 * N * live_card) == 0);
	CHECK_EQ(cardmark_track(cm, p, N * live_card, 0), 0);
	(void)live_collect(cm, table);
	if (mremap(p, N * live_card, 2 * N * live_card, 0) != p)
		return "mremap could not grow in place";
	live_store(p + live_card, 5);
	live_store(p + (N + 1) * live_card, 5);
	CHECK_EQ(cardmark_track(cm, p + N * live_card, N * live_card, 0), 0);
	(void)cardmark_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + live_card));
	CHECK(cardmark_table_is_dirty(table, p + (N + 1) * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 2 * N * live_card), 0);
	write_card(3);
	return NULL;
}

static const char *protection_cycle(void)
{
	write_card(FIRST);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_NONE) == 0);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_READ) == 0);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_READ | PROT_WRITE) == 0);
	write_card(FIRST + 3);
	return NULL;
}

/* ---- Advice ----------------------------------------------------------------------- */

static const char *advise(int advice, size_t first, size_t n)
{
	if (madvise(card_at(first), n * live_card, advice) == 0)
		return NULL;
	return errno == EINVAL ? "this kernel does not know the advice" : "the kernel refused";
}

static const char *dontneed(void)
{
	return advise(MADV_DONTNEED, FIRST, N);
}

static const char *dontneed_and_written(void)
{
	const char *reason = advise(MADV_DONTNEED, FIRST, N);

	write_card(FIRST + 1);
	return reason;
}

static const char *free_and_written(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_FREE, FIRST, N);
	write_card(FIRST + 1);
	return reason;
}

static const char *populate_write(void)
{
	/* Makes pages writable as a store would: they may count as written. */
	const char *reason = advise(MADV_POPULATE_WRITE, FIRST, N);

	write_card(FIRST + 1);
	return reason;
}

static const char *populate_read_of_holes(void)
{
	const char *reason = advise(MADV_DONTNEED, FIRST, N);

	if (reason == NULL)
		reason = advise(MADV_POPULATE_READ, FIRST, N);
	write_card(FIRST + 1);
	return reason;
}

static const char *pageout(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_PAGEOUT, FIRST, N); /* swaps, where there is swap */
	write_card(FIRST + 1);
	return reason;
}

static const char *mergeable(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_MERGEABLE, 0, CARDS);
	write_card(FIRST + 1);
	if (reason == NULL)
		reason = advise(MADV_UNMERGEABLE, 0, CARDS);
	write_card(FIRST + 2);
	return reason;
}

static const char *guarded(void)
{
	const char *reason;

	write_card(2);
	reason = advise(MADV_GUARD_INSTALL_, FIRST, N);
	if (reason != NULL)
		return reason;
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(2)));
	want[2] = false;
	CHECK(advise(MADV_GUARD_REMOVE_, FIRST, N) == NULL);
	write_card(FIRST + 1);
	return NULL;
}

static const char *locked(void)
{
	if (mlock(card_at(FIRST), N * live_card) != 0)
		return "mlock is refused";
	write_card(FIRST + 1);
	CHECK(munlock(card_at(FIRST), N * live_card) == 0);
	write_card(FIRST + 2);
	return NULL;
}

/* A tracker of its own: two huge pages' worth. */
static const char *huge_pages(void)
{
	const size_t huge = (size_t)2 << 20;
	unsigned char *area =
		mmap(NULL, 4 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *p = (unsigned char *)(((uintptr_t)area + huge - 1) & ~(huge - 1));
	int collapsed;

	live_own_memory(area, 4 * huge);
	if (madvise(p, 2 * huge, MADV_HUGEPAGE) != 0)
		return "there are no huge pages here";
	memset(p, 1, 2 * huge);
	CHECK_EQ(cardmark_track(cm, p, 2 * huge, 0), 0);
	(void)live_collect(cm, table);
	live_store(p + 5 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 5 * live_card));
	collapsed = madvise(p, 2 * huge, MADV_COLLAPSE);
	tap_note("MADV_COLLAPSE of armed memory: %s", collapsed == 0 ? "done" : "refused");
	live_store(p + 7 * live_card, 9);
	live_store(p + huge + 7 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 7 * live_card));
	CHECK(cardmark_table_is_dirty(table, p + huge + 7 * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 2 * huge), 0);
	write_card(3);
	return NULL;
}

static const char *huge_tlb(void)
{
	const size_t huge = (size_t)2 << 20;
	unsigned char *p = mmap(NULL, huge, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		return "no huge TLB pages are set aside";
	live_own_memory(p, huge);
	CHECK_EQ(cardmark_track(cm, p, huge, 0), -ENOTSUP);
	CHECK(!says_tracked(cm, p, live_card));
	write_card(3);
	return NULL;
}

static const struct event all[] = {
	{ "munmap under us", unmapped, CARDMARK_CAP_REMAP, PRIVATE },
	{ "munmap, then mmap in the place", unmapped_and_mapped, CARDMARK_CAP_REMAP, PRIVATE },
	{ "MAP_FIXED over it", mapped_over, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap onto it", moved_onto, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap of armed memory onto it", armed_moved_onto, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap that grows", grown, CARDMARK_CAP_MPROTECT, PRIVATE },
	{ "mprotect cycle", protection_cycle, CARDMARK_CAP_MPROTECT, PRIVATE },
	{ "MADV_DONTNEED", dontneed, 0, PRIVATE },
	{ "MADV_DONTNEED, then a store", dontneed_and_written, 0, PRIVATE },
	{ "MADV_FREE, then a store", free_and_written, 0, PRIVATE },
	{ "MADV_POPULATE_WRITE, then a store", populate_write, CARDMARK_CAP_KERNEL_WRITES,
	  PRIVATE },
	{ "MADV_POPULATE_READ of holes, then a store", populate_read_of_holes, 0, PRIVATE },
	{ "MADV_PAGEOUT, then a store", pageout, 0, PRIVATE },
	{ "MADV_MERGEABLE and back", mergeable, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "guard pages and back", guarded, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mlock", locked, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "huge pages, MADV_COLLAPSE", huge_pages, 0, PRIVATE },
	{ "huge TLB pages are refused", huge_tlb, 0, PRIVATE },
};

/* A scan that does not ask whether the memory is registered (R2). */
static void a_broken_rule_shows(void)
{
	size_t lost = 0;

	break_by_not_checking_wpasync(broken_os_begin());
	set_up();
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	for (int round = 0; round < 2; round++) {
		write_card(FIRST);
		(void)live_collect(cm, table);
		lost += !cardmark_table_is_dirty(table, card_at(FIRST));
	}
	broken_os_end();
	tap_note("%zu writes lost", lost);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	static const struct live_case control = {
		"control: without CHECK_WPASYNC a mapping over it loses writes",
		a_broken_rule_shows, 0, LIVE_ONLY(PAGEMAP)
	};

	return events_main(argc, argv, all, sizeof all / sizeof *all, &control);
}
