/* SPDX-License-Identifier: MIT
 *
 * Description: memory that changes under a tracker: replaced mappings, dropped
 * contents, protection cycles, private and shared file memory. */
#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* [from, to) was replaced by memory that holds data: all of it must be dirty, and a write elsewhere
 * not lost; the next collect is exact again. */
static void replaced(size_t from, size_t to)
{
	live_store(mem, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, mem));
	for (size_t i = from; i < to; i++)
		CHECK(cardmark_table_is_dirty(table, mem + i * live_card));
	(void)live_collect(cm, table);
	memset(want, 0, sizeof want);
	live_expect(table, mem, CARDS, want);
	for (size_t i = from - 2; i < to + 2; i += 3) {
		live_store(mem + i * live_card, 7);
		want[i] = true;
	}
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
}

static void unmapped_and_mapped_again(void)
{
	set_up();
	CHECK(munmap(mem + 20 * live_card, 8 * live_card) == 0);
	(void)live_map_at(mem + 20 * live_card, 8);
	memset(mem + 20 * live_card, 2, 8 * live_card);
	replaced(20, 28);
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK(live_stats(cm).rearmed_ranges > 0);
}

static void mapped_over(void)
{
	set_up();
	(void)live_map_at(mem + 10 * live_card, 30);
	memset(mem + 10 * live_card, 2, 30 * live_card);
	replaced(10, 40);
}

static void moved_there_by_mremap(void)
{
	unsigned char *other;

	set_up();
	other = live_map(16);
	memset(other, 3, 16 * live_card);
	CHECK(mremap(other, 16 * live_card, 16 * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     mem + 30 * live_card) == mem + 30 * live_card);
	CHECK(mem[31 * live_card] == 3);
	replaced(30, 46);
}

/* The moved memory is armed itself. Before 6.12.11 it stayed armed, though it was no longer
 * registered. */
static void moved_from_one_place_to_another(void)
{
	set_up();
	CHECK(mremap(mem + 4 * live_card, 8 * live_card, 8 * live_card,
		     MREMAP_MAYMOVE | MREMAP_FIXED, mem + 30 * live_card) == mem + 30 * live_card);
	(void)live_map_at(mem + 4 * live_card, 8);
	memset(mem + 4 * live_card, 2, 8 * live_card);
	live_store(mem + 31 * live_card, 5);
	replaced(30, 38);
}

/* The same from another range. */
static unsigned char *armed_elsewhere(size_t cards)
{
	unsigned char *other = live_map(cards);

	memset(other, 3, cards * live_card);
	CHECK_EQ(cardmark_track(cm, other, cards * live_card, 0), 0);
	(void)live_collect(cm, table);
	(void)live_collect(cm, table);
	live_expect_clean(table, other, cards);
	return other;
}

static void move(unsigned char *from, size_t cards, unsigned char *to)
{
	CHECK(mremap(from, cards * live_card, cards * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     to) == to);
}

static void armed_memory_moved_there(void)
{
	set_up();
	move(armed_elsewhere(16), 16, mem + 30 * live_card);
	CHECK(mem[31 * live_card] == 3);
	replaced(30, 46);
}

/* The same with the stores between the move and the first question. */
static void armed_memory_moved_there_and_written(void)
{
	unsigned char *other;

	set_up();
	other = armed_elsewhere(16);
	move(other, 16, mem + 30 * live_card);
	for (size_t i = 30; i < 46; i += 2)
		live_store(mem + i * live_card, 5);
	replaced(30, 46);
}

/* R9. If the kernel leaves the bits, a library that believes them loses cards. */
static void believing_moved_bits_loses(void)
{
	size_t lost = 0;

	set_up();
	move(armed_elsewhere(16), 16, mem + 30 * live_card);
	for (size_t i = 30; i < 46; i++)
		live_store(mem + i * live_card, 5);
	break_by_believing_every_bit(broken_os_begin());
	(void)live_collect(cm, table);
	broken_os_end();
	for (size_t i = 30; i < 46; i++)
		lost += !cardmark_table_is_dirty(table, mem + i * live_card);
	tap_note("%zu of 16 moved and written cards lost", lost);
	if (lost == 0 && !tap_required("stale-bits"))
		tap_skip("this kernel takes the bits off what mremap moves");
	CHECK(lost > 0);
}

