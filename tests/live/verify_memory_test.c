/* SPDX-License-Identifier: MIT
 *
 * Description: a tracker that verifies itself leaves memory as it was, reads memory that the
 * program may not read, and works on if its descriptors are closed. */
#include "tests/support/verifying.h"

#include "lib/os/os.h"
#include "tests/support/broken_os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void pages_without_access_are_read(void)
{
	set_up_verifying(0);
	write_card(5);
	CHECK(mprotect(card_at(4), 4 * live_card, PROT_NONE) == 0);
	(void)live_collect(cm, table);
	CHECK(mprotect(card_at(4), 4 * live_card, PROT_READ | PROT_WRITE) == 0);
	CHECK_EQ(live_stats(cm).verify_changed, 1);
	CHECK_EQ(live_stats(cm).verify_checked, 2 * CARDS);
	CHECK_EQ(missed(), 0);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif

static void cards_that_cannot_be_read_are_left_out(void)
{
	set_up_verifying(0);
	if (madvise(card_at(5), 2 * live_card, MADV_GUARD_INSTALL) != 0)
		tap_skip("this kernel has no guard pages");
	write_card(4);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_checked, 2 * CARDS - 2);
	CHECK_EQ(live_stats(cm).verify_changed, 2);
	CHECK_EQ(missed(), 0);
}

static void a_piece_that_was_unmapped(void)
{
	set_up_verifying(0);
	CHECK(munmap(card_at(20), 4 * live_card) == 0);
	write_card(19);
	write_card(24);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	/* Where everything is reported, the unmapped cards are reported, too. */
	CHECK_EQ(live_stats(cm).verify_changed, live_can(CARDMARK_CAP_PRECISE) ? 2 : 6);
	(void)live_map_at(card_at(20), 4);
}

static size_t populated(const unsigned char *p, size_t cards)
{
	static uint64_t entry[512];
	int fd = cm_os_linux.open_self("pagemap", O_RDONLY);
	size_t n = 0;

	CHECK(fd >= 0);
	for (size_t at = 0; at < cards; at += 512) {
		uint64_t offset = ((uintptr_t)p / live_card + at) * 8;
		CHECK(cm_os_linux.pread(fd, entry, sizeof entry, offset) == sizeof entry);
		for (size_t i = 0; i < 512; i++)
			n += (entry[i] & (CM_PME_PRESENT | CM_PME_SWAPPED)) != 0;
	}
	CHECK(cm_os_linux.close(fd) == 0);
	return n;
}

static void holes_stay_holes(void)
{
	const size_t cards = ((size_t)1 << 30) / live_card;
	struct cardmark_stats s;

	mem = live_map(cards);
	write_card(0);
	live_store(card_at(cards / 2), 1);
	live_store(card_at(cards - 1), 1);
	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	for (int round = 0; round < 3; round++)
		(void)live_collect(cm, table);
	CHECK_EQ(populated(mem, cards), 3);
	/* A hole is known to be empty: data that appears there is a change. */
	live_store(card_at(cards / 4), 1);
	(void)live_collect(cm, table);
	s = live_stats(cm);
	CHECK_EQ(s.verify_checked, 3 * 3 + 4);
	CHECK_EQ(s.verify_changed, 1);
	CHECK_EQ(s.verify_missed, 0);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(s.verify_false, 0);
	else
		CHECK_EQ(s.verify_false, 3 * cards - 1);
}

/* The page table of shared memory has markers where no access ever was. */
static void holes_of_shared_memory_too(void)
{
	const size_t cards = 4096;
	int fd = memfd_create("verify", MFD_CLOEXEC);
	struct stat before, after;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)(cards * live_card)) == 0);
	mem = mmap(NULL, cards * live_card, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	live_own_memory(mem, cards * live_card);
	live_store(card_at(0), 1);
	live_store(card_at(cards / 2), 1);
	/* In the file, not in the page table: verify does not know it, so it can't be a
	 * change. */
	CHECK(pwrite(fd, "content", 7, 100 * (off_t)live_card) == 7);
	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	CHECK(fstat(fd, &before) == 0);
	for (int round = 0; round < 3; round++)
		(void)live_collect(cm, table);
	live_store(card_at(cards / 2), 7);
	(void)live_collect(cm, table);
	CHECK(fstat(fd, &after) == 0);
	CHECK_EQ(after.st_blocks, before.st_blocks);
	CHECK_EQ(live_stats(cm).verify_checked, 4 * 2);
	CHECK_EQ(*(volatile unsigned char *)card_at(100), 'c');
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_checked, 4 * 2 + 3);
	CHECK_EQ(live_stats(cm).verify_changed, 1);
	CHECK_EQ(missed(), 0);
	CHECK(close(fd) == 0);
}

static void descriptors_that_the_program_closes(void)
{
	int fd = -1;

	set_up_verifying(0);
	CHECK_EQ(descriptors("/mem", &fd), 1);
	CHECK(close(fd) == 0);
	write_card(6);
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_checked, 2 * CARDS);
	CHECK_EQ(live_stats(cm).verify_changed, 1);
	CHECK_EQ(missed(), 0);
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(descriptors("/mem", &fd), 0);
	CHECK_EQ(descriptors("/pagemap", &fd), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
	live_clean_up();
	CHECK_EQ(descriptors("/mem", &fd), 0);
	CHECK_EQ(descriptors("/pagemap", &fd), 0);
}

static bool mem_is_refused;

static int open_but_not_mem(const char *name, int flags)
{
	return mem_is_refused && strcmp(name, "mem") == 0 ? -EMFILE
							  : cm_os_linux.open_self(name, flags);
}

/* After an unchecked report, the next one must not be blamed for its changes. */
static void descriptors_that_cannot_be_had(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *none;
	int fd = -1;

	/* Put in place before threads start, and kept until they have ended. */
	broken_os_begin()->open_self = open_but_not_mem;
	mem_is_refused = false;
	set_up_verifying(0);
	CHECK_EQ(descriptors("/mem", &fd), 1);
	CHECK(close(fd) == 0);
	mem_is_refused = true;
	write_card(6);
	(void)live_collect(cm, table);
	options.backend = CARDMARK_BACKEND_ALLDIRTY;
	options.verify = CARDMARK_VERIFY_HASH;
	CHECK_EQ(cardmark_open(&none, &options), -ENOMEM);
	CHECK(strstr(cardmark_last_error(), "/proc/self/mem") != NULL);
	mem_is_refused = false;
	CHECK_EQ(live_stats(cm).verify_checked, CARDS);
	(void)live_collect(cm, table);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_checked, 3 * CARDS);
	CHECK_EQ(live_stats(cm).verify_changed, 1);
	CHECK_EQ(missed(), 0);
	live_clean_up();
	broken_os_end();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "pages without access are read", pages_without_access_are_read,
		  CARDMARK_CAP_MPROTECT, 0 },
		{ "cards that cannot be read are left out", cards_that_cannot_be_read_are_left_out,
		  0, 0 },
		{ "a piece that was unmapped", a_piece_that_was_unmapped, CARDMARK_CAP_REMAP, 0 },
		{ "holes stay holes", holes_stay_holes, 0, 0 },
		{ "holes of shared memory too", holes_of_shared_memory_too, CARDMARK_CAP_SHARED,
		  0 },
		{ "descriptors that the program closes", descriptors_that_the_program_closes, 0,
		  0 },
		{ "descriptors that cannot be had", descriptors_that_cannot_be_had, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
