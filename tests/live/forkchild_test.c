/* SPDX-License-Identifier: MIT
 *
 * Description: a fork child is set up once, before anything can ask there: a signal handler or
 * a second thread meanwhile, a fork handler that runs before ours, a child of clone(2) while a
 * thread is inside, a child of a fork in a handler that interrupts a call. The parent keeps
 * its bits, nothing hangs. Controls: without any one of the rules a card is lost or a thread
 * hangs. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "lib/backend/pagemap.h"
#include "lib/tracker.h"
#include "tests/support/broken_os.h"
#include "tests/support/gated_os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHDOG_S 60 /* ends a child that hangs */

/* ---- A fork child that is asked before it is set up ----------------------------------- */

static pid_t parent;

/* The child takes a while to open its own descriptors. */
static int slow_open_self(const char *name, int flags)
{
	if (getpid() != parent && !atomic_exchange(&gate_reached, true))
		(void)usleep(100000);
	return cm_os_linux.open_self(name, flags);
}

static int slow_mprotect(uintptr_t addr, size_t len, int prot)
{
	if (getpid() != parent && !atomic_exchange(&gate_reached, true))
		(void)usleep(100000);
	return cm_os_linux.mprotect(addr, len, prot);
}

static void set_up_slow_child(void)
{
	struct cm_os *os = broken_os_begin();

	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no new thread in a fork child, and no "
			 "clone");
	set_up();
	parent = getpid();
	atomic_store(&gate_reached, false);
	os->open_self = slow_open_self;
	os->mprotect = slow_mprotect;
	write_card(5);
}

static struct cardmark_table *second_table;
static _Atomic int handled;

static void collecting_handler(int sig)
{
	(void)sig;
	(void)cardmark_collect(cm, second_table);
	atomic_fetch_add(&handled, 1);
}

static void expect_parent_keeps_its_card(void)
{
	(void)live_collect(cm, table);
	CHECK(card_dirty(table, 5));
}

static void a_signal_while_a_fork_child_is_set_up(void)
{
	struct sigaction act = { .sa_handler = collecting_handler }, old;
	int status = -1;
	pid_t pid;

	set_up_slow_child();
	second_table = live_table(cm);
	CHECK_EQ(sigaction(SIGUSR1, &act, &old), 0);
	atomic_store(&handled, 0);
	pid = fork();
	if (pid == 0) {
		(void)alarm(WATCHDOG_S);
		while (atomic_load(&handled) == 0)
			(void)usleep(1000);
		cardmark_table_clear(table);
		_exit(cardmark_collect(cm, table) == CARDMARK_ALL_DIRTY);
	}
	/* Before, while and after it is set up. */
	for (int i = 0; i < 30; i++) {
		(void)kill(pid, SIGUSR1);
		(void)usleep(5000);
	}
	status = tap_wait(pid);
	(void)sigaction(SIGUSR1, &old, NULL);
	CHECK_EQ(status, 0);
	expect_parent_keeps_its_card();
}

static void *collect_too(void *arg)
{
	await(&gate_reached);
	(void)cardmark_collect(cm, arg);
	return NULL;
}

static void *collect_first(void *arg)
{
	(void)cardmark_collect(cm, arg);
	atomic_store(&gate_reached, true); /* if there was nothing to set up */
	return NULL;
}

/* Both come from a child of a bare clone(2), where no handler ran. */
static void two_threads_of_a_raw_clone_at_once(void)
{
	pid_t pid;

	if (TAP_ASAN)
		tap_skip("a raw clone of a sanitized process is not supported");
	set_up_slow_child();
	second_table = live_table(cm);
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0) {
		pthread_t first, second;
		size_t missing = 0;

		(void)alarm(WATCHDOG_S);
		if (pthread_create(&second, NULL, collect_too, second_table) != 0 ||
		    pthread_create(&first, NULL, collect_first, table) != 0)
			_exit(2);
		(void)pthread_join(first, NULL);
		(void)pthread_join(second, NULL);
		/* Everything is dirty in the child's first answer, or the one after it. */
		(void)cardmark_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++)
			missing += !card_dirty(table, i) && !card_dirty(second_table, i);
		_exit(missing != 0);
	}
	CHECK_EQ(tap_wait(pid), 0);
	expect_parent_keeps_its_card();
}