/* Moved to memory that is not tracked yet, with or without writes, and tracked there. */
static void tracked_where_it_was_moved_to(void)
{
	unsigned char *other, *there;
	bool some[16];

	set_up();
	other = armed_elsewhere(16);
	there = live_map(16);
	move(other, 16, there);
	for (size_t i = 0; i < 16; i += 2)
		live_store(there + i * live_card, 5);
	(void)cardmark_untrack(cm, other, 16 * live_card);
	CHECK_EQ(cardmark_track(cm, there, 16 * live_card, 0), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, there, 16);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < 16; i++) {
		if (i % 3 == 0)
			live_store(there + i * live_card, 6);
		some[i] = i % 3 == 0;
	}
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, there, 16, some);
	live_expect_clean(table, mem, CARDS);
}

static void an_unmapped_piece_hides_nothing_else(void)
{
	set_up();
	CHECK(munmap(mem + 20 * live_card, 8 * live_card) == 0);
	live_store(mem + 5 * live_card, 2);
	live_store(mem + 50 * live_card, 2);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, mem + 5 * live_card));
	CHECK(cardmark_table_is_dirty(table, mem + 50 * live_card));
	CHECK_EQ(cardmark_untrack(cm, mem + 20 * live_card, 8 * live_card), 0);
	(void)live_collect(cm, table);
	live_store(mem + 50 * live_card, 3);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	for (size_t i = 0; i < CARDS; i++)
		want[i] = i == 50;
	live_expect(table, mem, 20, want);
	live_expect(table, mem + 28 * live_card, CARDS - 28, want + 28);
}

/* Any backend: untrack, remap, track. */
static void tracked_again_by_hand(void)
{
	set_up();
	CHECK_EQ(cardmark_untrack(cm, mem + 20 * live_card, 8 * live_card), 0);
	CHECK(munmap(mem + 20 * live_card, 8 * live_card) == 0);
	(void)live_map_at(mem + 20 * live_card, 8);
	memset(mem + 20 * live_card, 2, 8 * live_card);
	CHECK_EQ(cardmark_track(cm, mem + 20 * live_card, 8 * live_card, 0), 0);
	replaced(20, 28);
}

static void replaced_and_tracked_over(void)
{
	set_up();
	(void)live_map_at(mem + 20 * live_card, 8);
	memset(mem + 20 * live_card, 2, 8 * live_card);
	CHECK_EQ(cardmark_track(cm, mem + 20 * live_card, 8 * live_card, 0), 0);
	replaced(20, 28);
}

static void a_write_after_dontneed_is_caught(void)
{
	set_up();
	CHECK(madvise(mem + 8 * live_card, 8 * live_card, MADV_DONTNEED) == 0);
	(void)live_collect(cm, table); /* dropped contents may or may not count */
	for (size_t i = 8; i < 16; i += 2) {
		live_store(mem + i * live_card, 4);
		want[i] = true;
	}
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	CHECK(madvise(mem + 40 * live_card, live_card, MADV_DONTNEED) == 0);
	live_store(mem + 40 * live_card, 4);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, mem + 40 * live_card));
}

static void protection_cycles_keep_bits(void)
{
	set_up();
	live_store(mem + 3 * live_card, 2);
	CHECK(mprotect(mem, 8 * live_card, PROT_NONE) == 0);
	CHECK(mprotect(mem, 8 * live_card, PROT_READ | PROT_WRITE) == 0);
	CHECK(mprotect(mem + 20 * live_card, 8 * live_card, PROT_READ) == 0);
	live_store(mem + 30 * live_card, 2);
	want[3] = want[30] = true;
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	CHECK(mprotect(mem + 20 * live_card, 8 * live_card, PROT_READ | PROT_WRITE) == 0);
	memset(want, 0, sizeof want);
	live_store(mem + 4 * live_card, 3); /* armed by the collect, cycled or not */
	live_store(mem + 22 * live_card, 3);
	want[4] = want[22] = true;
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

static unsigned char *map_file(int flags)
{
	int fd = memfd_create("live", MFD_CLOEXEC);
	unsigned char *p;

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	p = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE, flags, fd, 0);
	(void)close(fd);
	live_own_memory(p, CARDS * live_card);
	return p;
}

