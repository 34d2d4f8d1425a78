/* SPDX-License-Identifier: MIT
 *
 * Description: collect reports exactly the cards that the program or the kernel wrote, and
 * leaves them clean. */
#include "tests/support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static void exact_and_adds_and_then_clean(void)
{
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
	memset(want, 0, sizeof want);
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_EXACT);
	(void)live_collect(cm, table);
	live_expect_clean(table, mem, CARDS);
}

static void exactly_the_written_cards_and_clean_after(void)
{
	set_up();
	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = round % 7; i < CARDS; i += 1 + round % 5) {
			live_store(mem + i * live_card + round * 97 % live_card,
				   (unsigned char)round);
			want[i] = true;
		}
		exact_and_adds_and_then_clean();
	}
}

static void collects_add_to_a_table(void)
{
	set_up();
	for (size_t i = 0; i < CARDS; i += 9) {
		live_store(mem + i * live_card, 2);
		want[i] = true;
		(void)cardmark_collect(cm, table);
		live_expect(table, mem, CARDS, want);
	}
}

static void a_store_over_an_edge_dirties_both_cards(void)
{
	set_up();
	memset(mem + 5 * live_card - 3, 9, 6);
	want[4] = want[5] = true;
	exact_and_adds_and_then_clean();
}

static void never_touched_holes_stay_clean(void)
{
	unsigned char *hole = live_map(CARDS);
	struct cardmark *t = live_open();
	struct cardmark_table *tt = live_table(t);
	bool some[CARDS] = { false };

	CHECK_EQ(cardmark_track(t, hole, CARDS * live_card, 0), 0);
	(void)live_collect(t, tt);
	(void)live_collect(t, tt);
	live_expect_clean(tt, hole, CARDS);
	live_store(hole + 7 * live_card, 1);
	live_store(hole + 50 * live_card, 1);
	some[7] = some[50] = true;
	(void)live_collect(t, tt);
	live_expect(tt, hole, CARDS, some);
	(void)live_collect(t, tt);
	live_expect_clean(tt, hole, CARDS);
}

static void a_write_after_a_zero_page_read_is_seen(void)
{
	unsigned char *fresh = live_map(CARDS);
	struct cardmark *t = live_open();
	struct cardmark_table *tt = live_table(t);
	bool some[CARDS] = { false };
	unsigned sum = 0;

	CHECK_EQ(cardmark_track(t, fresh, CARDS * live_card, 0), 0);
	(void)live_collect(t, tt);
	for (size_t i = 0; i < CARDS; i++)
		sum += *(volatile unsigned char *)(fresh + i * live_card);
	CHECK(sum == 0);
	live_store(fresh + 3 * live_card, 1);
	(void)live_collect(t, tt);
	CHECK(cardmark_table_is_dirty(tt, fresh + 3 * live_card)); /* others may be: R15 */
	live_store(fresh + 4 * live_card, 1);
	some[4] = true;
	(void)live_collect(t, tt);
	live_expect(tt, fresh, CARDS, some);
}

static void memcpy_over_many_cards(void)
{
	static unsigned char data[20 * 4096];

	set_up();
	memset(data, 5, sizeof data);
	memcpy(mem + 10 * live_card, data, 5 * live_card < sizeof data ? 5 * live_card : 1);
	for (size_t i = 10; i < 15; i++)
		want[i] = 5 * live_card < sizeof data || i == 10;
	exact_and_adds_and_then_clean();
}

/* A pipe that holds n bytes of 'x'. */
static int full_pipe(size_t n, int *write_end)
{
	unsigned char buf[512];
	int fds[2];

	CHECK(pipe(fds) == 0);
	memset(buf, 'x', sizeof buf);
	for (size_t left = n; left > 0;) {
		size_t some = left < sizeof buf ? left : sizeof buf;
		CHECK(write(fds[1], buf, some) == (ssize_t)some);
		left -= some;
	}
	*write_end = fds[1];
	return fds[0];
}

