/* SPDX-License-Identifier: MIT
 *
 * Description: a tracker that verifies itself reports no miss if there is none, counts
 * exactly, and leaves memory as it was. tests/soundness/random/verify_controls_test.c shows
 * that it finds misses. */
#include "tests/support/verifying.h"

#include "lib/os/os.h"
#include "lib/tracker.h"
#include "tests/soundness/random/world.h"
#include "tests/support/broken_os.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ---- What changed is reported ------------------------------------------------------ */

static void read_into(unsigned char *to, size_t n)
{
	int p[2];

	CHECK(pipe(p) == 0);
	CHECK(write(p[1], "kernel writes", n) == (ssize_t)n);
	CHECK(read(p[0], to, n) == (ssize_t)n);
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
}

static void stores_and_the_kernel_s_writes(void)
{
	struct cardmark_stats s;

	set_up_verifying(0);
	for (size_t round = 0; round < 5; round++) {
		write_card(3 * round);
		write_card(40 + round);
		if (live_can(CARDMARK_CAP_KERNEL_WRITES)) {
			read_into(card_at(20 + round) - 2, 4);
			want[19 + round] = want[20 + round] = true;
		}
		collect_and_compare();
	}
	s = live_stats(cm);
	CHECK_EQ(s.verify_missed, 0);
	CHECK_EQ(s.verify_first_missed, 0);
	CHECK_EQ(s.verify_checked, 6 * CARDS);
	/* No two kinds of write ever meet in a card. */
	CHECK_EQ(s.verify_changed, live_can(CARDMARK_CAP_KERNEL_WRITES) ? 20 : 10);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(s.verify_false, 0);
	else
		CHECK_EQ(s.verify_false + s.verify_changed, 5 * CARDS);
}

static void false_positives_are_counted(void)
{
	struct cardmark_stats s;

	set_up_verifying(0);
	for (size_t i = 10; i < 15; i++) /* written, not changed */
		live_store(card_at(i), 1);
	write_card(20);
	(void)live_collect(cm, table);
	s = live_stats(cm);
	CHECK_EQ(s.verify_changed, 1);
	CHECK_EQ(s.verify_false, live_can(CARDMARK_CAP_PRECISE) ? 5 : CARDS - 1);
	/* Guessed and held cards are reported, too. */
	CHECK_EQ(cardmark_hold(cm, card_at(30), 2 * live_card), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_false - s.verify_false,
		 live_can(CARDMARK_CAP_PRECISE) ? 2 : CARDS);
	CHECK_EQ(live_stats(cm).verify_missed, 0);
}

static void new_ranges_have_no_past(void)
{
	struct cardmark_stats s;

	set_up_verifying(0);
	CHECK_EQ(cardmark_untrack(cm, card_at(16), 16 * live_card), 0);
	memset(card_at(16), 9, 16 * live_card);
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_track(cm, card_at(16), 16 * live_card, 0), 0);
	memset(card_at(16), 10, 16 * live_card);
	(void)live_collect(cm, table);
	memset(card_at(0), 11, 4 * live_card);
	CHECK_EQ(cardmark_track(cm, mem, 4 * live_card, 0), 0);
	(void)live_collect(cm, table);
	s = live_stats(cm);
	CHECK_EQ(s.verify_missed, 0);
	CHECK_EQ(s.verify_changed, 0);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(s.verify_false, 0);
}

static void memory_mapped_anew(void)
{
	unsigned char *other = live_map(8);

	set_up_verifying(0);
	(void)live_map_at(card_at(8), 8);
	memset(card_at(8), 7, 4 * live_card);
	(void)live_collect(cm, table);
	memset(other, 5, 8 * live_card);
	CHECK(mremap(other, 8 * live_card, 8 * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(10)) == card_at(10));
	(void)live_collect(cm, table);
	live_store(card_at(11), 6);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	CHECK(live_stats(cm).verify_changed >= 8);
}

/* An emptied card counts as written only if the tracker was opened so. A card that was read
 * afterwards has a page again. */
static void emptied_cards(void)
{
	for (int as_write = 0; as_write < 2; as_write++) {
		uint64_t changed = 1; /* card 8 */

		set_up_verifying(as_write ? CARDMARK_OPEN_DISCARD_IS_WRITE : 0);
		CHECK(madvise(card_at(4), 8 * live_card, MADV_DONTNEED) == 0);
		CHECK_EQ(*(volatile unsigned char *)card_at(6), 0);
		write_card(8);
		(void)live_collect(cm, table);
		CHECK(cardmark_table_is_dirty(table, card_at(8)));
		for (size_t i = 4; i < 12 && as_write; i++)
			CHECK(cardmark_table_is_dirty(table, card_at(i)));
		/* Some backends report it as written after it was read. */
		changed += cardmark_table_is_dirty(table, card_at(6));
		write_card(5); /* from nothing */
		write_card(6); /* from the zero page */
		(void)live_collect(cm, table);
		CHECK_EQ(missed(), 0);
		CHECK_EQ(live_stats(cm).verify_changed, (as_write ? 8 : changed) + 2);
		live_clean_up();
	}
}

