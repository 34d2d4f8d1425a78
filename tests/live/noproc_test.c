/* SPDX-License-Identifier: MIT
 *
 * Description: programs that lose /proc, their last descriptor or their right to read /proc
 * while their memory is tracked: new mappings are found, and memory that can't be asked about
 * never counts as unmapped. */
#include "tests/support/backends.h"
#include "tests/support/taken_away.h"

#include <sys/mman.h>

/* ---- What is mapped anew --------------------------------------------------------------- */

static void scan_and_find(size_t i)
{
	struct cardmark_region v[CARDS];
	struct cardmark_query q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, v, CARDS);
	bool found = false;

	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	for (size_t k = 0; k < q.count; k++)
		found |= v[k].start <= (uintptr_t)card_at(i) && v[k].end > (uintptr_t)card_at(i);
	CHECK(found);
}

static void mapped_anew(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	(void)live_map_at(card_at(8), 8);
	for (size_t i = 8; i < 16; i++)
		write_and_find(i);
	scan_and_find(9);
	write_and_find(20);
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(mapped_anew)

static int file_of_cards(void)
{
	char path[] = "noproc-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK(unlink(path) == 0);
	CHECK(fchmod(fd, 0666) == 0); /* so that mincore(2) reports its pages */
	CHECK(ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	return fd;
}

/* Waits until the card is not in memory and has no page table entry. */
static void reclaim(size_t i)
{
	unsigned char in = 1;

	CHECK(msync(mem, CARDS * live_card, MS_SYNC) == 0);
	for (int tries = 0; (in & 1) != 0 && tries < 100; tries++) {
		(void)madvise(mem, CARDS * live_card, MADV_PAGEOUT);
		CHECK(mincore(card_at(i), live_card, &in) == 0);
	}
	if (in & 1)
		_exit(IN_CORE);
}

static bool reclaimed_write_is_found(void)
{
	int fd = file_of_cards();

	set_up();
	take_away();
	CHECK(mmap(mem, CARDS * live_card, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	      mem);
	live_store(card_at(2), 1);
	(void)live_collect(cm, table); /* finds the new mapping */
	CHECK(cardmark_table_is_dirty(table, card_at(2)));
	(void)live_collect(cm, table);
	live_store(card_at(3), 1);
	reclaim(3);
	(void)live_collect(cm, table);
	return cardmark_table_is_dirty(table, card_at(3));
}

static void replaced_by_a_file(void *arg)
{
	(void)arg;
	prepare();
	CHECK(reclaimed_write_is_found());
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(replaced_by_a_file)

/* Also where the kernel can be asked: uffd watches no file, and must not rely on its answer. */
static void replaced_by_a_file_with_all_there(void *arg)
{
	(void)arg;
	way = RIGHTS + 1; /* nothing is taken away */
	CHECK(reclaimed_write_is_found());
}

static void a_file_in_the_place_is_found_written(void)
{
	check_in(RIGHTS, replaced_by_a_file_with_all_there);
}

/* It could be registered, but would then read as a hole once it is swapped out. */
static void shared_memory_in_the_place_is_not_watched(void)
{
	set_up();
	CHECK(mmap(mem, CARDS * live_card, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	for (size_t round = 0; round < 3; round++) {
		live_store(card_at(3), 1);
		CHECK_EQ(live_collect(cm, table), CARDMARK_GUESSED);
		live_expect_dirty(table, mem, CARDS);
	}
}

/* The control: the library gets "nothing is mapped" instead of the error. */
static int vma_or_nothing(uintptr_t addr, struct cm_vma *out)
{
	if (cm_os_linux.vma_at(addr, out) < 0)
		*out = CM_NO_VMA;
	return 0;
}

static void taken_for_nothing(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	prepare();
	os->vma_at = vma_or_nothing;
	CHECK(!reclaimed_write_is_found());
}

static void control_an_error_taken_for_nothing_loses(void)
{
	check_in(PROC, taken_for_nothing);
	check_in(FILES, taken_for_nothing);
}

/* ---- Track ----------------------------------------------------------------------------- */

static bool needs_nothing(void)
{
	return !live_can(CARDMARK_CAP_PRECISE);
}

static void track_and_find(unsigned flags)
{
	unsigned char *p = live_map(8);

	memset(p, 1, 8 * live_card);
	CHECK_EQ(cardmark_track(cm, p, 8 * live_card, flags), 0);
	(void)live_collect(cm, table);
	live_store(p + 3 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 3 * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 8 * live_card), 0);
	memset(p, 2, 8 * live_card);
}

static void track_without(void *arg)
{
	unsigned char *p;
	int error;

	(void)arg;
	prepare();
	set_up();
	take_away();
	if (way == RIGHTS || needs_nothing()) {
		track_and_find(0);
	} else {
		p = live_map(4);
		error = cardmark_track(cm, p, 4 * live_card, 0);
		CHECK_EQ(error, way == PROC ? -ENOTSUP : -ENOMEM);
		CHECK(strstr(cardmark_last_error(), "/proc/self/maps") != NULL);
		CHECK(strstr(cardmark_last_error(), "nothing is mapped") == NULL);
		CHECK(!says_tracked(cm, p, live_card));
	}
	track_and_find(CARDMARK_TRACK_PRIVATE);
	if (live_can(CARDMARK_CAP_SHARED) || needs_nothing())
		track_and_find(CARDMARK_TRACK_FILE);
	/* What is tracked already is told from what the backend has made of it. */
	write_card(5);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, CARDMARK_TRACK_PRIVATE), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(7)));
	/* A hole is known without /proc. */
	p = live_map(8);
	CHECK(munmap(p + 4 * live_card, live_card) == 0);
	CHECK_EQ(cardmark_track(cm, p, 8 * live_card, CARDMARK_TRACK_PRIVATE), -ENOMEM);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(track_without)

/* Nothing is needed that it did not bring along. */
static void open_without(void *arg)
{
	(void)arg;
	prepare();
	take_away();
	cm = live_open();
	table = live_table(cm);
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card,
				needs_nothing() ? 0 : CARDMARK_TRACK_PRIVATE),
		 0);
	(void)live_collect(cm, table);
	write_card(3);
	collect_and_compare();
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
}
EACH_WAY(open_without)

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		WAYS("what is mapped anew is found", mapped_anew, CARDMARK_CAP_REMAP, 0),
		WAYS("a file in the place, written and reclaimed, is found", replaced_by_a_file, 0,
		     LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(ALLDIRTY)),
		{ "a file in the place, written and reclaimed, is found with all there",
		  a_file_in_the_place_is_found_written, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(ALLDIRTY) },
		{ "shared memory in the place is dirty for as long as it is there",
		  shared_memory_in_the_place_is_not_watched, 0, LIVE_ONLY(UFFD) },
		{ "control: an error taken for \"nothing is mapped\" loses",
		  control_an_error_taken_for_nothing_loses, 0, LIVE_ONLY(PAGEMAP) },
		WAYS("track says why not, or tracks", track_without, 0, 0),
		WAYS("open needs nothing", open_without, 0,
		     LIVE_ONLY(MPROTECT) | LIVE_ONLY(ALLDIRTY)),
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
