/* SPDX-License-Identifier: MIT
 *
 * How often libgc collects: measures a collection, asks cadence.c, and sets libgc's parameters.
 *
 * The parameters are the least allocation between collections (GC_set_min_bytes_allocd, libgc 8.2),
 * and the number of partial collections before a full one: with 0 the next one is full. Without the
 * first, or if the heap is not known, the free space divisor counts as two thirds of itself,
 * because in incremental mode libgc collects after half as much. Settings of the user or the
 * program stay.
 *
 * All of it under the allocation lock; the plan is made when a collection ends. */
#include "gc-glue/boehm/glue.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SOONER 8         /* times the divisor: libgc's own threshold is out of the way */
#define LEAST_SAMPLES 64 /* of the heap, for each collection */
#define MOST_SAMPLES 512
#define SAMPLE_BYTES 32768
#define BATCHES 4 /* of cards, to measure what a fault costs */
#define BATCH 8
#define MOST_FAULT_NS 1000000
#define SHORT_NS 4000000 /* without a target */

static bool on, by_divisor, knobs;
static size_t wanted;       /* divisor, by the program */
static size_t wanted_least; /* by the program */
static int wanted_freq;     /* by the program */
static bool kinds;          /* it is not known to want anything of that */
static struct cm_gc_cadence cadence = CM_GC_CADENCE_INIT;
static struct cm_gc_plan plan;
static struct cm_gc_cycle now; /* the collection under way */
static uint64_t t_stop;
static uint64_t begun_with; /* bytes allocated */
static bool under_way;
static uint64_t grown_at; /* bytes allocated when the heap grew first, since the last */
static _Atomic uint64_t slices_ns;
static unsigned composite, atomic; /* of 1000 bytes of blocks in use */

struct cm_gc_growth cm_gc_growth;

/* 1, 2, 3, 6 -> 1, 2, 2, 4 */
static size_t scaled(size_t divisor)
{
	return by_divisor ? divisor - divisor / 3 : divisor;
}

void cm_gc_hook_set_free_space_divisor(size_t divisor)
{
	wanted = divisor;
	cm_gc_api.GC_set_free_space_divisor(on ? scaled(divisor) : divisor);
}

size_t cm_gc_hook_get_free_space_divisor(void)
{
	return on ? wanted : cm_gc_api.GC_get_free_space_divisor();
}

void cm_gc_hook_set_full_freq(int n)
{
	wanted_freq = n;
	kinds = plan.full = plan.bare = false;
	cm_gc_api.GC_set_full_freq(n);
}

int cm_gc_hook_get_full_freq(void)
{
	return kinds ? wanted_freq : cm_gc_api.GC_get_full_freq();
}

void cm_gc_hook_set_min_bytes_allocd(size_t n)
{
	wanted_least = n; /* as of the next collection */
	if (!knobs)
		cm_gc_api.GC_set_min_bytes_allocd(n);
}

size_t cm_gc_hook_get_min_bytes_allocd(void)
{
	return knobs ? wanted_least : cm_gc_api.GC_get_min_bytes_allocd();
}

/* ---- What libgc scans ------------------------------------------------------------------- */

/* libgc does not report how much of its heap it scans. So some places of the heap are looked at,
 * different ones each time, and the shares are averaged. */
static void sample(uintptr_t at, unsigned *c, unsigned *a, unsigned *used)
{
	void *base = cm_gc_api.GC_base((void *)at);
	size_t size;

	if (!base)
		return;
	++*used;
	if (!cm_gc_api.GC_is_marked(base))
		return;
	if (cm_gc_api.GC_get_kind_and_size(base, &size) == 0) /* GC_I_PTRFREE of gc_mark.h */
		++*a;
	else
		++*c;
}

static void sample_heap(void)
{
	const struct cm_gc_ranges *heap = &cm_gc_heap.heap;
	static uint64_t random = 88172645463325252u;
	unsigned c = 0, a = 0, used = 0;
	uint64_t total = 0, step, at;

	for (size_t i = 0; i < heap->n; i++)
		total += heap->v[i].end - heap->v[i].start;
	step = total / MOST_SAMPLES < SAMPLE_BYTES ? SAMPLE_BYTES : total / MOST_SAMPLES;
	if (total / LEAST_SAMPLES < step)
		step = total / LEAST_SAMPLES;
	if (step < 64)
		return;
	random ^= random << 13, random ^= random >> 7, random ^= random << 17;
	at = random % step;
	for (size_t i = 0; i < heap->n; i++) {
		uint64_t bytes = heap->v[i].end - heap->v[i].start;

		for (; at < bytes; at += step)
			sample(heap->v[i].start + at, &c, &a, &used);
		at -= bytes;
	}
	if (!used)
		return;
	c = c * 1000 / used;
	a = a * 1000 / used;
	if (composite | atomic) {
		c = (composite + c) / 2;
		a = (atomic + a) / 2;
	}
	composite = c;
	atomic = a;
}

