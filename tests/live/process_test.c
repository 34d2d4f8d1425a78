/* SPDX-License-Identifier: MIT
 *
 * Description: programs that fork, that clone by a bare system call, and that stop a thread
 * inside the library. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The uffd backend starts its monitor again in the child. */
static void set_up_to_fork(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
}

/* ---- Fork ------------------------------------------------------------------- */

/* First report: everything. Then exactly what the child writes. */
static void track_on_in_child(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		CHECK(cardmark_table_is_dirty(table, mem + i * live_card));
	for (size_t round = 1; round < 6; round++) {
		write_some(round, 3 + round);
		CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
		live_expect(table, mem, CARDS, want);
	}
	CHECK_EQ(cardmark_untrack(cm, mem, 8 * live_card), 0);
	CHECK_EQ(cardmark_track(cm, mem, 8 * live_card, 0), 0);
	(void)live_collect(cm, table);
	CHECK(live_stats(cm).forks > 0);
}

static void a_fork_child_tracks_on_its_own(void)
{
	set_up_to_fork();
	write_some(2, 9);
	CHECK_EQ(tap_in_child(track_on_in_child, NULL), 0);
	/* The child collected six times: the parent's bits are its own (R5). */
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	CHECK_EQ(live_stats(cm).forks, 0);
	write_some(1, 4);
	CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	live_expect(table, mem, CARDS, want);
}

static void fork_child_only_closes(void *arg)
{
	(void)arg;
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	memset(mem, 9, CARDS * live_card);
	CHECK(mem[5 * live_card] == 9);
}

static void closing_in_a_child_leaves_the_parent_alone(void)
{
	set_up_to_fork();
	write_some(2, 9);
	CHECK_EQ(tap_in_child(fork_child_only_closes, NULL), 0);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	write_some(5, 6);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void grandchild(void *arg)
{
	track_on_in_child(arg);
	CHECK_EQ(tap_in_child(track_on_in_child, NULL), 0);
	write_some(7, 8);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

static void a_grandchild_too(void)
{
	set_up_to_fork();
	write_some(3, 5);
	CHECK_EQ(tap_in_child(grandchild, NULL), 0);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

/* A bare clone, without the C library: no handlers run. */
static void a_raw_clone_child_is_noticed(void)
{
	pid_t pid;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a raw clone of a sanitized process is not supported");
	set_up();
	write_some(2, 9);
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0) {
		size_t missing = 0;
		(void)alarm(20);
		cardmark_table_clear(table);
		(void)cardmark_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++)
			missing += !cardmark_table_is_dirty(table, mem + i * live_card);
		cardmark_table_clear(table);
		live_store(mem + 11 * live_card, 77);
		(void)cardmark_collect(cm, table);
		missing += !cardmark_table_is_dirty(table, mem + 11 * live_card);
		_exit(missing == 0 ? 0 : 1);
	}
	CHECK_EQ(tap_wait(pid), 0);
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
}

/* ---- A thread stopped inside the library --------------------------------------------- */

static sem_t inside, go_on;
static _Atomic bool block_once;

static void block(void)
{
	if (!atomic_exchange(&block_once, false))
		return;
	(void)sem_post(&inside);
	while (sem_wait(&go_on) != 0)
		;
}

static int blocking_vma_at(uintptr_t addr, struct cm_vma *out)
{
	block();
	return cm_os_linux.vma_at(addr, out);
}

static int blocking_covered(uintptr_t addr, size_t len)
{
	block();
	return cm_os_linux.covered(addr, len);
}

static int thread_result;

static void *track_more(void *arg)
{
	thread_result = cardmark_track(cm, arg, 4 * live_card, 0);
	return NULL;
}

static void collect_while_a_thread_is_stopped_inside(void)
{
	struct cm_os *os = broken_os_begin();
	unsigned char *more = live_map(4);
	struct cardmark_query q;
	struct cardmark_region region;
	pthread_t thread;

	CHECK(sem_init(&inside, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
	os->vma_at = blocking_vma_at;
	os->covered = blocking_covered;
	atomic_store(&block_once, false);
	set_up();
	write_some(2, 7);
	atomic_store(&block_once, true);
	CHECK(pthread_create(&thread, NULL, track_more, more) == 0);
	while (sem_wait(&inside) != 0)
		;
	/* All of these end while the thread is still inside. */
	CHECK_EQ(live_collect(cm, table), CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_all_dirty(table));
	CHECK(cardmark_table_is_dirty(table, mem));
	CHECK(says_tracked(cm, mem, live_card)); /* asked without the lock */
	q = live_query(CARDMARK_SCAN_GET, mem, CARDS, &region, 1);
	CHECK_EQ(cardmark_scan(cm, &q), -EBUSY);
	CHECK_EQ(cardmark_track(cm, more, live_card, 0), -EBUSY);
	(void)sem_post(&go_on);
	(void)pthread_join(thread, NULL);
	/* The table stays: a monitor thread may be reading it, and it no longer blocks. */
	CHECK_EQ(thread_result, 0);
	/* Nothing was harvested meanwhile, so nothing is lost. */
	(void)live_collect(cm, table);
	live_expect(table, mem, CARDS, want);
	CHECK_EQ(live_stats(cm).all_dirty, 1);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "R5: a fork child tracks on its own, the parent keeps its bits",
		  a_fork_child_tracks_on_its_own, 0, 0 },
		{ "R5: closing in a child leaves the parent alone",
		  closing_in_a_child_leaves_the_parent_alone, 0, 0 },
		{ "R5: a grandchild too", a_grandchild_too, 0, 0 },
		{ "R5: a raw clone child is noticed", a_raw_clone_child_is_noticed, 0, 0 },
		{ "a thread stopped inside the library: all dirty, in bounded time",
		  collect_while_a_thread_is_stopped_inside, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
