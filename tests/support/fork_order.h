/* SPDX-License-Identifier: MIT
 *
 * A collector that stops threads by a signal and takes its lock in a fork handler, as libgc does.
 * The thread that forks must answer the signal until that handler has the lock. If the library's
 * handler came first, it would not: signals are blocked from there on. */
#ifndef CM_TESTS_FORK_ORDER_H
#define CM_TESTS_FORK_ORDER_H

#include "tests/support/live.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORK_ORDER_EARLY "CARDMARK_TEST_FORK_ORDER_EARLY"

static pthread_mutex_t fork_order_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool fork_order_on, fork_order_resume;
static atomic_uint fork_order_answers;
/* Of each fork, one after the other. */
static _Atomic enum { FORK_ORDER_FORKED, FORK_ORDER_LOCKED, FORK_ORDER_FORKING } fork_order_step;
static struct {
	pthread_t forker;
	void (*collect)(void);
	unsigned forks, wait_s, unanswered;
} fork_order;

static inline void fork_order_prepare(void)
{
	if (atomic_load(&fork_order_on))
		(void)pthread_mutex_lock(&fork_order_lock);
}

static inline void fork_order_after(void)
{
	if (atomic_load(&fork_order_on))
		(void)pthread_mutex_unlock(&fork_order_lock);
}

static inline void fork_order_add(void)
{
	(void)pthread_atfork(fork_order_prepare, fork_order_after, fork_order_after);
}

/* For a constructor that runs before the library's: the control's order. */
static inline void fork_order_early(void)
{
	if (getenv(FORK_ORDER_EARLY) != NULL)
		fork_order_add();
}

static inline void fork_order_stopped(int signo)
{
	(void)signo;
	atomic_fetch_add(&fork_order_answers, 1);
	while (!atomic_load(&fork_order_resume))
		(void)usleep(100);
}

static inline void fork_order_await(int step)
{
	while ((int)atomic_load(&fork_order_step) != step)
		(void)usleep(100);
}

static inline bool fork_order_answered(unsigned answers)
{
	for (unsigned ms = 0; ms < 1000 * fork_order.wait_s; ms++) {
		if (atomic_load(&fork_order_answers) == answers)
			return true;
		(void)usleep(1000);
	}
	return false;
}

/* Stops the forking thread, which is on its way into fork(). */
static inline void *fork_order_collector(void *arg)
{
	for (unsigned i = 1; i <= fork_order.forks; i++) {
		fork_order_await(FORK_ORDER_FORKED);
		(void)pthread_mutex_lock(&fork_order_lock);
		atomic_store(&fork_order_step, FORK_ORDER_LOCKED);
		fork_order_await(FORK_ORDER_FORKING);
		(void)usleep(20000);
		atomic_store(&fork_order_resume, false);
		(void)pthread_kill(fork_order.forker, SIGUSR2);
		if (fork_order_answered(i))
			fork_order.collect();
		else
			fork_order.unanswered++;
		atomic_store(&fork_order_resume, true);
		(void)pthread_mutex_unlock(&fork_order_lock);
	}
	return arg;
}

/* How many signals were not answered. */
static inline unsigned fork_order_unanswered(void (*collect)(void))
{
	struct sigaction action = { .sa_handler = fork_order_stopped, .sa_flags = SA_RESTART };
	pthread_t collector;
	bool early = getenv(FORK_ORDER_EARLY) != NULL;

	if (TAP_TSAN)
		tap_skip("the thread sanitizer delays signals");
	if (!early)
		fork_order_add();
	fork_order.forker = pthread_self();
	fork_order.collect = collect;
	fork_order.forks = early ? 1 : 5;
	fork_order.wait_s = early ? 1 : 20;
	CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
	atomic_store(&fork_order_on, true);
	CHECK_EQ(pthread_create(&collector, NULL, fork_order_collector, NULL), 0);
	for (unsigned i = 0; i < fork_order.forks; i++) {
		pid_t child;

		fork_order_await(FORK_ORDER_LOCKED);
		atomic_store(&fork_order_step, FORK_ORDER_FORKING);
		child = fork();
		if (child == 0)
			_exit(0);
		CHECK_EQ(tap_wait(child), 0);
		atomic_store(&fork_order_step, FORK_ORDER_FORKED);
	}
	(void)pthread_join(collector, NULL);
	atomic_store(&fork_order_on, false);
	return fork_order.unanswered;
}

/* The same case of this program fails when the collector's handlers were added first. */
static inline bool fork_order_fails_early(const char *name)
{
	const char *backend = cardmark_backend_name(live_backend);
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		(void)setenv(FORK_ORDER_EARLY, "1", 1);
		(void)dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO); /* no line of TAP */
		(void)execl("/proc/self/exe", "early", backend, name, (char *)NULL);
		_exit(0);
	}
	return tap_wait(child) != 0;
}

#endif
