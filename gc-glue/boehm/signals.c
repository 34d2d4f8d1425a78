/* SPDX-License-Identifier: MIT
 *
 * SIGSEGV handlers of programs that were not rebuilt. The mprotect backend finds writes by faults,
 * and a handler that is set later would take the first fault for a crash (neko, asymptote,
 * Crystal). So calls that set such a handler are redirected to cardmark_sigaction(), as libjsig
 * does for the JVM. */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <signal.h>

int cm_gc_hook_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction mine;
	int error = cardmark_sigaction(sig, cm_gc_ending_in(sig, act, &mine), old);

	if (error == 0) {
		cm_gc_ending_out(sig, old);
		return 0;
	}
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
	return sig == SIGSEGV || cm_gc_ending_handles(sig) ? set(sig, handler, SA_RESTART)
							   : signal(sig, handler);
}

cm_gc_handler *cm_gc_hook_sysv_signal(int sig, cm_gc_handler *handler)
{
	return set(sig, handler, (int)SA_RESETHAND | SA_NODEFER);
}
