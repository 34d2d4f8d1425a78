/* SPDX-License-Identifier: MIT
 *
 * The uffd backend's descriptors and its monitor thread, which unprotects the
 * card a writer waits for.
 *
 * As long as the userfaultfd is ours, the monitor answers: if a program closes it unnoticed,
 * writers hang where a child has a copy (of a vfork, until its exec; of a
 * raw clone, for ever). If only the pipe was taken, it answers on, deaf, and looks
 * more often for a recall.
 *
 * A program that closes the userfaultfd leaves it alive as long as the monitor's
 * poll(2) holds it: writers fault, and the reason cannot be read. So the monitor never stays
 * in poll with a descriptor that is not ours. It parks, and with that lets go: the
 * kernel wakes the writers, and nothing is watched. The next call that finds it so
 * opens new descriptors, counts everything as written, and hands them to the parked
 * monitor: it can't start another one while the world is stopped.
 *
 * What gets the monitor out of poll: a fault, a byte in the pipe, the closing of the
 * pipe's other end, also by the program, or that it was there for LOOK_AGAIN_MS. */
#include "lib/backend/monitor.h"

#include "common/signals.h"
#include "common/wait.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#define MESSAGES 16
#define TRIES 100
#define STRIKES 1000      /* in a row, of calls that return "not now" */
#define LOOK_AGAIN_MS 100 /* the longest a writer waits when our descriptor was taken */
#define DEAF_LOOK_MS 5    /* without the pipe: less than WAIT_PARK_NS */
#define WAIT_PARK_NS UINT64_C(20000000) /* the world may be stopped meanwhile */

int cm_uffd_protect(struct cm_uffd *t, uintptr_t start, uintptr_t end, bool protect)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		CM_COUNT(t->b.params.counters->kernel_calls);
		error = cm_os->uffd_protect(t->uffd.fd, start, end - start, protect);
		if (error != -EAGAIN)
			break;
		(void)sched_yield();
	}
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	return error;
}

void cm_uffd_close_files(struct cm_uffd *t)
{
	cm_file_close(&t->uffd);
	cm_file_close(&t->pagemap);
	cm_file_close(&t->ear);
	cm_file_close(&t->bell);
}

/* ---- The monitor ----------------------------------------------------------- */

/* False: the writer can't be helped. */
static bool resolve_fault(struct cm_uffd *t, const struct uffd_msg *msg)
{
	uintptr_t mask = cardmark_card_size() - 1;

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		return true;
	uintptr_t addr = (uintptr_t)msg->arg.pagefault.address & ~mask;
	CM_COUNT(t->b.params.counters->faults);
	/* Also wakes the writers. ENOENT: the range was unregistered since, which
	 * woke them too. */
	int error = cm_uffd_protect(t, addr, addr + mask + 1, false);
	return error == 0 || error == -ENOENT;
}

static bool not_now(int error)
{
	return error == -EAGAIN || error == -EINTR;
}

/* Takes the recall: the caller of cm_monitor_recall() waits, and closes the descriptors. */
static bool was_recalled(struct cm_uffd *t)
{
	return atomic_exchange_explicit(&t->recalled, false, memory_order_acq_rel);
}

/* Waits for faults, and resolves some. Waits for no lock and touches nothing but
 * the tracker and its own stack: nothing that anybody could have protected.
 * 0: go on. -EAGAIN: the same, unless it comes too often. Else: give up. */
static int serve(struct cm_uffd *t)
{
	struct pollfd fds[2] = { { .fd = t->ear.fd, .events = POLLIN },
				 { .fd = t->uffd.fd, .events = POLLIN } };
	struct uffd_msg msgs[MESSAGES];
	int longest = LOOK_AGAIN_MS;

	if (cm_file_state(&t->uffd) == CM_FILE_LOST)
		return -EBADF;
	if (t->deaf || cm_file_state(&t->ear) == CM_FILE_LOST) {
		fds[0].fd = -1;
		longest = DEAF_LOOK_MS;
	}
	/* Not for ever: woken by a fault, poll(2) looks the number up again. Where the
	 * program has put a file there that has nothing to say, it would sleep on, keep the
	 * userfaultfd that is gone alive, and the writer would wait with it. */
	int n = cm_os->poll(fds, 2, longest);
	if (n < 0)
		return not_now(n) ? -EAGAIN : n;
	if (was_recalled(t))
		return -ECANCELED;
	if (fds[0].revents != 0) /* closed at the other end, or a recall that came to nothing */
		t->deaf = true;
	if ((fds[1].revents & ~POLLIN) != 0)
		return -EIO;
	if (fds[1].revents == 0)
		return 0;
	/* What another file holds is not ours to read. */
	if (cm_file_state(&t->uffd) == CM_FILE_LOST)
		return -EBADF;
	ssize_t got = cm_os->read(t->uffd.fd, msgs, sizeof msgs);
	if (got <= 0)
		return got == 0 ? -EIO : not_now((int)got) ? -EAGAIN : (int)got;
	for (size_t i = 0; i < (size_t)got / sizeof *msgs; i++)
		if (!resolve_fault(t, &msgs[i]))
			return -EIO;
	return 0;
}

