/* SPDX-License-Identifier: MIT
 *
 * The events that libgc reports, and their receivers: the stopwatch, the pause target, the dirty
 * bits, the heap. Our callbacks run under the allocation lock, before the program's.
 */
#include "gc-glue/boehm/tell.h"

#include <errno.h>
#include <sched.h>

static void stop_is_over(uint64_t now)
{
	struct cm_gc_stop stop;

	if (cm_gc_record_end(now, &stop) && cm_gc_cycle_stop(&stop))
		cm_gc_reporter_wake();
}

/* May be done twice for one event. */
static void note_event(int event)
{
	uint64_t now = cm_now_ns();

	switch (event) {
	case CM_GC_EV_PRE_STOP_WORLD:
		cm_gc_record_begin(now);
		break;
	case CM_GC_EV_POST_STOP_WORLD:
		cm_gc_record_stopped(now);
		break;
	case CM_GC_EV_MARK_START:
		/* An unthreaded build has no stop events: the mark is the stop. */
		if (!cm_gc_api.threads)
			cm_gc_record_begin(now);
		cm_gc_record_mark(now);
		if (cm_gc_config.way == CARDMARK_GC_WAY_A)
			cm_gc_waya_begins();
		if (cm_gc_config.way == CARDMARK_GC_WAY_B)
			cm_gc_wayb_feed();
		cm_gc_mark_stack_enlarge();
		break;
	case CM_GC_EV_MARK_END:
		cm_gc_record_marked();
		if (!cm_gc_api.threads) {
			cm_gc_record_resume(now);
			stop_is_over(now);
		}
		break;
	case CM_GC_EV_PRE_START_WORLD:
		(void)cm_gc_walk_put_back();
		cm_gc_record_resume(now);
		break;
	default:
		break;
	}
	cm_gc_growth_event(event);
	cm_gc_pace_event(event);
}

static struct cm_gc_chain events, resizes;
/* Redirects the calls of objects that were loaded since. */
static void (*redirect_again)(void);

static void on_event(unsigned entry, int event, const void *caller)
{
	int saved = errno;
	cm_gc_any_fn *theirs;
	unsigned at;

	note_event(event);
	errno = saved;
	theirs = cm_gc_chain_enter(&events, entry, caller, &at);
	if (theirs) {
		struct cm_gc_outside before = cm_gc_step_out();

		((cm_gc_event_fn *)theirs)(event);
		cm_gc_step_in(before);
		cm_gc_chain_leave(&events, at);
	}
	if (event == CM_GC_EV_POST_START_WORLD) {
		saved = errno;
		stop_is_over(cm_now_ns());
		errno = saved;
	}
}

static void on_resize(unsigned entry, size_t bytes, const void *caller)
{
	int saved = errno;
	cm_gc_any_fn *theirs;
	unsigned at;

	if (cm_gc_heap.cm)
		cm_gc_heap_resized(bytes);
	cm_gc_growth_resized();
	errno = saved;
	theirs = cm_gc_chain_enter(&resizes, entry, caller, &at);
	if (theirs) {
		struct cm_gc_outside before = cm_gc_step_out();

		((cm_gc_resize_fn *)theirs)(bytes);
		cm_gc_step_in(before);
		cm_gc_chain_leave(&resizes, at);
	}
}

#define ENTRIES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define EVENT_ENTRY(n)                                                                             \
	static void event_##n(int event)                                                           \
	{                                                                                          \
		on_event(n, event, __builtin_return_address(0));                                   \
	}
#define RESIZE_ENTRY(n)                                                                            \
	static void resize_##n(size_t bytes)                                                       \
	{                                                                                          \
		on_resize(n, bytes, __builtin_return_address(0));                                  \
	}
#define EVENT_NAME(n) (cm_gc_any_fn *)event_##n,
#define RESIZE_NAME(n) (cm_gc_any_fn *)resize_##n,
ENTRIES(EVENT_ENTRY)
ENTRIES(RESIZE_ENTRY)

static struct cm_gc_chain events = { .entry = { ENTRIES(EVENT_NAME) } };
static struct cm_gc_chain resizes = { .entry = { ENTRIES(RESIZE_NAME) } };

