/* SPDX-License-Identifier: MIT
 *
 * The interface between fork.c and the rest of the library. Hooks are registered for each tracker;
 * fork.c knows nothing else about trackers. */
#ifndef CM_FORK_H
#define CM_FORK_H

#include "lib/export.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct cm_fork_hooks {
	struct cm_fork_hooks *next; /* of all that are registered */
	pthread_mutex_t *lock;      /* fork(2) holds it */
	/* Called in the child by one thread, before any other can have the lock. intact: no
	 * thread was inside at the fork. forked: by fork(2), and not by a bare clone(2). */
	void (*rebuild)(struct cm_fork_hooks *hooks, bool intact, bool forked);
};

/* Makes the marker and sets the handlers. Must come before the first lock that a fork must find
 * free. cm_fork_register() calls it. 0, -ENOMEM or -EBUSY. */
int cm_fork_set_up(void);
int cm_fork_register(struct cm_fork_hooks *hooks);
void cm_fork_unregister(struct cm_fork_hooks *hooks);

/* Adds the handlers of pthread_atfork(3), once, when the library is loaded. An adapter that also
 * adds handlers calls this first, so that its own handlers run before ours. */
CM_PRIVATE_EXPORT void cm_fork_add_handlers(void);

/* From now on fork(2) takes no lock of ours, and the child behaves as after a bare clone(2). For a
 * collector that was started before this library was loaded: its fork handlers are called after
 * ours. */
CM_PRIVATE_EXPORT void cm_fork_leave_to_child(void);

/* A fork waits while a thread is between these two calls, so that a child finds its work whole.
 * Outside of all other locks, with signals blocked. */
void cm_fork_lock(void);
void cm_fork_unlock(void);

/* Are the trackers this process's? In a fork child the first thread that asks rebuilds them, and
 * the others wait. False: another thread is still rebuilding after wait_ns. */
bool cm_fork_ready(uint64_t wait_ns);
/* The same, without rebuilding. */
bool cm_fork_done(void);

#endif
