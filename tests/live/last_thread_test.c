/* SPDX-License-Identifier: MIT
 *
 * Description: a process ends with the last thread of the program, although a tracker is open, and
 * its exit handlers may write and ask. Control: if the library never notices that no other
 * thread is left, a backend with a thread of its own keeps the process alive. */
#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 30, CONTROL_S = 2, STILL_THERE = -1 };

static atomic_bool go;

/* Runs in the last thread, whichever that is. */
static void write_and_ask(void)
{
	for (size_t i = 0; i < CARDS; i++)
		live_store(card_at(i), 3);
	(void)live_collect(cm, table);
	cardmark_close(&cm);
}

static void track_and_arm(void)
{
	set_up();
	write_card(3);
	(void)live_collect(cm, table);
	CHECK(atexit(write_and_ask) == 0);
}

_Noreturn static void end_first_thread(void)
{
	track_and_arm();
	pthread_exit(NULL);
}

static void *write_later(void *arg)
{
	(void)arg;
	while (!atomic_load(&go))
		(void)usleep(1000);
	/* The first thread is gone. This one still needs its writes answered. */
	(void)usleep(300000);
	for (size_t i = 0; i < CARDS; i++)
		live_store(card_at(i), 4);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		CHECK(cardmark_table_is_dirty(table, card_at(i)));
	return NULL;
}

_Noreturn static void end_first_thread_before_another(void)
{
	pthread_t thread;

	track_and_arm();
	CHECK(pthread_create(&thread, NULL, write_later, NULL) == 0);
	atomic_store(&go, true);
	pthread_exit(NULL);
}

static int never(void)
{
	return 0;
}

_Noreturn static void end_unnoticed(void)
{
	broken_os_begin()->alone = never;
	track_and_arm();
	pthread_exit(NULL);
}

/* Returns how a child that runs this function ends. The thread that is left in it blocks all
 * signals, so an alarm would not end it. */
static int end_of(void (*run)(void), unsigned seconds)
{
	int status = STILL_THERE;
	pid_t pid;

	if (TAP_TSAN)
		tap_skip("the thread sanitizer has a thread of its own");
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		run();
	CHECK(pid > 0);
	for (unsigned i = 0; i < seconds * 100 && waitpid(pid, &status, WNOHANG) != pid; i++)
		(void)usleep(10000);
	if (status == STILL_THERE) {
		CHECK(kill(pid, SIGKILL) == 0);
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
	return status;
}

static void the_first_thread_ends(void)
{
	CHECK_EQ(end_of(end_first_thread, LIMIT_S), 0);
}

static void another_thread_ends_last(void)
{
	CHECK_EQ(end_of(end_first_thread_before_another, LIMIT_S), 0);
}

static void nobody_notices(void)
{
	CHECK_EQ(end_of(end_unnoticed, CONTROL_S), STILL_THERE);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "the first thread ends, and it is the only one", the_first_thread_ends, 0, 0 },
		{ "another thread ends last", another_thread_ends_last, 0, 0 },
		{ "control: nobody notices", nobody_notices, 0, LIVE_ONLY(UFFD) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
