/* SPDX-License-Identifier: MIT
 *
 * Blocks this thread's signals while it holds a lock: a collector that stops threads by a signal
 * does not stop it there, and no handler of the program forks, clones, or calls us. Also blocks
 * cancellation inside our code. */
#ifndef CM_COMMON_SIGNALS_H
#define CM_COMMON_SIGNALS_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Every signal. sigfillset(3) leaves out those that the C library keeps for itself, and one of
 * them ends a thread that may be cancelled asynchronously. */
static inline void cm_signals_fill(sigset_t *every)
{
	memset(every, 0xff, sizeof *every);
}

/* pthread_sigmask(3) would leave them out, too. */
static inline void cm_signals_set(const sigset_t *mask, sigset_t *before)
{
	int saved = errno;

	if (before != NULL)
		(void)sigemptyset(before); /* the kernel fills in a part */
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, before, _NSIG / 8);
	errno = saved;
}

static inline void cm_signals_block(sigset_t *before)
{
	/* The current instruction raises these: if they were blocked, they would end the
	 * program. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
	sigset_t most;

	(void)sigemptyset(before); /* the kernel fills in a part */
	(void)sigfillset(&most);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		(void)sigdelset(&most, own[i]);
	(void)pthread_sigmask(SIG_BLOCK, &most, before);
}

static inline void cm_signals_restore(const sigset_t *before)
{
	(void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* pthread_join(3) is a cancellation point. */
static inline void cm_join(pthread_t thread)
{
	int before;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	(void)pthread_join(thread, NULL);
	(void)pthread_setcancelstate(before, &before);
}

#endif
