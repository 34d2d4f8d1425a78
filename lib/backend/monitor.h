/* SPDX-License-Identifier: MIT
 *
 * The uffd backend's descriptors and its monitor thread, which unprotects the
 * card a writer waits for. Only uffd.c includes this. */
#ifndef CM_BACKEND_MONITOR_H
#define CM_BACKEND_MONITOR_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define MESSAGES 16
#define TRIES 100

struct uffd {
	struct cm_backend b; /* first */
	int uffd, stop, pagemap;
	bool privileged, running;
	pthread_t monitor;
	/* The program closed our descriptor: faults no longer come, the page
	 * table tells nothing. Everything is dirty from then on. */
	_Atomic bool broken;
	struct cm_cards snapshot; /* what a scan found written */
};

static bool is_broken(const struct uffd *t)
{
	return atomic_load_explicit(&t->broken, memory_order_relaxed);
}

/* EAGAIN: the address space is changing (fork, mremap, munmap under way). */
static int set_protection(struct uffd *t, uintptr_t start, uintptr_t end, bool protect)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		CM_COUNT(t->b.params.counters->kernel_calls);
		error = cm_os->uffd_protect(t->uffd, start, end - start, protect);
		if (error != -EAGAIN)
			break;
		(void)sched_yield();
	}
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	return error;
}

/* ---- Descriptors ----------------------------------------------------------- */

static bool uffd_is_ours(const struct uffd *t)
{
	return cm_os->fd_is(t->uffd, "[userfaultfd]");
}

/* Programs close descriptors they do not know; the number is then another's. */
static void check_files(struct uffd *t)
{
	if (!uffd_is_ours(t))
		atomic_store_explicit(&t->broken, true, memory_order_relaxed);
	if (!cm_os->fd_is(t->pagemap, "/pagemap"))
		t->pagemap = cm_os->open_self("pagemap", O_RDONLY); /* or every read fails */
}

static void close_files(struct uffd *t)
{
	if (uffd_is_ours(t))
		(void)cm_os->close(t->uffd);
	if (cm_os->fd_is(t->pagemap, "/pagemap"))
		(void)cm_os->close(t->pagemap);
	if (cm_os->fd_is(t->stop, "[eventfd]"))
		(void)cm_os->close(t->stop);
	t->uffd = t->pagemap = t->stop = -1;
}

/* ---- The monitor ----------------------------------------------------------- */

static void resolve(struct uffd *t, const struct uffd_msg *msg)
{
	size_t card = cardmark_card_size();

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		return;
	uintptr_t addr = (uintptr_t)msg->arg.pagefault.address & ~(uintptr_t)(card - 1);
	CM_COUNT(t->b.params.counters->faults);
	/* Also wakes the writers. If it fails the range was unregistered since,
	 * which woke them too. */
	(void)set_protection(t, addr, addr + card, false);
}

/* Waits for no lock and touches nothing but the tracker and its own stack:
 * nothing that anybody could have protected. */
static void *monitor(void *arg)
{
	struct uffd *t = arg;
	struct uffd_msg msgs[MESSAGES];

	for (;;) {
		struct pollfd fds[2] = { { .fd = t->stop, .events = POLLIN },
					 { .fd = t->uffd, .events = POLLIN } };
		if (is_broken(t))
			fds[1].fd = -1;
		int n = cm_os->poll(fds, 2, -1);
		if (n <= 0)
			continue;
		if (fds[0].revents != 0)
			return NULL;
		if (fds[1].revents == 0)
			continue;
		ssize_t got = uffd_is_ours(t) ? cm_os->read(t->uffd, msgs, sizeof msgs) : -EBADF;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof *msgs; i++)
			resolve(t, &msgs[i]);
		if (got <= 0 && got != -EAGAIN && got != -EINTR) {
			cm_note_errno(t->b.params.counters, got < 0 ? (int)got : -EIO);
			atomic_store_explicit(&t->broken, true, memory_order_relaxed);
		}
	}
}

static int start_monitor(struct uffd *t)
{
	sigset_t every, before;

	/* It inherits the mask: a collector that stops threads by signal must
	 * not stop this one, or a writer in a fault never gets to its own stop. */
	(void)sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	int error = pthread_create(&t->monitor, NULL, monitor, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	t->running = error == 0;
	return error == 0 ? 0 : -ENOMEM; /* EAGAIN: no more threads */
}

static void stop_monitor(struct uffd *t)
{
	uint64_t one = 1;

	if (!t->running)
		return;
	if (cm_os->fd_is(t->stop, "[eventfd]"))
		(void)cm_os->write(t->stop, &one, sizeof one);
	else /* closed by the program; poll(2) is a cancellation point */
		(void)pthread_cancel(t->monitor);
	(void)pthread_join(t->monitor, NULL);
	t->running = false;
}

#endif
