/* SPDX-License-Identifier: MIT
 *
 * Description: emptied cards are reported once each, apart from the written ones; or as
 * written, if the tracker was opened so (R7). */
#include "tests/support/broken_os.h"
#include "tests/support/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct cardmark_table *emptied;
static bool gone[CARDS];

static void set_up_discards(void)
{
	set_up_with(CARDMARK_OPEN_DISCARDS);
	emptied = live_table(cm);
	memset(gone, 0, sizeof gone);
}

static void drop(size_t first, size_t n)
{
	CHECK(madvise(card_at(first), n * live_card, MADV_DONTNEED) == 0);
	for (size_t i = first; i < first + n; i++)
		gone[i] = true;
}

static void discarded_and_compare(void)
{
	cardmark_table_clear(emptied);
	CHECK_EQ(cardmark_discarded(cm, emptied), CARDMARK_EXACT);
	for (size_t i = 0; i < CARDS; i++)
		CHECK_EQ(cardmark_table_is_dirty(emptied, card_at(i)), gone[i]);
	memset(gone, 0, sizeof gone);
}

static void what_was_emptied_is_answered_once(void)
{
	set_up_discards();
	discarded_and_compare();
	drop(4, 3);
	drop(40, 1);
	discarded_and_compare();
	discarded_and_compare();
}

static void for_a_collector_it_is_clean(void)
{
	set_up_discards();
	drop(4, 3);
	write_card(20);
	collect_and_compare();
	discarded_and_compare();
	CHECK_EQ(live_stats(cm).discarded_cards, 3);
}

static void written_again_it_is_written(void)
{
	set_up_discards();
	drop(4, 3);
	write_card(5);
	gone[5] = false;
	discarded_and_compare();
	collect_and_compare();
	drop(5, 1);
	discarded_and_compare();
}

/* A card that was never reported with data need not be reported as empty. */
static void what_held_no_data_is_not_answered(void)
{
	set_up_discards();
	drop(10, 2);
	discarded_and_compare();
	write_card(10);
	drop(10, 1);
	gone[10] = false;
	/* A trap is known to have come; a page table forgets. */
	want[10] = live_backend == CARDMARK_BACKEND_MPROTECT;
	discarded_and_compare();
	collect_and_compare();
}

static void a_new_mapping_in_the_place(void)
{
	set_up_discards();
	(void)live_map_at(card_at(8), 4);
	for (size_t i = 8; i < 12; i++)
		gone[i] = true;
	cardmark_table_clear(emptied);
	/* The look finds memory that is not registered: guessed. */
	CHECK(cardmark_discarded(cm, emptied) != CARDMARK_ALL_DIRTY);
	for (size_t i = 8; i < 12; i++)
		CHECK(cardmark_table_is_dirty(emptied, card_at(i)));
}

static void through_preclean_and_scan(void)
{
	struct cardmark_query q = { .size = sizeof q,
				    .op = CARDMARK_SCAN_CLEAR,
				    .required = CARDMARK_PAGE_WRITTEN };

	set_up_discards();
	drop(0, CARDS);
	discarded_and_compare();
	write_card(3);
	if (live_can(CARDMARK_CAP_CONCURRENT))
		CHECK_EQ(cardmark_preclean(cm), 0);
	collect_and_compare();
	write_card(4);
	q.start = mem;
	q.len = CARDS * live_card;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	drop(3, 2);
	discarded_and_compare();
}

static void untracked_cards_are_forgotten(void)
{
	set_up_discards();
	drop(4, 8);
	CHECK_EQ(cardmark_untrack(cm, card_at(4), 4 * live_card), 0);
	memset(gone + 4, 0, 4);
	discarded_and_compare();
}

static void for_a_snapshot_it_is_written(void)
{
	set_up_with(CARDMARK_OPEN_DISCARD_IS_WRITE);
	CHECK(madvise(card_at(30), 5 * live_card, MADV_DONTNEED) == 0);
	for (size_t i = 30; i < 35; i++)
		want[i] = true;
	collect_and_compare();
	collect_and_compare();
	/* Emptied and written before the collect: once, as written. */
	CHECK(madvise(card_at(1), 2 * live_card, MADV_DONTNEED) == 0);
	write_card(1);
	want[2] = true;
	collect_and_compare();
}

static size_t told;

