/* SPDX-License-Identifier: MIT
 *
 * How long a thread waits for another one that may be stopped. Between two looks the whole process
 * may have stood still: SIGSTOP, a frozen container, a virtual machine that is moved. The
 * other thread could not run then, so the time does not show that it is stopped. Therefore at
 * most an eighth of the bound counts from one look to the next. */
#ifndef CM_COMMON_WAIT_H
#define CM_COMMON_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct cm_wait {
	uint64_t bound_ns;
	uint64_t waited_ns, looked_ns; /* looked_ns: 0 before the first look */
};

/* One look, to be made after the other thread was found not ready. The first only starts the
 * clock. */
static inline bool cm_wait_is_over(struct cm_wait *w, uint64_t now_ns)
{
	uint64_t most = w->bound_ns / 8 + 1, passed = now_ns - w->looked_ns;

	if (w->looked_ns != 0)
		w->waited_ns += passed < most ? passed : most;
	w->looked_ns = now_ns;
	return w->waited_ns >= w->bound_ns;
}

#endif
