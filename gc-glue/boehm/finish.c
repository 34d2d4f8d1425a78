/* SPDX-License-Identifier: MIT
 *
 * What a program does while a collection is under way. With a pause target, one may be under way
 * between two slices. For some calls it is ended before, and where it is necessary no other begins.
 * That is not possible in a thread that libgc does not know, and while the program has turned
 * collections off. */
#include "gc-glue/boehm/glue.h"

#include <dlfcn.h>

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

/* ---- None while something goes on ----------------------------------------------------- */

/* Under libgc's lock: while one is under way, they must not be off even for a moment. Another
 * thread may wait with the lock for its end (GC_dlopen() of 8.2.2), or want to end it. */
static void *turn_off(void *off)
{
	int *count = cm_gc_dont_gc();

	if (!count || cm_gc_pace_is_marking())
		return NULL;
	++*count;
	*(bool *)off = true;
	return NULL;
}

static void turn_on(void *off)
{
	if (*(bool *)off)
		cm_gc_api.GC_enable();
}

/* Others begin one as soon as one has ended; but not so often before this thread gets the lock. */
#define MOST_ENDED 1000

/* Where libgc's count is not found, as in a program that has a copy of it. */
static bool turn_off_by_call(void)
{
	cm_gc_pace_finish();
	cm_gc_api.GC_disable();
	if (!cm_gc_api.GC_collect_a_little()) /* answers whether one is under way */
		return true;
	cm_gc_api.GC_enable();
	return false;
}

/* False: it is not possible. As at the end of any thread, the steps are slices and stops. */
static bool turn_off_when_none(void)
{
	bool off = false;

	for (unsigned ended = 0; ended < MOST_ENDED && cm_gc_pace_can_finish();) {
		(void)cm_gc_api.GC_call_with_alloc_lock(turn_off, &off);
		if (off || cm_gc_api.GC_is_disabled()) /* by the program */
			return off;
		if (!cm_gc_dont_gc())
			return turn_off_by_call();
		if (!cm_gc_api.GC_collect_a_little())
			ended++;
	}
	return false;
}

/* libgc learns that an object is gone when it begins the next collection. */
int cm_gc_hook_dlclose(void *handle)
{
	bool off = turn_off_when_none();
	int result = dlclose(handle);

	turn_on(&off);
	return result;
}

/* libgc turns collections off until such a thread is gone, because it may not answer libgc's
 * signals (tried: "Signals delivery fails constantly"). At its end the thread waits for the
 * collection under way, which before 8.2.4 makes no step while they are off. */
void cm_gc_hook_pthread_exit(void *result)
{
	bool off = turn_off_when_none();

	pthread_cleanup_push(turn_on, &off);
	cm_gc_api.GC_pthread_exit(result);
	pthread_cleanup_pop(0);
}

/* A thread may cancel itself. */
int cm_gc_hook_pthread_cancel(pthread_t thread)
{
	int state, result;
	bool off;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	off = turn_off_when_none();
	result = cm_gc_api.GC_pthread_cancel(thread);
	turn_on(&off);
	(void)pthread_setcancelstate(state, NULL);
	return result;
}