/* Returns how many of five cards are in no answer. */
static size_t empty_and_read_five(void)
{
	size_t lost = 0;

	set_up_discards();
	drop(30, 5);
	for (size_t i = 30; i < 35; i++)
		CHECK_EQ(*(volatile unsigned char *)card_at(i), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_discarded(cm, emptied), CARDMARK_EXACT);
	told = 0;
	for (size_t i = 0; i < CARDS; i++) {
		bool is = cardmark_table_is_dirty(table, card_at(i)) ||
			  cardmark_table_is_dirty(emptied, card_at(i));
		lost += gone[i] && !is;
		told += is;
	}
	return lost;
}

/* Reading an empty card brings the zero page, which is not a hole. If that does not show as a
 * write, it shows as emptied: the card is in one of the two answers. */
static void emptied_and_then_read(void)
{
	CHECK_EQ(empty_and_read_five(), 0);
	CHECK_EQ(told, live_can(CARDMARK_CAP_PRECISE) ? 5 : CARDS);
}

/* A kernel that gives each reader a page of its own. The library finds that out with a page
 * that it maps: the test decides separately what this page shows. */
static bool shown_as_own;
static uintptr_t mapped_last;

static int map_and_note(size_t len, void **out)
{
	int error = cm_os_linux.map(len, out);

	if (error == 0)
		mapped_last = (uintptr_t)*out;
	return error;
}

static ssize_t pages_of_its_own(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t got = cm_os_linux.pread(fd, buf, len, offset);
	uint64_t *entries = buf, first = offset / sizeof *entries;

	if (got <= 0 || !cm_os_linux.fd_is(fd, "/pagemap"))
		return got;
	for (size_t i = 0; i < (size_t)got / sizeof *entries; i++)
		if ((entries[i] & CM_PME_PRESENT) == 0)
			continue;
		else if (first + i == mapped_last / live_card && !shown_as_own)
			entries[i] &= ~CM_PME_EXCLUSIVE;
		else
			entries[i] |= CM_PME_EXCLUSIVE;
	return got;
}

static size_t empty_and_read_five_with_pages_of_their_own(bool shown)
{
	struct cm_os *os = broken_os_begin();
	size_t lost;

	os->map = map_and_note;
	os->pread = pages_of_its_own;
	shown_as_own = shown;
	lost = empty_and_read_five();
	live_clean_up();
	broken_os_end();
	return lost;
}

static void emptied_and_then_read_without_a_shared_zero_page(void)
{
	CHECK_EQ(empty_and_read_five_with_pages_of_their_own(true), 0);
}

/* The control. */
static void taken_for_written_pages(void)
{
	bool needs_to_know = live_backend == CARDMARK_BACKEND_MPROTECT ||
			     live_backend == CARDMARK_BACKEND_SOFTDIRTY;

	CHECK_EQ(empty_and_read_five_with_pages_of_their_own(false), needs_to_know ? 5 : 0);
}

static void emptied_and_then_read_it_is_written(void)
{
	set_up_with(CARDMARK_OPEN_DISCARD_IS_WRITE);
	CHECK(madvise(card_at(30), 5 * live_card, MADV_DONTNEED) == 0);
	for (size_t i = 30; i < 35; i++) {
		want[i] = true;
		CHECK_EQ(*(volatile unsigned char *)card_at(i), 0);
	}
	collect_and_compare();
}

static void child_collects(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

/* A page shared with a child is not the process's alone either, but holds data. */
static void shared_with_a_child_is_not_empty(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up_with(CARDMARK_OPEN_DISCARD_IS_WRITE);
	CHECK_EQ(tap_in_child(child_collects, NULL), 0);
	collect_and_compare();
	CHECK_EQ(live_stats(cm).discarded_cards, 0);
}

/* The control: a collector's tracker does not tell a snapshot what it needs. */
static void without_the_flag_a_snapshot_misses_it(void)
{
	set_up_discards();
	drop(30, 5);
	(void)live_collect(cm, table);
	for (size_t i = 30; i < 35; i++)
		CHECK(!cardmark_table_is_dirty(table, card_at(i)));
}

static void a_whole_page_table_that_goes(void)
{
	const size_t cards = ((size_t)8 << 20) / live_card;
	struct cardmark_table *t;
	size_t lost = 0;

	mem = live_map(cards);
	memset(mem, 1, cards * live_card);
	cm = live_open_flags(CARDMARK_OPEN_DISCARD_IS_WRITE);
	t = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, cards * live_card, 0), 0);
	(void)live_collect(cm, t);
	CHECK(madvise(mem, cards * live_card, MADV_DONTNEED) == 0);
	(void)live_collect(cm, t);
	for (size_t i = 0; i < cards; i++)
		lost += !cardmark_table_is_dirty(t, card_at(i));
	CHECK_EQ(lost, 0);
}

