/* SPDX-License-Identifier: MIT
 *
 * A gate in the way of a thread: a call of the seam (or of jemalloc) stops there until the
 * test has done what must come first. It makes one order of events certain. Included once,
 * by the test itself. */
#ifndef CM_TESTS_GATE_H
#define CM_TESTS_GATE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

static _Atomic bool gate_shut, gate_reached;
static pthread_t gate_keeper; /* who shut it */

static inline void shut_gate(void)
{
	gate_keeper = pthread_self();
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

/* Of another thread than the one that shut it. */
static inline bool gate_stops_me(void)
{
	return atomic_load(&gate_shut) && !pthread_equal(pthread_self(), gate_keeper);
}

static inline void pass_gate(void)
{
	if (gate_stops_me())
		stand_at_gate();
}

static inline void await(_Atomic bool *flag)
{
	while (!atomic_load(flag))
		(void)sched_yield();
}

#endif
