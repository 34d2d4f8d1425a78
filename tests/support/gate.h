/* SPDX-License-Identifier: MIT
 *
 * A gate in the way of a thread: a call of the seam (or of jemalloc) stops there until the
 * test has done what must come first. It makes one order of events certain. Included once,
 * by the test itself. */
#ifndef CM_TESTS_GATE_H
#define CM_TESTS_GATE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

static _Atomic bool gate_shut, gate_reached;

static inline void shut_gate(void)
{
	atomic_store(&gate_reached, false);
	atomic_store(&gate_shut, true);
}

static inline void open_gate(void)
{
	atomic_store(&gate_shut, false);
}

static inline void stand_at_gate(void)
{
	atomic_store(&gate_reached, true);
	while (atomic_load(&gate_shut))
		(void)sched_yield();
}

static inline void await(_Atomic bool *flag)
{
	while (!atomic_load(flag))
		(void)sched_yield();
}

#endif