/* ---- A collection ------------------------------------------------------------------------ */

/* Where it is not measured: a debugger stops at each trap of mprotect, and soft-dirty's clear is
 * for the whole process. */
static uint64_t usual_fault_ns(enum cardmark_backend backend)
{
	switch (backend) {
	case CARDMARK_BACKEND_MPROTECT:
		return 5000;
	case CARDMARK_BACKEND_UFFD:
		return 30000;
	case CARDMARK_BACKEND_ALLDIRTY:
		return 0;
	default:
		return 800;
	}
}

/* The cost of the first write to an armed card, which on a virtual machine may be ten times as much
 * as on another. It is the least of some batches, because other work can only add to it. 0: not
 * known. */
static uint64_t measure_fault(struct cardmark *cm)
{
	size_t card = cardmark_card_size(), bytes = BATCHES * BATCH * card;
	struct cardmark_table *table = NULL;
	uint64_t least = UINT64_MAX;
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return 0;
	(void)madvise(at, bytes, MADV_NOHUGEPAGE);
	memset(at, 1, bytes);
	if (cardmark_table_new(&table, cm) == 0 &&
	    cardmark_track(cm, at, bytes, CARDMARK_TRACK_PRIVATE) == 0 &&
	    cardmark_collect_range(cm, at, bytes, table) == CARDMARK_EXACT)
		for (unsigned i = 0; i < BATCHES; i++) {
			uint64_t begun = cm_now_ns(), took;

			for (unsigned k = 0; k < BATCH; k++)
				*(volatile char *)(at + (i * BATCH + k) * card) = 2;
			took = (cm_now_ns() - begun) / BATCH;
			least = took < least ? took : least;
		}
	(void)cardmark_untrack(cm, at, bytes);
	cardmark_table_delete(&table);
	(void)munmap(at, bytes);
	return least == UINT64_MAX ? 0 : least < MOST_FAULT_NS ? least : MOST_FAULT_NS;
}

static void learn_fault_cost(void)
{
	enum cardmark_backend backend = cm_gc_heap.tracker.backend;

	if (cm_gc_config.mode != CARDMARK_GC_MODE_AUTO)
		return;
	if (cm_gc_heap.cm &&
	    (backend == CARDMARK_BACKEND_PAGEMAP || backend == CARDMARK_BACKEND_UFFD))
		cm_gc_growth.fault_ns = measure_fault(cm_gc_heap.cm);
	if (cm_gc_growth.fault_ns == 0)
		cm_gc_growth.fault_ns = usual_fault_ns(backend);
}

/* A stop begins and ends in one thread, and its processor time is what counts: on a busy machine a
 * stop of 2 ms took 50 ms by the wall clock. */
static void stop_begins(void)
{
	t_stop = cm_cpu_ns();
	if (under_way)
		return;
	under_way = true;
	now = (struct cm_gc_cycle){ 0 };
	begun_with = cm_gc_api.GC_get_bytes_since_gc();
	atomic_store_explicit(&slices_ns, 0, memory_order_relaxed);
}

static void stop_ends(void)
{
	if (!t_stop)
		return;
	now.ns += cm_cpu_ns() - t_stop;
	now.cards += cm_gc_record_stop_cards();
	now.full = now.full || cm_gc_record_full();
	t_stop = 0;
}

static void apply(void)
{
	size_t bytes = wanted_least > plan.least ? wanted_least : plan.least;

	cm_gc_api.GC_set_min_bytes_allocd(bytes ? bytes : 1);
	cm_gc_api.GC_set_free_space_divisor(plan.soon ? SOONER * wanted : scaled(wanted));
	if (kinds)
		cm_gc_api.GC_set_full_freq(plan.full ? 0 : wanted_freq);
	cm_gc_growth.least = plan.least;
	cm_gc_growth.bare += plan.bare;
}