/* Control: a child that asks through what it has inherited (R5). */
static void asking_before_it_is_set_up_loses_the_card(void)
{
	pid_t pid;

	set_up_slow_child();
	pid = fork();
	if (pid == 0) {
		struct pagemap *p = (struct pagemap *)cm->backend;
		struct cm_os inherited = cm_os_linux;

		(void)alarm(WATCHDOG_S);
		cm_os = &inherited;
		p->pagemap = CM_NO_FILE;
		_exit(cm_file_take(&p->pagemap, cm_os->open_proc(parent, "pagemap", O_RDONLY)) <
			      0 ||
		      cardmark_collect(cm, table) == CARDMARK_ALL_DIRTY);
	}
	CHECK_EQ(tap_wait(pid), 0);
	(void)live_collect(cm, table);
	CHECK(!card_dirty(table, 5));
}

/* Registered before the library's own handlers, so it runs before them in a child. */
static enum { NOTHING, COLLECTS, ASKS } early;

static void early_child_handler(void)
{
	if (early == COLLECTS)
		(void)cardmark_collect(cm, table);
	if (early == ASKS)
		(void)says_tracked(cm, mem, live_card);
}

static void look_at_child(void *arg)
{
	sigset_t blocked;

	(void)arg;
	early = NOTHING;
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	CHECK_EQ(sigismember(&blocked, SIGUSR1), 0);
	(void)alarm(WATCHDOG_S);
	(void)live_collect(cm, table);
	write_card(7);
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(card_dirty(table, 7));
	CHECK_EQ(cardmark_untrack(cm, mem, live_card), 0);
	CHECK_EQ(live_stats(cm).forks, 1);
}

static void a_child_handler_that_runs_before_ours(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	write_card(5);
	early = COLLECTS;
	CHECK_EQ(tap_in_child(look_at_child, NULL), 0);
	early = ASKS;
	CHECK_EQ(tap_in_child(look_at_child, NULL), 0);
	early = NOTHING;
	expect_parent_keeps_its_card();
}

/* ---- A raw clone while a thread is inside ---------------------------------------------- */

static void child_of_a_torn_tracker(bool closes)
{
	size_t missing = 0;

	(void)alarm(WATCHDOG_S);
	if (!closes) {
		missing += cardmark_collect(cm, table) != CARDMARK_ALL_DIRTY;
		for (size_t i = 0; i < CARDS; i++)
			missing += !card_dirty(table, i);
		missing += cardmark_untrack(cm, mem, live_card) != -EBUSY;
		missing += strstr(cardmark_last_error(), "clone") == NULL;
		missing += says_tracked(cm, mem, live_card);
		memset(mem, 3, CARDS * live_card);
		cardmark_table_delete(&table);
	}
	cardmark_close(&cm);
	memset(mem, 4, CARDS * live_card);
	_exit(missing != 0);
}

static void a_raw_clone_while_a_thread_is_inside(void)
{
	struct cm_os *os = broken_os_begin();
	unsigned char *more = live_map(4);

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a raw clone of a sanitized process is not supported");
	os->madvise = gated_madvise;
	os->covered = gated_covered;
	os->vma_at = gated_vma_at;
	set_up();
	for (int closes = 0; closes < 2; closes++) {
		pthread_t thread;
		int status = -1;
		pid_t pid;

		(void)live_collect(cm, table);
		write_card(5);
		thread = start_track_and_stop_inside(more);
		pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
		if (pid == 0)
			child_of_a_torn_tracker(closes);
		status = tap_wait(pid);
		open_gate();
		(void)pthread_join(thread, NULL);
		CHECK_EQ(status, 0);
		expect_parent_keeps_its_card();
	}
}

/* ---- A fork in a handler that interrupts a call -------------------------------------------- */

static _Atomic bool raise_here, lets_signals_in;
static _Atomic int forked;

static void forking_handler(int sig)
{
	pid_t pid = fork();

	(void)sig;
	if (pid == 0)
		_exit(0);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	atomic_fetch_add(&forked, 1);
}

static void interrupt(void)
{
	sigset_t usr1;

	if (!atomic_exchange(&raise_here, false))
		return;
	(void)raise(SIGUSR1);
	if (!atomic_load(&lets_signals_in))
		return;
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	(void)pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
}