static void read_into_clean_cards(void)
{
	int write_end, fd;

	set_up();
	fd = full_pipe(3 * live_card, &write_end);
	CHECK_EQ(read(fd, mem + 20 * live_card, 3 * live_card), 3 * live_card);
	(void)close(fd);
	(void)close(write_end);
	CHECK(mem[21 * live_card] == 'x');
	want[20] = want[21] = want[22] = true;
	exact_and_adds_and_then_clean();
}

/* If the kernel cannot write for us, read(2) fails, and nothing is lost. */
static void read_into_clean_cards_is_refused_or_reported(void)
{
	int write_end, fd;
	ssize_t got;

	set_up();
	fd = full_pipe(live_card, &write_end);
	got = read(fd, mem + 20 * live_card, live_card);
	if (got < 0)
		CHECK_EQ(errno, EFAULT);
	if (!live_can(CARDMARK_CAP_KERNEL_WRITES))
		CHECK_EQ(got, -1);
	want[20] = got > 0;
	if (got < 0)
		CHECK(mem[20 * live_card] == 1);
	/* Once the program has written there itself, it works. */
	live_store(mem + 30 * live_card, 2);
	if (got < 0)
		CHECK_EQ(read(fd, mem + 30 * live_card, live_card), (ssize_t)live_card);
	want[30] = true;
	(void)close(fd);
	(void)close(write_end);
	exact_and_adds_and_then_clean();
}

static void process_vm_writev_into_clean_cards(void)
{
	unsigned char data[64];
	struct iovec from = { data, sizeof data };
	struct iovec to;
	ssize_t got;

	set_up();
	to.iov_base = mem + 33 * live_card - 32; /* over an edge */
	to.iov_len = sizeof data;
	memset(data, 6, sizeof data);
	got = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	if (got < 0 && errno == ENOSYS)
		tap_skip("this kernel has no process_vm_writev");
	if (live_can(CARDMARK_CAP_KERNEL_WRITES))
		CHECK_EQ(got, sizeof data);
	else
		CHECK(got < 0 && errno == EFAULT);
	want[32] = want[33] = got > 0;
	exact_and_adds_and_then_clean();
}

#define THREADS 4

static void *write_quarter(void *arg)
{
	size_t k = (size_t)(uintptr_t)arg;

	for (unsigned round = 0; round < 50; round++)
		for (size_t i = k; i < CARDS; i += 2 * THREADS)
			live_store(mem + i * live_card + round, (unsigned char)round);
	return NULL;
}

static void threads(void)
{
	pthread_t thread[THREADS];

	set_up();
	for (size_t k = 0; k < THREADS; k++) {
		CHECK(pthread_create(&thread[k], NULL, write_quarter, (void *)(uintptr_t)k) == 0);
		for (size_t i = k; i < CARDS; i += 2 * THREADS)
			want[i] = true;
	}
	for (size_t k = 0; k < THREADS; k++)
		(void)pthread_join(thread[k], NULL);
	exact_and_adds_and_then_clean();
}

static void write_in_handler(int sig)
{
	(void)sig;
	live_store(mem + 40 * live_card, 3);
}

static void a_signal_handler(void)
{
	struct sigaction act = { .sa_handler = write_in_handler }, old;

	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_MPROTECT)
		tap_skip("the thread sanitizer blocks SIGSEGV while it runs a handler");
	set_up();
	CHECK(sigaction(SIGUSR1, &act, &old) == 0);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(sigaction(SIGUSR1, &old, NULL) == 0);
	want[40] = true;
	exact_and_adds_and_then_clean();
}

static void trackers_are_independent(void)
{
	unsigned char *other = live_map(CARDS);
	struct cardmark *cm2;
	struct cardmark_table *table2;

	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
	set_up();
	memset(other, 1, CARDS * live_card);
	cm2 = live_armed(other, CARDS, &table2);
	live_store(mem + 1 * live_card, 2);
	live_store(other + 2 * live_card, 2);
	(void)live_collect(cm2, table2);
	want[2] = true;
	live_expect(table2, other, CARDS, want);
	want[2] = false;
	want[1] = true;
	exact_and_adds_and_then_clean();
	CHECK_EQ(cardmark_table_union(table, table2), -EINVAL);
}