static void exact_on(unsigned char *p)
{
	cm = live_open();
	table = live_table(cm);
	memset(want, 0, sizeof want);
	memset(p, 1, CARDS / 2 * live_card);
	CHECK_EQ(cardmark_track(cm, p, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS / 2; i++)
		CHECK(cardmark_table_is_dirty(table, p + i * live_card));
	for (unsigned round = 0; round < 3; round++) {
		memset(want, 0, sizeof want);
		for (size_t i = round; i < CARDS; i += 5 + round) {
			live_store(p + i * live_card, (unsigned char)(5 + round));
			want[i] = true;
		}
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect(table, p, CARDS, want);
	}
	(void)live_collect(cm, table);
	live_expect_clean(table, p, CARDS);
}

/* Like the data of a shared library: pages of a file, private once written. */
static void private_file_pages(void)
{
	exact_on(map_file(MAP_PRIVATE));
}

static void shared_memory(void)
{
	unsigned char *p = map_file(MAP_SHARED);
	struct cardmark *probe = live_open();
	int error = cardmark_track(probe, p, CARDS * live_card, 0);

	cardmark_untrack(probe, p, CARDS * live_card);
	if (error == -EINVAL || error == -ENOTSUP)
		tap_skip("shared memory is refused: %s", cardmark_last_error());
	CHECK_EQ(error, 0);
	exact_on(p);
}

static void shared_memory_is_refused(void)
{
	unsigned char *p = map_file(MAP_SHARED);

	cm = live_open();
	if (live_can(CARDMARK_CAP_SHARED))
		return;
	CHECK_EQ(cardmark_track(cm, p, CARDS * live_card, 0), -EINVAL);
	CHECK_EQ(live_stats(cm).ranges, 0);
	memset(p, 1, CARDS * live_card);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "unmapped and mapped again: all dirty, then exact", unmapped_and_mapped_again,
		  CARDMARK_CAP_REMAP, 0 },
		{ "MAP_FIXED over it: all dirty, then exact", mapped_over, CARDMARK_CAP_REMAP, 0 },
		{ "mremap onto it: all dirty, then exact", moved_there_by_mremap,
		  CARDMARK_CAP_REMAP, 0 },
		{ "mremap of armed memory onto it: the same", moved_from_one_place_to_another,
		  CARDMARK_CAP_REMAP, 0 },
		{ "mremap from another range onto it: the same", armed_memory_moved_there,
		  CARDMARK_CAP_REMAP, 0 },
		{ "the same, and written at once", armed_memory_moved_there_and_written,
		  CARDMARK_CAP_REMAP, 0 },
		{ "R9: believing moved bits loses writes", believing_moved_bits_loses, 0,
		  LIVE_ONLY(UFFD) },
		{ "armed memory moved away and tracked there", tracked_where_it_was_moved_to,
		  CARDMARK_CAP_REMAP, 0 },
		{ "an unmapped piece hides nothing else", an_unmapped_piece_hides_nothing_else,
		  CARDMARK_CAP_REMAP, 0 },
		{ "untracked, remapped, tracked again", tracked_again_by_hand, 0, 0 },
		{ "remapped and tracked over", replaced_and_tracked_over, 0, 0 },
		{ "a write after MADV_DONTNEED is caught", a_write_after_dontneed_is_caught, 0, 0 },
		{ "protection cycles keep bits", protection_cycles_keep_bits, CARDMARK_CAP_MPROTECT,
		  0 },
		{ "private pages of a file", private_file_pages, CARDMARK_CAP_SHARED, 0 },
		{ "shared memory", shared_memory, CARDMARK_CAP_SHARED, 0 },
		{ "shared memory is refused where it can't be watched", shared_memory_is_refused, 0,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
