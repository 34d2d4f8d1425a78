/* SPDX-License-Identifier: MIT
 *
 * Description: a thread that has left the process's table of descriptors (unshare(2), or clone(2)
 * without CLONE_FILES) and closed the descriptors there: it may ask, suspend, resume and
 * close. No writer waits for ever, no write is lost. And our descriptors are never 0, 1 or 2. */
#include "tests/live/descriptors.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define LIMIT_S 60 /* after this time a waiting writer counts as stuck for ever */
#define STACK 65536

enum act { ASK, ASK_WHEN_ALL_LOST, RESUME, CLOSE };

static void write_and_ask(void)
{
	for (size_t round = 0; round < 4; round++) {
		write_some(round, 3);
		(void)live_collect(cm, table);
		nothing_lost();
	}
}

static void *act_apart(void *arg)
{
	const enum act *act = arg;

	CHECK(unshare(CLONE_FILES) == 0);
	close_all();
	write_and_ask();
	if (*act == RESUME) {
		CHECK_EQ(cardmark_suspend(cm), 0);
		write_and_ask();
		/* pagemap: the memory is still the other table's userfaultfd's. */
		int error = cardmark_resume(cm);
		CHECK(error == 0 || error == -EBUSY);
		write_and_ask();
	}
	if (*act == CLOSE) {
		cardmark_close(&cm);
		memset(mem, 2, CARDS * live_card);
	}
	return NULL;
}

static void beside_a_thread_apart(void *arg)
{
	enum act *act = arg;
	pthread_t thread;

	(void)alarm(LIMIT_S);
	set_up_watched();
	if (*act == ASK_WHEN_ALL_LOST)
		close_all();
	CHECK(pthread_create(&thread, NULL, act_apart, act) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	if (*act == CLOSE) {
		memset(mem, 3, CARDS * live_card);
		return;
	}
	write_and_ask();
	/* The monitor still has the descriptors of this table. */
	if (*act == ASK && live_backend == CARDMARK_BACKEND_UFFD)
		exact_from_here();
}

static void a_thread_apart_asks(void)
{
	enum act act = ASK;

	in_child(beside_a_thread_apart, &act);
}

/* The monitor does not have the descriptors that this thread opens: nothing may be protected
 * with them. */
static void a_thread_apart_asks_when_all_tables_lost_them(void)
{
	enum act act = ASK_WHEN_ALL_LOST;

	in_child(beside_a_thread_apart, &act);
}

static void a_thread_apart_resumes(void)
{
	enum act act = RESUME;

	in_child(beside_a_thread_apart, &act);
}

static void a_thread_apart_closes(void)
{
	enum act act = CLOSE;

	in_child(beside_a_thread_apart, &act);
}

static int ask_apart(void *arg)
{
	(void)arg;
	/* The alarm ends only the parent. */
	CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
	close_all();
	write_and_ask();
	return 0;
}

static void beside_a_process_of_our_memory(void *arg)
{
	static char stack[STACK] __attribute__((aligned(64)));
	int status;

	(void)arg;
	(void)alarm(LIMIT_S);
	set_up_watched();
	for (int i = 0; i < 2; i++) {
		pid_t pid = clone(ask_apart, stack + STACK, CLONE_VM | SIGCHLD, NULL);
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		CHECK_EQ(status, 0);
		write_and_ask();
	}
}

static void a_process_of_our_memory_asks(void)
{
	if (TAP_TSAN)
		tap_skip("the thread sanitizer knows no thread in a process of clone(CLONE_VM)");
	in_child(beside_a_process_of_our_memory, NULL);
}

/* ---- 0, 1 and 2 ---------------------------------------------------------------------- */

static void without_stdio(void *arg)
{
	struct rlimit few = { 60, 60 };

	(void)arg;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	set_up();
	for (int fd = 0; fd < 3; fd++)
		CHECK(fcntl(fd, F_GETFD) < 0);
	exact_from_here();
}

static void no_standard_descriptor_is_ours(void)
{
	CHECK_EQ(tap_in_child(without_stdio, NULL), 0);
}

static void with_three_descriptors(void *arg)
{
	struct rlimit three = { 3, 3 };
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *opened = NULL;

	(void)arg;
	for (int fd = 0; fd < 64; fd++)
		(void)close(fd);
	CHECK(setrlimit(RLIMIT_NOFILE, &three) == 0);
	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	int error = cardmark_open(&opened, &options);
	CHECK_EQ(error, keeps_files() ? -ENOMEM : 0);
	CHECK(error == 0 || strstr(cardmark_last_error(), "EMFILE") != NULL);
	for (int fd = 0; fd < 3; fd++)
		CHECK(fcntl(fd, F_GETFD) < 0);
}

static void where_there_are_no_others_it_is_refused(void)
{
	CHECK_EQ(tap_in_child(with_three_descriptors, NULL), 0);
}

static const struct live_case cases[] = {
	{ .name = "a thread with a table of its own asks", .run = a_thread_apart_asks },
	{ .name = "it asks when this table has lost them too",
	  .run = a_thread_apart_asks_when_all_tables_lost_them },
	{ .name = "it suspends and resumes", .run = a_thread_apart_resumes },
	{ .name = "it closes", .run = a_thread_apart_closes },
	{ .name = "a process that shares our memory, not our descriptors, asks",
	  .run = a_process_of_our_memory_asks },
	{ .name = "no standard descriptor is ours", .run = no_standard_descriptor_is_ours },
	{ .name = "where there are no others it is refused",
	  .run = where_there_are_no_others_it_is_refused },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
