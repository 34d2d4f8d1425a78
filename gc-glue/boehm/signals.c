/* SPDX-License-Identifier: MIT
 *
 * SIGSEGV handlers of programs that were not rebuilt. With the mprotect backend writes
 * are found by faults, and a handler set later would take the first of them for a crash
 * (neko, asymptote, Crystal). So what objects call to set one leads to
 * cardmark_sigaction(), as the JVM's libjsig does it for the JVM. */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <signal.h>

int cm_gc_hook_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int error = cardmark_sigaction(sig, act, old);

	if (error == 0)
		return 0;
	errno = -error;
	return -1;
}

static cm_gc_handler *set(int sig, cm_gc_handler *handler, int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;

	sigemptyset(&act.sa_mask);
	if (handler == SIG_ERR || sigaddset(&act.sa_mask, sig) != 0) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (flags & (int)SA_NODEFER)
		sigemptyset(&act.sa_mask);
	return cm_gc_hook_sigaction(sig, &act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

/* Both of signal(2): as BSD and glibc have it, and as System V had it. */
cm_gc_handler *cm_gc_hook_signal(int sig, cm_gc_handler *handler)
{
	return sig == SIGSEGV ? set(sig, handler, SA_RESTART) : signal(sig, handler);
}

cm_gc_handler *cm_gc_hook_sysv_signal(int sig, cm_gc_handler *handler)
{
	return set(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}