/* Private pages of a file: emptied, they show the file again, and leave a marker that
 * is still armed. */
static void for_a_snapshot_of_a_file_it_is_written(void)
{
	FILE *f = tmpfile();

	CHECK(f != NULL && ftruncate(fileno(f), (off_t)(CARDS * live_card)) == 0);
	mem = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(f), 0);
	(void)fclose(f);
	live_own_memory(mem, CARDS * live_card);
	memset(mem, 1, CARDS * live_card);
	cm = live_open_flags(CARDMARK_OPEN_DISCARD_IS_WRITE);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	memset(want, 0, sizeof want);
	collect_and_compare();
	CHECK(madvise(card_at(7), 3 * live_card, MADV_DONTNEED) == 0);
	CHECK_EQ(*card_at(8), 0); /* the file's page, and clean */
	for (size_t i = 7; i < 10; i++)
		want[i] = true;
	write_card(20);
	collect_and_compare();
	/* A missing page looks like one that was swapped out and may still be emptied: it is
	 * reported until it is present. Reading 8 may have brought 7 and 9. */
	(void)live_collect(cm, table);
	want[7] = cardmark_table_is_dirty(table, card_at(7));
	want[9] = cardmark_table_is_dirty(table, card_at(9));
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
	CHECK_EQ(*card_at(7) + *card_at(9), 0);
	(void)live_collect(cm, table);
	collect_and_compare();
}

static void asked_of_the_wrong_tracker(void)
{
	set_up();
	CHECK_EQ(cardmark_discarded(cm, table), CARDMARK_REFUSED);
	CHECK(strstr(cardmark_last_error(), "CARDMARK_OPEN_DISCARDS") != NULL);
	CHECK(cardmark_table_all_dirty(table));
	cardmark_table_clear(table);
	live_may_open_another();
	struct cardmark *other = live_open_flags(CARDMARK_OPEN_DISCARDS);
	CHECK_EQ(cardmark_discarded(other, table), CARDMARK_REFUSED);
	CHECK(strstr(cardmark_last_error(), "another tracker") != NULL);
	CHECK(cardmark_table_all_dirty(table));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "what was emptied is answered once", what_was_emptied_is_answered_once,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "for a collector it is clean", for_a_collector_it_is_clean, CARDMARK_CAP_PRECISE,
		  0 },
		{ "written again it is written", written_again_it_is_written, CARDMARK_CAP_PRECISE,
		  0 },
		{ "what held no data is not answered", what_held_no_data_is_not_answered,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "a new mapping in the place", a_new_mapping_in_the_place, CARDMARK_CAP_REMAP, 0 },
		{ "through preclean and scan", through_preclean_and_scan, CARDMARK_CAP_PRECISE, 0 },
		{ "untracked cards are forgotten", untracked_cards_are_forgotten,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "for a snapshot it is written", for_a_snapshot_it_is_written, 0, 0 },
		{ "emptied and then read", emptied_and_then_read, 0, 0 },
		{ "emptied and then read it is written", emptied_and_then_read_it_is_written, 0,
		  0 },
		{ "emptied and then read, without a shared zero page",
		  emptied_and_then_read_without_a_shared_zero_page, 0, 0 },
		{ "control: pages of its own are taken for written ones", taken_for_written_pages,
		  0, 0 },
		{ "shared with a child is not empty", shared_with_a_child_is_not_empty,
		  CARDMARK_CAP_PRECISE, 0 },
		{ "control: without the flag a snapshot misses it",
		  without_the_flag_a_snapshot_misses_it, CARDMARK_CAP_PRECISE, 0 },
		{ "a whole page table that goes", a_whole_page_table_that_goes, 0, 0 },
		{ "for a snapshot of a file it is written", for_a_snapshot_of_a_file_it_is_written,
		  CARDMARK_CAP_SHARED, 0 },
		{ "asked of the wrong tracker", asked_of_the_wrong_tracker, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
