/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_THREADS 256

static struct member {
	atomic_int tid;
	atomic_uint stopped_in; /* the epoch in which it sits in the handler, or 0 */
} members[MOST_THREADS];
static size_t n_members;
static atomic_uint epoch; /* odd: the world is stopped */
static int tasks = -1;    /* /proc/self/task */
static int the_signal;

static void a_moment(void)
{
	static const struct timespec t = { .tv_nsec = 50000 };

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void handler(int signal)
{
	unsigned now = atomic_load_explicit(&epoch, memory_order_acquire);
	int tid = (int)syscall(SYS_gettid), saved_errno = errno;

	(void)signal;
	for (size_t i = 0; now % 2 != 0 && i < MOST_THREADS; i++) {
		if (atomic_load_explicit(&members[i].tid, memory_order_acquire) != tid)
			continue;
		/* release: a thread that sees this one stopped also sees its writes. */
		atomic_store_explicit(&members[i].stopped_in, now, memory_order_release);
		while (atomic_load_explicit(&epoch, memory_order_acquire) == now)
			(void)syscall(SYS_futex, &epoch, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
		atomic_store_explicit(&members[i].stopped_in, 0, memory_order_release);
		break;
	}
	errno = saved_errno;
}

int world_set_up(void)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

	tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tasks < 0)
		return -errno;
	the_signal = SIGRTMIN + 7;
	(void)sigfillset(&action.sa_mask);
	return sigaction(the_signal, &action, NULL) < 0 ? -errno : 0;
}

static bool blocks_signals_for_ever(int tid)
{
	char path[64], name[32];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "%d/comm", tid);
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* it has ended */
	n = read(fd, name, sizeof name - 1);
	(void)close(fd);
	name[n > 0 ? n : 0] = '\0';
	return strncmp(name, "jemalloc_bg", 11) == 0;
}

/* The number of threads that were new, or -1: too many. */
static int signal_new(void)
{
	static _Alignas(8) char entries[8192];
	int fresh = 0;
	long n;

	(void)lseek(tasks, 0, SEEK_SET);
	/* readdir would call malloc, whose locks a stopped thread may hold. */
	while ((n = syscall(SYS_getdents64, tasks, entries, sizeof entries)) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *)(void *)(entries + at);
			int tid = atoi(e->d_name);
			bool known = tid == 0 || tid == (int)syscall(SYS_gettid);

			at += e->d_reclen;
			for (size_t i = 0; !known && i < n_members; i++)
				known = members[i].tid == tid;
			if (known || blocks_signals_for_ever(tid))
				continue;
			if (n_members == MOST_THREADS)
				return -1;
			atomic_store_explicit(&members[n_members++].tid, tid, memory_order_release);
			(void)syscall(SYS_tgkill, getpid(), tid, the_signal);
			fresh++;
		}
	}
	return fresh;
}

static void wait_until(unsigned stopped_in)
{
	for (size_t i = 0; i < n_members; i++)
		/* A thread inside a hook or a fork leaves it first. A thread may also end
		 * meanwhile, or set its name only now. */
		while (atomic_load_explicit(&members[i].stopped_in, memory_order_acquire) !=
			       stopped_in &&
		       !blocks_signals_for_ever(members[i].tid))
			a_moment();
}

bool world_stop(void)
{
	unsigned now = atomic_fetch_add_explicit(&epoch, 1, memory_order_acq_rel) + 1;
	int fresh;

	/* Those that are not stopped yet can start others. */
	while ((fresh = signal_new()) > 0)
		wait_until(now);
	if (fresh < 0)
		world_go_on();
	return fresh == 0;
}

void world_go_on(void)
{
	(void)atomic_fetch_add_explicit(&epoch, 1, memory_order_acq_rel);
	(void)syscall(SYS_futex, &epoch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	wait_until(0);
	for (size_t i = 0; i < n_members; i++)
		atomic_store_explicit(&members[i].tid, 0, memory_order_relaxed);
	n_members = 0;
}
