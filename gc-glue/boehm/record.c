/* SPDX-License-Identifier: MIT
 *
 * Stops and their phases, from libgc's collection events. All of these come
 * under the allocation lock; the records are in memory mapped beforehand.
 *
 * PRE_STOP_WORLD  POST_STOP_WORLD  MARK_START ... PRE_START_WORLD  POST_START_WORLD
 *       |---- stop phase ----|          |-- dirty, mark --|---- resume ----|
 */
#include "gc-glue/boehm/glue.h"
#include "lib/os/own.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define RAW_MAX 100000

struct cm_gc_recorder *cm_gc_rec;
bool cm_gc_world_stopped;

static uint64_t t_begin, t_stopped, t_mark, t_resume, t_dirty;
static uint64_t stop_cards;
static bool stop_full;

int cm_gc_record_init(bool raw)
{
	size_t n = raw ? RAW_MAX : 0;
	size_t len = sizeof(*cm_gc_rec) + n * sizeof(cm_gc_rec->raw[0]);
	void *p;

	if (cm_own_map(len, &p) < 0)
		return -ENOMEM;
	cm_gc_rec = p;
	cm_gc_rec->raw_cap = n;
	return 0;
}

void cm_gc_record_reset(void)
{
	uint64_t cap = cm_gc_rec->raw_cap;

	memset(cm_gc_rec, 0, sizeof(*cm_gc_rec));
	cm_gc_rec->raw_cap = cap;
}

void cm_gc_record_dirty(uint64_t ns, uint64_t cards)
{
	t_dirty += ns;
	stop_cards += cards;
	cm_gc_rec->dirty_cards += cards;
}

uint64_t cm_gc_record_stop_cards(void)
{
	return stop_cards;
}

void cm_gc_record_set_full(void)
{
	stop_full = true;
}

bool cm_gc_record_full(void)
{
	return stop_full;
}

static void add_phases(const uint64_t ns[CM_GC_PH_COUNT])
{
	for (int ph = 0; ph < CM_GC_PH_COUNT; ph++) {
		cm_gc_rec->phase_total[ph] += ns[ph];
		if (ns[ph] > cm_gc_rec->phase_max[ph])
			cm_gc_rec->phase_max[ph] = ns[ph];
	}
}

static void begin(uint64_t now)
{
	t_begin = t_stopped = t_mark = t_resume = now;
	t_dirty = stop_cards = 0;
	stop_full = false;
}

static void end(uint64_t now)
{
	uint64_t mark = t_resume - t_mark;
	const uint64_t ns[CM_GC_PH_COUNT] = {
		[CM_GC_PH_STOP] = t_stopped - t_begin,
		[CM_GC_PH_DIRTY] = t_dirty,
		[CM_GC_PH_MARK] = mark > t_dirty ? mark - t_dirty : 0,
		[CM_GC_PH_RESUME] = now - t_resume,
	};

	if (!t_begin)
		return;
	add_phases(ns);
	cm_gc_hist_add(&cm_gc_rec->stops, now - t_begin);
	if (cm_gc_rec->raw_n < cm_gc_rec->raw_cap) {
		cm_gc_rec->raw[cm_gc_rec->raw_n].start = t_begin;
		cm_gc_rec->raw[cm_gc_rec->raw_n].end = now;
		memcpy(cm_gc_rec->raw[cm_gc_rec->raw_n].phase, ns, sizeof(ns));
		cm_gc_rec->raw_n++;
	}
	t_begin = 0;
}

/* ---- Our callbacks, and the program's behind them ------------------------------------ */

/* Bears being done twice for one event. */
static void note_event(int event)
{
	uint64_t now = cm_gc_now();

	switch (event) {
	case CM_GC_EV_PRE_STOP_WORLD:
		begin(now);
		break;
	case CM_GC_EV_POST_STOP_WORLD:
		cm_gc_world_stopped = true;
		t_stopped = now;
		break;
	case CM_GC_EV_MARK_START:
		/* An unthreaded build has no stop events: the mark is the stop. */
		if (!cm_gc_api.threads)
			begin(now);
		t_mark = now;
		if (cm_gc_config.way == CARDMARK_GC_WAY_A)
			cm_gc_waya_begins();
		if (cm_gc_config.way == CARDMARK_GC_WAY_B)
			cm_gc_wayb_feed();
		break;
	case CM_GC_EV_MARK_END:
		if (!cm_gc_api.threads) {
			t_resume = now;
			end(now);
		}
		break;
	case CM_GC_EV_PRE_START_WORLD:
		cm_gc_world_stopped = false;
		t_resume = now;
		break;
	default:
		break;
	}
	cm_gc_pace_event(event);
}

static struct cm_gc_chain events, resizes;

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
		end(cm_gc_now());
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

void cm_gc_record_install(void)
{
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
		/* It may have been called where ours should have been. */
		cm_gc_heap.blind = true;
		put_resize(cm_gc_chain_over(&resizes, resize));
	}
	if (cm_gc_large_replaced())
		cm_gc_large_put_back();
}

/* Which thread puts them back: the address of its errno. Who sees that they are not in place
 * waits for it, as the collection that comes next may be its own. Nobody waits with libgc's
 * lock, and the one waited for needs no other. */
static _Atomic(int *) putting;

/* An object was still being loaded when its calls were to be redirected. Until they are, what it
 * sets is noticed as this is. */
#define LOOK_AGAIN 64

static void look_again(void)
{
	static _Atomic unsigned calls;

	if (atomic_load_explicit(&cm_gc_plt_early, memory_order_relaxed) &&
	    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % LOOK_AGAIN == 0)
		cm_gc_redirect_again();
}

void cm_gc_record_check(void)
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
	cm_gc_redirect_again();
	errno = saved;
}

void cm_gc_record_child(void)
{
	/* A thread of the parent's that was at it is not in the child, and left the chain whole. */
	atomic_store_explicit(&putting, NULL, memory_order_relaxed);
	cm_gc_world_stopped = false;
}

/* What the program sets later is called by us, and what it asks for is its own. */
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