static void park(struct cm_uffd *t)
{
	/* Pairs with the acquire in cm_monitor_is_parked(). */
	atomic_store_explicit(&t->parked, true, memory_order_release);
	while (sem_wait(&t->go_on) != 0)
		;
}

/* No thread waits for it, so no other closes it: the writers that wait for us go on
 * when nothing holds the userfaultfd any more. */
static void let_writers_go(struct cm_uffd *t, int error)
{
	cm_note_errno(t->b.params.counters, error);
	if (cm_file_state(&t->uffd) != CM_FILE_LOST)
		(void)cm_os->close(t->uffd.fd);
}

static void *monitor(void *arg)
{
	struct cm_uffd *t = arg;
	unsigned strikes = 0;

	while (!atomic_load_explicit(&t->quit, memory_order_acquire)) {
		int error = serve(t);

		strikes = error == -EAGAIN ? strikes + 1 : 0;
		if (error == 0 || (error == -EAGAIN && strikes < STRIKES) ||
		    atomic_load_explicit(&t->quit, memory_order_acquire))
			continue;
		if (error != -ECANCELED)
			let_writers_go(t, error);
		strikes = 0;
		park(t);
	}
	return NULL;
}

int cm_monitor_start(struct cm_uffd *t)
{
	sigset_t every, before;

	atomic_store_explicit(&t->quit, false, memory_order_relaxed);
	atomic_store_explicit(&t->recalled, false, memory_order_relaxed);
	atomic_store_explicit(&t->parked, false, memory_order_relaxed);
	t->deaf = false;
	(void)sem_init(&t->go_on, 0, 0);
	/* It inherits the mask: a collector that stops threads by signal must
	 * not stop this one, or a writer in a fault never gets to its own stop. */
	(void)sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	int error = pthread_create(&t->monitor, NULL, monitor, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	t->running = error == 0;
	return error == 0 ? 0 : -ENOMEM; /* EAGAIN: no more threads */
}

/* Gets the monitor out of poll(2). False: it may sleep on. */
static bool ring(struct cm_uffd *t)
{
	/* What another file holds is not ours to write to. */
	if (cm_file_is_ours(&t->bell) && cm_file_is_ours(&t->ear) &&
	    cm_os->write(t->bell.fd, "!", 1) == 1)
		return true;
	/* Closing it wakes the monitor, unless a child has a copy. */
	cm_file_close(&t->bell);
	return false;
}

void cm_monitor_stop(struct cm_uffd *t)
{
	if (!t->running)
		return;
	/* One step before, it answers; one step after, it ends at its next look, which is not
	 * far even if no call can ring: LOOK_AGAIN_MS. */
	atomic_store_explicit(&t->quit, true, memory_order_release);
	(void)sem_post(&t->go_on);
	(void)ring(t);
	cm_join(t->monitor);
	t->running = false;
}

bool cm_monitor_is_parked(struct cm_uffd *t)
{
	return atomic_load_explicit(&t->parked, memory_order_acquire);
}

bool cm_monitor_recall(struct cm_uffd *t)
{
	struct cm_wait wait = { .bound_ns = WAIT_PARK_NS };

	if (!t->running || cm_monitor_is_parked(t))
		return t->running;
	atomic_store_explicit(&t->recalled, true, memory_order_release);
	(void)ring(t);
	do {
		(void)sched_yield();
		if (cm_monitor_is_parked(t))
			return true;
	} while (!cm_wait_is_over(&wait, cm_os->now()));
	if (was_recalled(t))
		return false;
	while (!cm_monitor_is_parked(t)) /* it took it, and has nothing left to do but to park */
		(void)sched_yield();
	return true;
}

void cm_monitor_resume(struct cm_uffd *t)
{
	/* One that gave up may have left a recall. */
	atomic_store_explicit(&t->recalled, false, memory_order_relaxed);
	atomic_store_explicit(&t->parked, false, memory_order_relaxed);
	t->deaf = false;
	(void)sem_post(&t->go_on);
}
