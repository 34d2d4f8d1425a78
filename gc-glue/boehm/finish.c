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

/* libgc learns that an object is gone when it begins the next collection. So none begins before:
 * collections are off meanwhile. If another thread was faster, that one is ended, too. */
int cm_gc_hook_dlclose(void *handle)
{
	bool off = false;
	int result;

	while (!off && cm_gc_pace_can_finish() && !cm_gc_api.GC_is_disabled()) {
		cm_gc_pace_finish();
		cm_gc_api.GC_disable();
		/* Answers whether one is under way. */
		off = !cm_gc_api.GC_collect_a_little();
		if (!off)
			cm_gc_api.GC_enable();
	}
	result = dlclose(handle);
	if (off)
		cm_gc_api.GC_enable();
	return result;
}

/* ---- Threads that end by pthread_exit() or are cancelled ------------------------------ */

/* libgc turns collections off until such a thread is gone, because it may not answer libgc's
 * signals (tried: "Signals delivery fails constantly"). At its end the thread waits for the
 * collection under way, which before 8.2.4 makes no step while they are off. So the one under way
 * is ended before, and they are turned off under libgc's lock while none is. */

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

/* False: it is not possible. As at the end of any thread, the steps are slices and stops. */
static bool turn_off_when_none(void)
{
	bool off = false;

	while (!off && cm_gc_pace_can_finish()) {
		(void)cm_gc_api.GC_call_with_alloc_lock(turn_off, &off);
		if (off)
			break;
		if (cm_gc_api.GC_is_disabled()) /* by the program */
			return false;
		if (!cm_gc_api.GC_collect_a_little() && !cm_gc_dont_gc())
			return false;
	}
	return off;
}

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
