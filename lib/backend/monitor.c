/* SPDX-License-Identifier: MIT
 *
 * The uffd backend's descriptors and its monitor thread, which unprotects the
 * card a writer waits for.
 *
 * The monitor answers faults as long as the userfaultfd is ours. If a program closes it unnoticed
 * while a child has a copy, writers hang (with vfork until the exec; with a raw clone for ever). If
 * only the pipe was closed, the monitor still answers, but cannot be woken, so it looks for a
 * recall more often.
 *
 * If a program closes the userfaultfd, the file stays alive as long as the monitor's poll(2) holds
 * it: writers fault, and their messages cannot be read. So the monitor never stays in poll with a
 * descriptor that is not ours. It parks, and so lets go of the file: the kernel wakes the writers,
 * and nothing is watched. The next call that finds a parked monitor opens new descriptors, counts
 * everything as written, and hands the descriptors to the monitor. It can't start another monitor
 * while the world is stopped.
 *
 * A descriptor is a number in the table of a thread, and a thread may have left the table that it
 * shared with the monitor. The monitor cannot use a file that such a thread opens, and such a
 * thread cannot close the monitor's files. So before the files are given up, the monitor is asked
 * whether it still has them; before anything is protected, it is asked whether it has found the new
 * files.
 *
 * The monitor leaves poll at a fault, at a byte in the pipe, when the pipe's other end is closed
 * (also by the program), or after LOOK_AGAIN_MS. */
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
	/* Also wakes the writers. ENOENT: the range was unregistered meanwhile, which woke the
	 * writers too. */
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

/* Waits for faults, and resolves some. Takes no lock and touches only the tracker and its own
 * stack, which are never protected. 0: go on. -EAGAIN: the same, unless it comes too often. Else:
 * give up. */
