/* SPDX-License-Identifier: MIT
 *
 * Static probes for bpftrace, perf, gdb and systemtap: a nop in the code, and a note in the
 * file with its name and the places of its arguments (docs/probes.md). There is no semaphore:
 * the arguments exist anyway, so they cost nothing when no one listens. */
#ifndef CM_USDT_H
#define CM_USDT_H

#include "config.h"

#ifdef HAVE_USDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define CM_USDT(provider, name, ...) STAP_PROBEV(provider, name, ##__VA_ARGS__)
#else
/* Never called: the arguments count as used, but are not evaluated. */
static inline void cm_usdt_nothing(int n, ...)
{
	(void)n;
}
#define CM_USDT(provider, name, ...) (0 ? cm_usdt_nothing(0, ##__VA_ARGS__) : (void)0)
#endif

#endif
