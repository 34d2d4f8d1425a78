/* SPDX-License-Identifier: MIT
 *
 * Waiting for a lock, but not for a fork under way, nor, in a copy of the process made by clone(2),
 * for threads that may not exist. */
#include "gc-glue/jemalloc/util.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_uint forking;
static atomic_int process;

void cm_je_process_begins(void)
{
	atomic_store_explicit(&process, getpid(), memory_order_relaxed);
	atomic_store_explicit(&forking, 0, memory_order_relaxed);
}

void cm_je_fork_begins(void)
{
	(void)atomic_fetch_add_explicit(&forking, 1, memory_order_relaxed);
}

void cm_je_fork_ends(void)
{
	(void)atomic_fetch_sub_explicit(&forking, 1, memory_order_relaxed);
}

bool cm_je_forking(void)
{
	return atomic_load_explicit(&forking, memory_order_relaxed) != 0;
}

bool cm_je_is_copy(void)
{
	return atomic_load_explicit(&process, memory_order_relaxed) != getpid();
}

void cm_je_pause(unsigned turn)
{
	static const struct timespec time = { .tv_nsec = 100000 };
	int saved = errno;

	(void)sched_yield();
	if (turn % 64 == 63)
		(void)syscall(SYS_nanosleep, &time, NULL);
	errno = saved;
}

bool cm_je_lock(pthread_mutex_t *lock)
{
	struct cm_wait wait = { .bound_ns = CM_JE_WAIT_LONG_NS };

	if (!cm_je_is_copy())
		return pthread_mutex_lock(lock) == 0;
	for (unsigned turn = 0; pthread_mutex_trylock(lock) != 0; turn++) {
		if (cm_wait_is_over(&wait, cm_now_ns()))
			return false;
		cm_je_pause(turn);
	}
	return true;
}
