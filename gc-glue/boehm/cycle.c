/* SPDX-License-Identifier: MIT
 *
 * Collections: the stops, slices and numbers of each, from its first stop to its last, for the log
 * and the trace. Stops come under libgc's lock, slices from any thread that allocates. */
#include "common/usdt.h"
#include "gc-glue/boehm/tell.h"
#include "lib/os/own.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM 1024 /* collections that the log may be behind */

struct slot {
	_Atomic uint64_t turn; /* the number in it; 0: it is being written */
	struct cm_gc_cycle_note note;
};

static struct slot *slots; /* NULL: no log */
static _Atomic uint64_t ended;
static uint64_t read_upto;

static struct cm_gc_cycle_note now;
static _Atomic uint64_t slices, slices_ns;

int cm_gc_cycle_start(void)
{
	void *p;
	int error = slots ? 0 : cm_own_map(ROOM * sizeof *slots, &p);

	if (error == 0 && !slots)
		slots = p;
	return error;
}

/* ---- Why a stop took longer than the target: the first reason that holds ---- */

#define GRACE_NS UINT64_C(1000000) /* as stalls_over has it */

static uint64_t counts[CM_GC_OVER_COUNT];

static enum cm_gc_over reason(const struct cm_gc_stop *s, uint64_t took)
{
	const struct cm_gc_pace *p = &cm_gc_pace;
	uint64_t threads = s->phase[CM_GC_PH_STOP] + s->phase[CM_GC_PH_RESUME];

	if (p->on && p->asked)
		return CM_GC_OVER_ASKED;
	if (threads > took / 2)
		return CM_GC_OVER_THREADS;
	if (s->cpu_ns < took / 2)
		return CM_GC_OVER_BUSY;
	if (s->phase[CM_GC_PH_DIRTY] > took / 2)
		return CM_GC_OVER_CARDS;
	if (p->on && p->unlimited)
		return CM_GC_OVER_ATTEMPTS;
	if (p->on && p->above)
		return CM_GC_OVER_HEAP;
	return CM_GC_OVER_MARKING;
}

enum cm_gc_over cm_gc_over_note(const struct cm_gc_stop *s)
{
	const struct cm_gc_config *c = &cm_gc_config;
	uint64_t took = s->end - s->start;
	enum cm_gc_over why;

	if (!c->target_ns || c->mode == CARDMARK_GC_MODE_STOP_THE_WORLD ||
	    took <= c->target_ns + GRACE_NS)
		return CM_GC_OVER_COUNT;
	why = reason(s, took);
	counts[why]++;
	return why;
}

uint64_t cm_gc_over_count(enum cm_gc_over why)
{
	return counts[why];
}

uint64_t cm_gc_over_total(void)
{
	uint64_t n = 0;

	for (int i = 0; i < CM_GC_OVER_COUNT; i++)
		n += counts[i];
	return n;
}

void cm_gc_over_reset(void)
{
	for (int i = 0; i < CM_GC_OVER_COUNT; i++)
		counts[i] = 0;
}

const char *cm_gc_over_name(enum cm_gc_over why)
{
	static const char *const names[] = { "asked", "busy",     "threads", "cards",
					     "heap",  "attempts", "marking", "" };

	return names[why];
}

const char *cm_gc_over_text(enum cm_gc_over why)
{
	static const char *const texts[] = {
		"the program called GC_gcollect(), which has no limit",
		"other work had the processor",
		"stopping the threads took the time",
		"finding the dirty cards took the time",
		"no stop of a heap of this size is shorter",
		"40 attempts failed, and the next has no limit",
		"too much was dirty to mark in time",
		"",
	};

	return texts[why];
}

const char *cm_gc_over_help(enum cm_gc_over why)
{
	static const char *const texts[] = {
		"no call of GC_gcollect() where the program must answer in time",
		"a processor that other work does not use",
		"fewer threads, or enough processors for them",
		"a smaller heap, or a larger target",
		"a smaller heap, or a larger target",
		"a larger target: marking does not catch up with what is written",
		"a larger target",
		"",
	};

	return texts[why];
}

/* ---- A collection ---- */

static void trace_stop(const struct cm_gc_stop *s, enum cm_gc_over over)
{
	struct cm_gc_note n = {
		.kind = CM_GC_NOTE_STOP,
		.start = s->start,
		.end = s->end,
		.cards = s->cards,
		.over = over,
		.full = s->full,
		.done = s->done,
	};

	if (!cm_gc_trace_is_on())
		return;
	n.heap = cm_gc_api.GC_get_heap_size();
	memcpy(n.phase, s->phase, sizeof n.phase);
	cm_gc_trace_add(&n);
}