static cm_gc_any_fn *event_now(void)
{
	return (cm_gc_any_fn *)cm_gc_api.GC_get_on_collection_event();
}

static cm_gc_any_fn *resize_now(void)
{
	return (cm_gc_any_fn *)cm_gc_api.GC_get_on_heap_resize();
}

static void put_event(cm_gc_any_fn *fn)
{
	cm_gc_api.GC_set_on_collection_event((cm_gc_event_fn *)fn);
}

static void put_resize(cm_gc_any_fn *fn)
{
	cm_gc_api.GC_set_on_heap_resize((cm_gc_resize_fn *)fn);
}

void cm_gc_events_install(void (*redirect)(void))
{
	redirect_again = redirect;
	if (cm_gc_chain_find(&events, event_now()) < CM_GC_ENTRIES)
		return; /* done before */
	cm_gc_chain_set(&events, event_now());
	put_event(cm_gc_chain_front(&events));
	cm_gc_chain_set(&resizes, resize_now());
	put_resize(cm_gc_chain_front(&resizes));
}

static bool in_place(void)
{
	return event_now() == cm_gc_chain_front(&events) &&
	       resize_now() == cm_gc_chain_front(&resizes) && !cm_gc_large_replaced();
}

static void put_back(void)
{
	cm_gc_any_fn *event = event_now(), *resize = resize_now();

	if (event != cm_gc_chain_front(&events))
		put_event(cm_gc_chain_over(&events, event));
	if (resize != cm_gc_chain_front(&resizes)) {
		/* libgc may have called it instead of ours. */
		cm_gc_heap.blind = true;
		put_resize(cm_gc_chain_over(&resizes, resize));
	}
	if (cm_gc_large_replaced())
		cm_gc_large_put_back();
}

/* The thread that restores our callbacks: the address of its errno. A thread that finds them
 * replaced waits for that thread, because the next collection may be its own. No thread waits with
 * libgc's lock, and the restoring thread needs no other lock. */
static _Atomic(int *) putting;

/* An object was still being loaded when its calls should have been redirected. Until they are,
 * callbacks that it sets are noticed in this way. */
#define LOOK_AGAIN 64

static void look_again(void)
{
	static _Atomic unsigned calls;

	if (atomic_load_explicit(&cm_gc_plt_early, memory_order_relaxed) &&
	    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % LOOK_AGAIN == 0)
		redirect_again();
}

void cm_gc_events_check(void)
{
	int *nobody = NULL, *me = &errno, saved = errno;

	if (!cm_gc_config.enabled || cm_gc_test(CM_GC_TEST_NO_EVENT_DEFENCE))
		return;
	if (in_place()) {
		look_again();
		return;
	}
	while (!atomic_compare_exchange_strong_explicit(&putting, &nobody, me, memory_order_acquire,
							memory_order_relaxed)) {
		if (nobody == me) /* a signal handler that allocates */
			return;
		nobody = NULL;
		sched_yield();
	}
	put_back();
	/* Pairs with the acquire above: the next one finds them in place. */
	atomic_store_explicit(&putting, NULL, memory_order_release);
	redirect_again();
	errno = saved;
}

void cm_gc_events_child(void)
{
	/* A thread of the parent that was doing this does not exist in the child, and left the
	 * chain whole. */
	atomic_store_explicit(&putting, NULL, memory_order_relaxed);
	cm_gc_world_stopped = false;
}

/* We call the callbacks that the program sets later, and it gets its own when it asks for them. */
void cm_gc_hook_set_on_collection_event(cm_gc_event_fn *fn)
{
	cm_gc_chain_set(&events, (cm_gc_any_fn *)fn);
}

cm_gc_event_fn *cm_gc_hook_get_on_collection_event(void)
{
	return (cm_gc_event_fn *)cm_gc_chain_get(&events);
}

void cm_gc_hook_set_on_heap_resize(cm_gc_resize_fn *fn)
{
	cm_gc_chain_set(&resizes, (cm_gc_any_fn *)fn);
}

cm_gc_resize_fn *cm_gc_hook_get_on_heap_resize(void)
{
	return (cm_gc_resize_fn *)cm_gc_chain_get(&resizes);
}