/* A stop that marks everything may take so long; 0: as long as it needs. With a target a slice and
 * the sweep's start are part of it, too. If it needs longer after all, slices do the rest. */
static uint64_t most_ns(void)
{
	return cm_gc_config.target_ns / 4 * 3;
}

static uint64_t small_ns(void)
{
	if (cm_gc_test(CM_GC_TEST_ARM_SMALL))
		return 0;
	return cm_gc_config.target_ns ? most_ns() : SHORT_NS;
}

static void collection_ends(void)
{
	struct cm_gc_cadence_limits limits = {
		.fault_ns = cm_gc_growth.fault_ns,
		.most_ns = most_ns(),
		.small_ns = small_ns(),
		.divisor = wanted,
		.kinds = kinds,
		.bare = cm_gc_config.way == CARDMARK_GC_WAY_A,
	};
	size_t heap = cm_gc_api.GC_get_heap_size(), unused = cm_gc_api.GC_get_free_bytes();

	under_way = false;
	if (cm_gc_config.way != CARDMARK_GC_WAY_A)
		now.full = plan.full;
	now.ns += atomic_load_explicit(&slices_ns, memory_order_relaxed);
	now.grown = grown_at;
	grown_at = 0;
	now.free = unused;
	now.used = heap > unused ? heap - unused : 0;
	if (!by_divisor) {
		sample_heap();
		now.live = now.used / 1000 * (composite + atomic);
		now.scan = now.used / 1000 * (2 * composite + atomic / 4);
	}
	cm_gc_growth.full += now.full;
	plan = cm_gc_cadence_next(&cadence, &limits, &now);
	apply();
}

void cm_gc_growth_event(int event)
{
	if (!knobs)
		return;
	switch (event) {
	case CM_GC_EV_PRE_STOP_WORLD:
		stop_begins();
		break;
	case CM_GC_EV_MARK_START:
		if (!cm_gc_api.threads)
			stop_begins();
		break;
	case CM_GC_EV_MARK_END:
		now.bytes = cm_gc_api.GC_get_bytes_since_gc();
		now.late = now.bytes > begun_with ? now.bytes - begun_with : 0;
		if (!cm_gc_api.threads)
			stop_ends();
		break;
	case CM_GC_EV_POST_START_WORLD:
		stop_ends();
		break;
	case CM_GC_EV_RECLAIM_END:
		collection_ends();
		break;
	default:
		break;
	}
}

void cm_gc_growth_resized(void)
{
	if (knobs && !grown_at)
		grown_at = cm_gc_api.GC_get_bytes_since_gc() + 1;
}

void cm_gc_growth_slice(uint64_t ns)
{
	atomic_fetch_add_explicit(&slices_ns, ns, memory_order_relaxed);
}

bool cm_gc_growth_bare(void)
{
	return plan.bare;
}

uint64_t cm_gc_growth_full_ns(void)
{
	return cm_gc_cadence_full_ns(&cadence);
}

/* ---- Setting it up -------------------------------------------------------------------------- */

static bool is_set(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value;
}

void cm_gc_growth_start(void)
{
	const struct cm_gc_api *api = &cm_gc_api;

	/* libgc reads it, too. */
	if (is_set("GC_FREE_SPACE_DIVISOR") || !api->GC_set_free_space_divisor ||
	    !api->GC_get_free_space_divisor)
		return;
	on = true;
	knobs = api->GC_set_min_bytes_allocd && api->GC_get_min_bytes_allocd &&
		api->GC_get_bytes_since_gc && api->GC_get_free_bytes &&
		!cm_gc_test(CM_GC_TEST_NO_CADENCE);
	by_divisor = !knobs || !cm_gc_heap.cm || !api->GC_base || !api->GC_is_marked ||
		     !api->GC_get_kind_and_size;
	cm_gc_hook_set_free_space_divisor(api->GC_get_free_space_divisor());
	if (!knobs)
		return;
	learn_fault_cost();
	wanted_least = api->GC_get_min_bytes_allocd();
	kinds = api->GC_set_full_freq && api->GC_get_full_freq && !is_set("GC_FULL_FREQUENCY");
	if (!kinds)
		return;
	wanted_freq = api->GC_get_full_freq();
	plan.full = true;
	plan.bare = cm_gc_config.way == CARDMARK_GC_WAY_A;
	apply();
}