static void a_foreign_table_is_all_dirty_and_nothing_harvested(void)
{
	struct cardmark *cm2;
	struct cardmark_table *foreign;

	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
	set_up();
	cm2 = live_open();
	foreign = live_table(cm2);
	live_store(mem + 9 * live_card, 2);
	want[9] = true;
	CHECK_EQ(cardmark_collect(cm, foreign), CARDMARK_REFUSED);
	CHECK(cardmark_table_is_dirty(foreign, mem));
	CHECK_EQ(cardmark_table_count(foreign), (long long)SIZE_MAX);
	CHECK_EQ(live_stats(cm).all_dirty, 1);
	exact_and_adds_and_then_clean();
}

/* After a collect that reported everything as dirty, no memory is new to its caller. */
static void what_all_dirty_told_of_is_not_new(void)
{
	unsigned char *late = live_map(8);
	struct cardmark_region r[8];
	struct cardmark_query q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, late, 8, r, 8);
	struct cardmark *gone;
	struct cardmark_table *foreign;

	q.flags = CARDMARK_SCAN_IGNORE_NEW;
	if (live_backend == CARDMARK_BACKEND_SOFTDIRTY)
		tap_skip("only one softdirty tracker fits in a process");
	memset(late, 1, 8 * live_card);
	set_up();
	gone = live_open();
	foreign = live_table(gone);
	CHECK_EQ(cardmark_track(cm, late, 8 * live_card, 0), 0);
	CHECK_EQ(cardmark_collect(cm, foreign), CARDMARK_REFUSED);
	live_store(late + 3 * live_card, 9);
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, 8);
}

static void counters_add_up(void)
{
	struct cardmark_stats before, after;
	struct cardmark_stats small = { .size = 4 };

	set_up();
	before = live_stats(cm);
	CHECK_EQ(before.backend, live_backend);
	CHECK_EQ(before.tracked_bytes, CARDS * live_card);
	CHECK(before.table_bytes > 0);
	for (size_t i = 0; i < 10; i++)
		live_store(mem + i * live_card, 2);
	(void)live_collect(cm, table);
	after = live_stats(cm);
	CHECK_EQ(after.collects, before.collects + 1);
	CHECK_EQ(after.dirty_cards - before.dirty_cards,
		 live_can(CARDMARK_CAP_PRECISE) ? 10 : CARDS);
	CHECK_EQ(after.guessed_ranges, 0);
	CHECK_EQ(after.last_errno, 0);
	CHECK(after.collect_ns >= before.collect_ns);
	CHECK(after.collect_max_ns > 0);
	if (live_can(CARDMARK_CAP_PRECISE) && live_can(CARDMARK_CAP_NO_TRAP))
		CHECK_EQ(after.faults, 0);
	CHECK_EQ(cardmark_stats(cm, &small), -EINVAL);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "exactly the written cards, clean after",
		  exactly_the_written_cards_and_clean_after, 0, 0 },
		{ "collects add to a table", collects_add_to_a_table, 0, 0 },
		{ "a store over an edge dirties both cards",
		  a_store_over_an_edge_dirties_both_cards, 0, 0 },
		{ "never-touched holes stay clean", never_touched_holes_stay_clean, 0, 0 },
		{ "a write after a zero page read is seen", a_write_after_a_zero_page_read_is_seen,
		  0, 0 },
		{ "memcpy over many cards", memcpy_over_many_cards, 0, 0 },
		{ "read(2) into clean cards works and is reported", read_into_clean_cards,
		  CARDMARK_CAP_KERNEL_WRITES, 0 },
		{ "read(2) into clean cards is refused or reported, never lost",
		  read_into_clean_cards_is_refused_or_reported, 0, 0 },
		{ "process_vm_writev is refused or reported, never lost",
		  process_vm_writev_into_clean_cards, 0, 0 },
		{ "writes by threads", threads, 0, 0 },
		{ "writes by a signal handler", a_signal_handler, 0, 0 },
		{ "trackers are independent", trackers_are_independent, 0, 0 },
		{ "a foreign table is all dirty, nothing harvested",
		  a_foreign_table_is_all_dirty_and_nothing_harvested, 0, 0 },
		{ "what all dirty told of is not new", what_all_dirty_told_of_is_not_new, 0, 0 },
		{ "counters add up", counters_add_up, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