/* A private page of a file that was emptied shows the file again. */
static void a_private_page_of_a_file(void)
{
	for (int as_write = 0; as_write < 2; as_write++) {
		int fd = memfd_create("verify", MFD_CLOEXEC);

		CHECK(fd >= 0 && ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
		CHECK(pwrite(fd, "content", 7, 3 * (off_t)live_card) == 7);
		mem = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		live_own_memory(mem, CARDS * live_card);
		CHECK(close(fd) == 0);
		memset(mem, 5, 8 * live_card);
		cm = live_open_verifying(as_write ? CARDMARK_OPEN_DISCARD_IS_WRITE : 0);
		table = live_table(cm);
		CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
		(void)live_collect(cm, table);
		CHECK_EQ(*(volatile unsigned char *)card_at(20), 0);
		(void)live_collect(cm, table);
		CHECK(madvise(mem, 6 * live_card, MADV_DONTNEED) == 0);
		CHECK_EQ(*(volatile unsigned char *)card_at(3), 'c');
		write_card(5);
		write_card(20);
		(void)live_collect(cm, table);
		write_card(3);
		(void)live_collect(cm, table);
		CHECK_EQ(missed(), 0);
		CHECK(live_stats(cm).verify_changed >= 3);
		live_clean_up();
	}
}

/* ---- Through the other calls ------------------------------------------------------------ */

static void precleaned_cards(void)
{
	set_up_verifying(0);
	write_card(3);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(4);
	write_card(5);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(5);
	collect_and_compare();
	collect_and_compare();
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 3);
}

static void held_cards(void)
{
	unsigned char *other;

	mem = live_map_twice(4, &other);
	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, 4 * live_card, 0), 0);
	CHECK_EQ(cardmark_hold(cm, card_at(2), live_card), 0);
	for (unsigned char round = 0; round < 3; round++) {
		live_store(other + 2 * live_card, (unsigned char)(round + 2));
		(void)live_collect(cm, table);
	}
	live_store(other + 2 * live_card, 77);
	CHECK_EQ(cardmark_release(cm, card_at(2), live_card), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 3);
}

static void scan(enum cardmark_scan_op op, unsigned flags, size_t from, size_t n, size_t max)
{
	struct cardmark_region r[CARDS];
	struct cardmark_query q = live_query(op, card_at(from), n, r, CARDS);

	q.flags = flags;
	q.max_pages = max;
	CHECK_EQ(cardmark_scan(cm, &q), 0);
}

/* The collect does not have the cards that a scan has taken and reported. */
static void cards_cleared_by_a_scan(void)
{
	set_up_verifying(0);
	for (size_t i = 0; i < CARDS; i += 3)
		write_card(i);
	scan(CARDMARK_SCAN_GET, 0, 0, CARDS, 0);
	scan(CARDMARK_SCAN_GET_AND_CLEAR, 0, 0, 20, 3);
	scan(CARDMARK_SCAN_CLEAR, 0, 30, 20, 0);
	(void)live_collect(cm, table);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK(!cardmark_table_is_dirty(table, card_at(0)));
	CHECK(cardmark_table_is_dirty(table, card_at(9)));
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 22);
	CHECK_EQ(cardmark_track(cm, card_at(8), 8 * live_card, 0), 0);
	memset(want, 0, sizeof want);
	write_card(8);
	write_card(40);
	scan(CARDMARK_SCAN_CLEAR, CARDMARK_SCAN_IGNORE_NEW, 0, CARDS, 0);
	(void)live_collect(cm, table);
	memset(want, 0, sizeof want);
	write_card(8);
	write_card(40);
	collect_and_compare();
	CHECK_EQ(missed(), 0);
}

static void suspended_for_a_while(void)
{
	int fd = -1;

	set_up_verifying(0);
	write_card(1);
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_card(2);
	(void)live_collect(cm, table);
	CHECK_EQ(descriptors("/mem", &fd), 0);
	write_card(3);
	CHECK_EQ(cardmark_track(cm, card_at(10), live_card, 0), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).verify_changed, 3);
	write_card(3);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
}

static void in_child(void *arg)
{
	(void)arg;
	write_card(2);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(1)));
	write_card(3);
	(void)live_collect(cm, table);
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 3);
}

static void a_fork_child_and_its_parent(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up_verifying(0);
	write_card(1);
	CHECK_EQ(tap_in_child(in_child, NULL), 0);
	write_card(4);
	collect_and_compare();
	CHECK_EQ(missed(), 0);
	CHECK_EQ(live_stats(cm).verify_changed, 2);
}

