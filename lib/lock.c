/* SPDX-License-Identifier: MIT
 *
 * The tracker's lock. A call waits for it only for a bounded time, because the thread that has it
 * may be stopped, and takes it only in the tracker's own process. */
#include "lib/tracker.h"

#include "lib/errors.h"
#include "lib/fork.h"
#include "lib/os/os.h"
#include "common/signals.h"
#include "common/wait.h"

#include <errno.h>
#include <sched.h>

static bool try_lock(struct cardmark *cm)
{
	sigset_t before;

	cm_signals_block(&before);
	/* Asked only now: before signals were blocked, a handler may have forked this process. */
	if (cm_fork_done() && !cm->torn && pthread_mutex_trylock(&cm->lock) == 0) {
		cm->signals = before;
		return true;
	}
	cm_signals_restore(&before);
	return false;
}

static bool wait_for_lock(struct cardmark *cm, uint64_t wait_ns)
{
	struct cm_wait wait = { .bound_ns = wait_ns };

	do {
		if (cm_fork_ready(wait_ns)) {
			if (cm->torn)
				return false;
			if (try_lock(cm))
				return true;
		}
		(void)sched_yield();
	} while (!cm_wait_is_over(&wait, cm_os->now()));
	return false;
}

bool cm_tracker_lock(struct cardmark *cm, uint64_t wait_ns)
{
	bool locked;

	if (try_lock(cm))
		return true;
	atomic_fetch_add_explicit(&cm->queue, 1, memory_order_relaxed);
	locked = wait_for_lock(cm, wait_ns);
	cm_count_down(&cm->queue);
	return locked;
}

/* One step before, no other thread has the lock; one step after, other threads see all that was
 * done under it. Signals that came meanwhile are delivered last. */
void cm_tracker_unlock(struct cardmark *cm)
{
	sigset_t before = cm->signals;

	atomic_store_explicit(&cm->last, pthread_self(), memory_order_relaxed);
	(void)pthread_mutex_unlock(&cm->lock);
	cm_signals_restore(&before);
}

/* A thread that calls again and again finds the lock free each time, but waiting threads look only
 * when they get the processor: on a busy machine one waited for 2 s. So the thread that had the
 * lock last lets another thread go first. */
static void let_others_go_first(struct cardmark *cm)
{
	for (unsigned i = 0; i < 64; i++) {
		if (atomic_load_explicit(&cm->queue, memory_order_relaxed) == 0 ||
		    !pthread_equal(atomic_load_explicit(&cm->last, memory_order_relaxed),
				   pthread_self()))
			return;
		(void)sched_yield();
	}
}

int cm_tracker_enter(struct cardmark *cm)
{
	let_others_go_first(cm);
	if (cm_tracker_lock(cm, CM_WAIT_CALL_NS))
		return 0;
	if (!cm_fork_done())
		return cm_fail(-EBUSY, "another thread of this fork child has not finished setting "
				       "up the tracker: is it stopped?");
	if (cm->torn)
		return cm_fail(-EBUSY, "clone(2) made this process while a thread was inside the "
				       "library: close this tracker and open another");
	return cm_fail(-EBUSY, "another thread stays inside the library: is it stopped?");
}