static void add_stop(const struct cm_gc_stop *s, enum cm_gc_over over)
{
	uint64_t took = s->end - s->start;

	now.stops++;
	now.stopped_ns += took;
	if (took > now.longest_ns)
		now.longest_ns = took;
	for (int ph = 0; ph < CM_GC_PH_COUNT; ph++)
		now.phase[ph] += s->phase[ph];
	now.cards += s->cards;
	now.full = now.full || s->full;
	if (over < CM_GC_OVER_COUNT)
		now.over[over]++;
}

/* There is one writer, under the lock. A late reader finds another turn. */
static void publish(void)
{
	struct slot *s = &slots[now.number % ROOM];

	atomic_store_explicit(&s->turn, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* before the note changes */
	s->note = now;
	/* Pairs with the acquire in cm_gc_cycle_next(). */
	atomic_store_explicit(&s->turn, now.number, memory_order_release);
	atomic_store_explicit(&ended, now.number, memory_order_release);
}

bool cm_gc_cycle_stop(const struct cm_gc_stop *s)
{
	enum cm_gc_over over = cm_gc_over_note(s);
	const struct cm_gc_cycle_note *n = &now;
	uint64_t number;

	CM_USDT(cardmark_gc, stop__end, s->end - s->start, s->cards, s->full, s->done);
	trace_stop(s, over);
	add_stop(s, over);
	if (!s->done)
		return false;
	now.number++;
	now.end = s->end;
	now.slices = atomic_exchange_explicit(&slices, 0, memory_order_relaxed);
	now.slices_ns = atomic_exchange_explicit(&slices_ns, 0, memory_order_relaxed);
	now.heap = cm_gc_api.GC_get_heap_size();
	now.unused = cm_gc_api.GC_get_free_bytes ? cm_gc_api.GC_get_free_bytes() : 0;
	if (slots)
		publish();
	/* Tools do not find an argument by the name of a static variable. */
	__asm__("" : "+r"(n));
	CM_USDT(cardmark_gc, collection__end, n->number, n->stops, n->stopped_ns, n->longest_ns,
		n->heap);
	number = now.number;
	now = (struct cm_gc_cycle_note){ .number = number };
	return true;
}

void cm_gc_cycle_stall(uint64_t start, uint64_t ns, uint64_t bytes, bool slice)
{
	struct cm_gc_note n = {
		.kind = slice ? CM_GC_NOTE_SLICE : CM_GC_NOTE_STALL,
		.start = start,
		.end = start + ns,
		.bytes = bytes,
	};

	CM_USDT(cardmark_gc, stall, ns, bytes);
	if (slice) {
		CM_USDT(cardmark_gc, slice, ns, bytes);
		atomic_fetch_add_explicit(&slices, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&slices_ns, ns, memory_order_relaxed);
	}
	if (ns < CM_GC_TRACE_LEAST_NS || !cm_gc_trace_is_on())
		return;
	n.thread = (int)syscall(SYS_gettid);
	cm_gc_trace_add(&n);
}

bool cm_gc_cycle_next(struct cm_gc_cycle_note *c, uint64_t *lost)
{
	/* Pairs with the release in publish(). */
	uint64_t last = atomic_load_explicit(&ended, memory_order_acquire);

	*lost = 0;
	if (!slots)
		return false;
	if (last - read_upto > ROOM) {
		*lost = last - read_upto - ROOM;
		read_upto = last - ROOM;
	}
	while (read_upto < last) {
		struct slot *s = &slots[++read_upto % ROOM];
		bool whole = atomic_load_explicit(&s->turn, memory_order_acquire) == read_upto;

		*c = s->note;
		atomic_thread_fence(memory_order_acquire); /* the copy before the second look */
		if (whole && atomic_load_explicit(&s->turn, memory_order_relaxed) == read_upto)
			return true;
		++*lost;
	}
	return false;
}

void cm_gc_cycle_reset(void)
{
	now = (struct cm_gc_cycle_note){ 0 };
	read_upto = 0;
	atomic_store_explicit(&ended, 0, memory_order_relaxed);
	atomic_store_explicit(&slices, 0, memory_order_relaxed);
	atomic_store_explicit(&slices_ns, 0, memory_order_relaxed);
}