static int interrupted_covered(uintptr_t addr, size_t len)
{
	interrupt();
	return cm_os_linux.covered(addr, len);
}

static int interrupted_vma_at(uintptr_t addr, struct cm_vma *out)
{
	interrupt();
	return cm_os_linux.vma_at(addr, out);
}

/* In a process of its own, which a hang ends. */
static void fork_in_a_handler(void *arg)
{
	struct sigaction act = { .sa_handler = forking_handler };
	struct cm_os *os = broken_os_begin();
	unsigned char *more = live_map(4);

	os->covered = interrupted_covered;
	os->vma_at = interrupted_vma_at;
	set_up();
	CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
	atomic_store(&lets_signals_in, arg != NULL);
	atomic_store(&raise_here, true);
	CHECK_EQ(cardmark_track(cm, more, 4 * live_card, 0), 0);
	CHECK(!atomic_load(&raise_here));
	CHECK_EQ(atomic_load(&forked), 1);
	write_card(5);
	(void)live_collect(cm, table);
	CHECK(card_dirty(table, 5));
}

static void a_fork_in_a_handler_during_a_call(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no fork of a process with threads");
	CHECK_EQ(tap_in_child(fork_in_a_handler, NULL), 0);
}

/* Control: a handler that runs inside waits for a lock that its own thread has. */
static void a_handler_that_runs_inside_hangs(void)
{
	static int yes;
	int status = 0;
	pid_t pid;

	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no fork of a process with threads");
	pid = fork();
	if (pid == 0) {
		fork_in_a_handler(&yes);
		_exit(0);
	}
	/* It waits with its signals blocked. */
	for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG) == 0; i++)
		(void)usleep(20000);
	(void)kill(pid, SIGKILL);
	status = tap_wait(pid);
	CHECK_EQ(WTERMSIG(status), SIGKILL);
}

/* ---- A process that may not ask for its number ----------------------------------------- */

static int refused_pid(void)
{
	return -1;
}

/* It may wait with its signals blocked, so an alarm does not end it. */
static int wait_or_kill(pid_t pid)
{
	int status = 0;

	for (int i = 0; i < WATCHDOG_S * 50; i++) {
		if (waitpid(pid, &status, WNOHANG) != 0)
			return status;
		(void)usleep(20000);
	}
	(void)kill(pid, SIGKILL);
	return tap_wait(pid);
}

static void a_filter_that_refuses_getpid(void)
{
	struct cm_os *os;
	pid_t pid;

	if (TAP_TSAN)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	os = broken_os_begin();
	os->pid = refused_pid;
	pid = fork();
	if (pid == 0) {
		write_card(5);
		if (cardmark_collect(cm, table) == CARDMARK_REFUSED || !card_dirty(table, 5))
			_exit(1);
		pid = fork();
		if (pid == 0)
			_exit(0);
		_exit(wait_or_kill(pid) != 0);
	}
	CHECK_EQ(wait_or_kill(pid), 0);
	write_card(6);
	(void)live_collect(cm, table);
	CHECK(card_dirty(table, 6));
	broken_os_end();
}

/* Before the library's own: its constructor has no priority. */
__attribute__((constructor(101))) static void add_early_handler(void)
{
	(void)pthread_atfork(NULL, NULL, early_child_handler);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a signal while a fork child is set up", a_signal_while_a_fork_child_is_set_up, 0,
		  0 },
		{ "two threads of a raw clone at once", two_threads_of_a_raw_clone_at_once, 0, 0 },
		{ "control: asking before it is set up loses the card",
		  asking_before_it_is_set_up_loses_the_card, 0, LIVE_ONLY(PAGEMAP) },
		{ "a child handler that runs before ours", a_child_handler_that_runs_before_ours, 0,
		  0 },
		{ "a raw clone while a thread is inside", a_raw_clone_while_a_thread_is_inside, 0,
		  0 },
		{ "a fork in a handler during a call", a_fork_in_a_handler_during_a_call, 0, 0 },
		{ "a filter that refuses getpid(2)", a_filter_that_refuses_getpid, 0, 0 },
		{ "control: a handler that runs inside hangs", a_handler_that_runs_inside_hangs, 0,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
