/* SPDX-License-Identifier: MIT
 *
 * Stops and their phases, from libgc's collection events. All of these come
 * under the allocation lock; the records are in memory mapped beforehand.
 *
 * PRE_STOP_WORLD  POST_STOP_WORLD  MARK_START ... PRE_START_WORLD  POST_START_WORLD
 *       |---- stop phase ----|          |-- dirty, mark --|---- resume ----|
 */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define RAW_MAX 100000

struct cm_gc_recorder *cm_gc_rec;
bool cm_gc_world_stopped;

static cm_gc_event_fn *program_event;
static cm_gc_resize_fn *program_resize;

static uint64_t t_begin, t_stopped, t_mark, t_resume, t_dirty;
static uint64_t stop_cards;
static bool stop_full;

int cm_gc_record_init(bool raw)
{
	size_t n = raw ? RAW_MAX : 0;
	size_t len = sizeof(*cm_gc_rec) + n * sizeof(cm_gc_rec->raw[0]);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
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

static void on_event(int event)
{
	static bool inside;
	int saved = errno;
	uint64_t now = cm_gc_now();

	/* The program's callback may be one that was set over ours and calls it. */
	if (inside)
		return;
	inside = true;
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
	errno = saved;
	if (program_event)
		program_event(event);
	if (event == CM_GC_EV_POST_START_WORLD) {
		end(cm_gc_now());
		errno = saved;
	}
	inside = false;
}

static void on_resize(size_t bytes)
{
	static bool inside;
	int saved = errno;

	if (inside)
		return;
	inside = true;
	if (cm_gc_heap.cm)
		cm_gc_heap_resized(bytes);
	errno = saved;
	if (program_resize)
		program_resize(bytes);
	inside = false;
}

void cm_gc_record_install(void)
{
	program_event = cm_gc_api.GC_get_on_collection_event();
	cm_gc_api.GC_set_on_collection_event(on_event);
	program_resize = cm_gc_api.GC_get_on_heap_resize();
	cm_gc_api.GC_set_on_heap_resize(on_resize);
}

void cm_gc_record_check(void)
{
	cm_gc_event_fn *event;
	cm_gc_resize_fn *resize;

	if (!cm_gc_config.enabled || cm_gc_test(CM_GC_TEST_NO_EVENT_DEFENCE))
		return;
	event = cm_gc_api.GC_get_on_collection_event();
	resize = cm_gc_api.GC_get_on_heap_resize();
	if (cm_gc_large_check() && event == on_event && resize == on_resize)
		return;
	if (event != on_event) {
		cm_gc_hook_set_on_collection_event(event);
		cm_gc_api.GC_set_on_collection_event(on_event);
	}
	if (resize != on_resize) {
		/* It may have been called where ours should have been. */
		cm_gc_heap.blind = true;
		cm_gc_hook_set_on_heap_resize(resize);
		cm_gc_api.GC_set_on_heap_resize(on_resize);
	}
	cm_gc_redirect_again();
}

/* What the program sets later is called by us, and what it asks for is its own. */
void cm_gc_hook_set_on_collection_event(cm_gc_event_fn *fn)
{
	__atomic_store_n(&program_event, fn, __ATOMIC_RELEASE);
}

cm_gc_event_fn *cm_gc_hook_get_on_collection_event(void)
{
	return program_event;
}

void cm_gc_hook_set_on_heap_resize(cm_gc_resize_fn *fn)
{
	__atomic_store_n(&program_resize, fn, __ATOMIC_RELEASE);
}

cm_gc_resize_fn *cm_gc_hook_get_on_heap_resize(void)
{
	return program_resize;
}
