/* SPDX-License-Identifier: MIT
 *
 * What a program must not do while a collection is under way. With a pause target, one may be under
 * way between two slices. The collection is ended before, and where it is necessary no other
 * begins. That is not possible in a thread that libgc does not know, and while the program has
 * turned collections off. */
#include "gc-glue/boehm/glue.h"

#include <dlfcn.h>
#include <sched.h>

/* Pieces of roots are on libgc's mark stack. If the program unmaps a root that it has removed, the
 * next slice reads it and crashes. */
void cm_gc_hook_remove_roots_only(void *start, void *end)
{
	cm_gc_api.GC_remove_roots(start, end);
	cm_gc_pace_finish();
}

void cm_gc_hook_clear_roots_only(void)
{
	cm_gc_api.GC_clear_roots();
	cm_gc_pace_finish();
}

/* As libgc does at the end of a thread: within the limits of slices and stops. */
static void finish_in_slices(void)
{
	while (!cm_gc_api.GC_is_disabled() && cm_gc_api.GC_collect_a_little())
		;
}

static atomic_flag deciding = ATOMIC_FLAG_INIT;

void cm_gc_finish_child(void)
{
	atomic_flag_clear(&deciding);
}

/* One thread at a time: if collections are off while one is under way, the program has turned them
 * off. */
static bool hold_off_alone(void (*end)(void))
{
	for (;;) {
		cm_gc_api.GC_disable();
		/* Does nothing now but answer whether one is under way. */
		if (!cm_gc_api.GC_collect_a_little())
			return true;
		cm_gc_api.GC_enable();
		if (cm_gc_api.GC_is_disabled())
			return false;
		end();
	}
}

/* Ends the collection under way by this function and turns collections off. False: neither is
 * possible. */
static bool hold_off(void (*end)(void))
{
	bool held;

	if (!cm_gc_pace_can_finish())
		return false;
	while (atomic_flag_test_and_set_explicit(&deciding, memory_order_acquire))
		(void)sched_yield();
	held = hold_off_alone(end);
	atomic_flag_clear_explicit(&deciding, memory_order_release);
	return held;
}

static void release(void *held)
{
	if (*(bool *)held)
		cm_gc_api.GC_enable();
}

/* libgc learns that an object is gone when it begins the next collection. So none begins before. */
int cm_gc_hook_dlclose(void *handle)
{
	bool held = hold_off(cm_gc_pace_finish);
	int result = dlclose(handle);

	release(&held);
	return result;
}

/* libgc turns collections off until the thread is gone. The thread, at its end, waits for the
 * collection under way, which makes no step while they are off (8.2.2 and the head of July 2026:
 * GC_wait_for_gc_completion). So none may be under way. */
void cm_gc_hook_pthread_exit(void *result)
{
	bool held = hold_off(finish_in_slices);

	pthread_cleanup_push(release, &held);
	cm_gc_api.GC_pthread_exit(result);
	pthread_cleanup_pop(0);
}

int cm_gc_hook_pthread_cancel(pthread_t thread)
{
	bool held = hold_off(finish_in_slices);
	int result = cm_gc_api.GC_pthread_cancel(thread);

	release(&held);
	return result;
}