/* ---- When others are at work ------------------------------------------------------------------
 */

static _Atomic int lock_held;

static void *hold_the_lock(void *arg)
{
	(void)arg;
	CHECK(cm_tracker_lock(cm, CM_WAIT_CALL_NS));
	atomic_store(&lock_held, 1);
	while (atomic_load(&lock_held) == 1)
		(void)usleep(100);
	cm_tracker_unlock(cm);
	return NULL;
}

static void a_collect_that_could_not_tell_compares_nothing(void)
{
	pthread_t thread;
	enum cardmark_collected result;

	set_up_verifying(0);
	atomic_store(&lock_held, 0);
	CHECK(pthread_create(&thread, NULL, hold_the_lock, NULL) == 0);
	while (atomic_load(&lock_held) == 0)
		(void)usleep(100);
	write_card(3);
	result = live_collect(cm, table);
	atomic_store(&lock_held, 2);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK_EQ(result, CARDMARK_ALL_DIRTY);
	CHECK_EQ(live_stats(cm).verify_checked, CARDS);
	collect_and_compare();
	CHECK_EQ(live_stats(cm).verify_changed, 1);
	CHECK_EQ(missed(), 0);
}

/* At this depth the stack holds no frame of ours yet. */
__attribute__((noinline)) static void collect_deeper(size_t bytes)
{
	unsigned char room[bytes];

	live_store(room + bytes - 1, 1);
	(void)cardmark_collect(cm, table);
	live_store(room + bytes - 1, 2);
}

__attribute__((noinline)) static void leave_something_behind(size_t bytes)
{
	unsigned char room[bytes];

	for (size_t i = 0; i < bytes; i++)
		live_store(room + i, (unsigned char)(i * 7));
}

static void *collect_on_tracked_stack(void *arg)
{
	(void)arg;
	leave_something_behind(128 * live_card);
	for (size_t round = 0; round < 20; round++)
		collect_deeper(1000 + 20000 * round);
	return NULL;
}

/* Between harvest and comparison our own frames are written, on the caller's tracked stack. */
static void a_stack_that_is_tracked(void)
{
	const size_t bytes = (size_t)4 << 20; /* the thread sanitizer takes 0.8 MiB of it */
	unsigned char *stack = live_map(bytes / live_card);
	pthread_attr_t attr;
	pthread_t thread;

	cm = live_open_verifying(0);
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, stack, bytes, 0), 0);
	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, stack, bytes) == 0);
	CHECK(pthread_create(&thread, &attr, collect_on_tracked_stack, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(live_stats(cm).verify_changed > 0);
	CHECK_EQ(missed(), 0);
	(void)pthread_attr_destroy(&attr);
}

/* Two oracles at once: random changes by other threads, with writers running where
 * the backend can do that. */
static void random_changes(void)
{
	struct world_options options = { .backend = live_backend,
					 .seed = random_seed(NULL),
					 .seconds = 1.5,
					 .remap = true,
					 .verify = true };
	struct world_counts c;

	CHECK_EQ(world_run(&options, &c), 0);
	tap_note("%llu collects, %llu with writers running; %llu checked, %llu changed, %llu "
		 "missed, %llu false",
		 (unsigned long long)c.collects, (unsigned long long)c.concurrent_collects,
		 (unsigned long long)c.verify_checked, (unsigned long long)c.verify_changed,
		 (unsigned long long)c.verify_missed, (unsigned long long)c.verify_false);
	CHECK_EQ(c.lost, 0);
	CHECK_EQ(c.verify_missed, 0);
	CHECK(c.verify_changed > 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "stores and the kernel's writes", stores_and_the_kernel_s_writes, 0, 0 },
		{ "false positives are counted", false_positives_are_counted, 0, 0 },
		{ "new ranges have no past", new_ranges_have_no_past, 0, 0 },
		{ "memory mapped anew", memory_mapped_anew, CARDMARK_CAP_REMAP, 0 },
		{ "emptied cards", emptied_cards, CARDMARK_CAP_PRECISE, 0 },
		{ "a private page of a file", a_private_page_of_a_file, CARDMARK_CAP_SHARED, 0 },
		{ "precleaned cards", precleaned_cards, CARDMARK_CAP_CONCURRENT, 0 },
		{ "held cards", held_cards, CARDMARK_CAP_SHARED, 0 },
		{ "cards cleared by a scan", cards_cleared_by_a_scan, 0, 0 },
		{ "suspended for a while", suspended_for_a_while, 0, 0 },
		{ "a fork child and its parent", a_fork_child_and_its_parent, 0, 0 },
		{ "a collect that could not tell compares nothing",
		  a_collect_that_could_not_tell_compares_nothing, 0, 0 },
		{ "a stack that is tracked", a_stack_that_is_tracked, CARDMARK_CAP_NO_TRAP, 0 },
		{ "random changes", random_changes, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