static int serve(struct cm_uffd *t)
{
	struct pollfd fds[2] = { { .fd = t->ear.fd, .events = POLLIN },
				 { .fd = t->uffd.fd, .events = POLLIN } };
	struct uffd_msg msgs[MESSAGES];
	int longest = LOOK_AGAIN_MS;

	if (cm_file_state(&t->uffd) == CM_FILE_LOST)
		return -EBADF;
	/* One step before, nothing is protected by this userfaultfd. Pairs with the acquire in
	 * cm_monitor_has_files(). */
	atomic_store_explicit(&t->has_files, true, memory_order_release);
	if (t->deaf || cm_file_state(&t->ear) == CM_FILE_LOST) {
		fds[0].fd = -1;
		longest = DEAF_LOOK_MS;
	}
	/* Not for ever: when a fault wakes poll(2), it looks the number up again. If the program
	 * has put a silent file there, poll would sleep again and keep the closed userfaultfd
	 * alive, and the writer would wait for ever. */
	int n = cm_os->poll(fds, 2, longest);
	if (n < 0)
		return not_now(n) ? -EAGAIN : n;
	if (n == 0 && cm_os->alone())
		return -ESRCH;
	if (was_recalled(t))
		return -ECANCELED;
	if (fds[0].revents != 0) /* closed at the other end, or a recall that was given up */
		t->deaf = true;
	if ((fds[1].revents & ~POLLIN) != 0)
		return -EIO;
	if (fds[1].revents == 0)
		return 0;
	/* The data of another file is not ours to read. */
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

/* No thread waits for the monitor, so no other thread closes the file. The writers that wait for us
 * go on when nothing holds the userfaultfd any more. */
static void let_writers_go(struct cm_uffd *t, int error)
{
	cm_note_errno(t->b.params.counters, error);
	if (cm_file_state(&t->uffd) != CM_FILE_LOST)
		(void)cm_os->close(t->uffd.fd);
}

static bool sees_files(struct cm_uffd *t)
{
	const struct cm_file *files[4] = { &t->uffd, &t->pagemap, &t->ear, &t->its_bell };

	return cm_files_state(files, 4) == CM_FILE_OURS;
}

/* At the end. The thread that ends the monitor closes the files in its own table. If the monitor
 * has another table, writers would wait because of the copy there. */
static void leave_files(struct cm_uffd *t)
{
	struct cm_file files[4] = { t->uffd, t->pagemap, t->ear, t->its_bell };

	/* Until then the other thread may be about to write to one of the files. Pairs with the
	 * release in cm_monitor_stop(). */
	while (!atomic_load_explicit(&t->may_leave, memory_order_acquire))
		(void)sched_yield();
	for (int i = 0; i < 4; i++)
		if (cm_file_is_ours(&files[i]))
			cm_file_close(&files[i]);
}

static void *monitor(void *arg)
{
	struct cm_uffd *t = arg;
	unsigned strikes = 0;

	while (!atomic_load_explicit(&t->quit, memory_order_acquire)) {
		int error = serve(t);

		strikes = error == -EAGAIN ? strikes + 1 : 0;
		/* The C library ends the process with its last thread, which runs the exit
		 * handlers. What they write to must no longer be armed. */
		if (error == -ESRCH) {
			let_writers_go(t, error);
			return NULL;
		}
		if (error == 0 || (error == -EAGAIN && strikes < STRIKES) ||
		    atomic_load_explicit(&t->quit, memory_order_acquire))
			continue;
		if (error != -ECANCELED)
			let_writers_go(t, error);
		strikes = 0;
		t->keeps_files = error == -ECANCELED && sees_files(t);
		park(t);
	}
	leave_files(t);
	return NULL;
}

int cm_monitor_start(struct cm_uffd *t)
{
	sigset_t every, before;

	atomic_store_explicit(&t->quit, false, memory_order_relaxed);
	atomic_store_explicit(&t->may_leave, false, memory_order_relaxed);
	atomic_store_explicit(&t->recalled, false, memory_order_relaxed);
	atomic_store_explicit(&t->parked, false, memory_order_relaxed);
	/* Of the thread that starts it, it has the table. */
	atomic_store_explicit(&t->has_files, true, memory_order_relaxed);
	t->deaf = false;
	t->its_bell = t->bell;
	(void)sem_init(&t->go_on, 0, 0);
	/* The monitor inherits the mask: a collector that stops threads by a signal must not stop
	 * it, or a writer in a fault never reaches its own stop. */
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
	/* Another file is not ours to write to. */
	if (cm_file_is_ours(&t->bell) && cm_file_is_ours(&t->ear) &&
	    cm_os->write(t->bell.fd, "!", 1) == 1)
		return true;
	/* Closing the bell wakes the monitor, unless a child has a copy. If the bell is not in this
	 * thread's table, it may be in another. The monitor does not read t->bell. */
	if (cm_file_state(&t->bell) != CM_FILE_LOST)
		cm_file_close(&t->bell);
	return false;
}

void cm_monitor_stop(struct cm_uffd *t)
{
	if (!t->running)
		return;
	/* One step before, the monitor answers; one step after, it ends at its next look, which
	 * comes after LOOK_AGAIN_MS at the latest, even if no call can ring. */
	atomic_store_explicit(&t->quit, true, memory_order_release);
	(void)sem_post(&t->go_on);
	(void)ring(t);
	atomic_store_explicit(&t->may_leave, true, memory_order_release);
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

bool cm_monitor_keeps_files(struct cm_uffd *t)
{
	return cm_monitor_is_parked(t) && t->keeps_files;
}

void cm_monitor_go_on(struct cm_uffd *t)
{
	/* A thread that gave up may have left a recall. */
	atomic_store_explicit(&t->recalled, false, memory_order_relaxed);
	atomic_store_explicit(&t->parked, false, memory_order_relaxed);
	(void)sem_post(&t->go_on);
}

void cm_monitor_resume(struct cm_uffd *t)
{
	t->deaf = false;
	t->its_bell = t->bell;
	atomic_store_explicit(&t->has_files, false, memory_order_relaxed);
	cm_monitor_go_on(t);
}

bool cm_monitor_has_files(struct cm_uffd *t)
{
	struct cm_wait wait = { .bound_ns = WAIT_PARK_NS };

	/* Pairs with the release in serve(). */
	while (!atomic_load_explicit(&t->has_files, memory_order_acquire)) {
		if (cm_monitor_is_parked(t) || cm_wait_is_over(&wait, cm_os->now()))
			return false;
		(void)sched_yield();
	}
	return true;
}
