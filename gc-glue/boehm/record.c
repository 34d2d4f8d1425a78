/* SPDX-License-Identifier: MIT
 *
 * The stopwatch: stops and their phases. Everything here is called under the allocation
 * lock; the records are in memory mapped beforehand.
 *
 * PRE_STOP_WORLD  POST_STOP_WORLD  MARK_START ... PRE_START_WORLD  POST_START_WORLD
 *       |---- stop phase ----|          |-- dirty, mark --|---- resume ----| */
#include "common/usdt.h"
#include "gc-glue/boehm/glue.h"
#include "lib/os/own.h"

#include <errno.h>
#include <string.h>

#define RAW_MAX 100000

struct cm_gc_recorder *cm_gc_rec;
bool cm_gc_world_stopped;

static uint64_t t_begin, t_stopped, t_mark, t_resume, t_dirty;
static uint64_t stop_cards, stop_cpu;
static bool stop_full, stop_done;

int cm_gc_record_init(bool raw)
{
	size_t n = raw ? RAW_MAX : 0;
	size_t len = sizeof *cm_gc_rec + n * sizeof cm_gc_rec->raw[0];
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

	memset(cm_gc_rec, 0, sizeof *cm_gc_rec);
	cm_gc_rec->raw_cap = cap;
}

/* Asks the kernel: only where someone wants to know why a stop took long. */
static uint64_t cpu_now(void)
{
	return cm_gc_config.target_ns ? cm_cpu_ns() : 0;
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

void cm_gc_record_begin(uint64_t now)
{
	if (!t_begin) /* an event may come twice */
		CM_USDT(cardmark_gc, stop__begin);
	t_begin = t_stopped = t_mark = t_resume = now;
	t_dirty = stop_cards = 0;
	stop_full = stop_done = false;
	stop_cpu = cpu_now();
}

void cm_gc_record_stopped(uint64_t now)
{
	cm_gc_world_stopped = true;
	t_stopped = now;
}

void cm_gc_record_mark(uint64_t now)
{
	t_mark = now;
}

void cm_gc_record_marked(void)
{
	stop_done = true;
}

void cm_gc_record_resume(uint64_t now)
{
	cm_gc_world_stopped = false;
	t_resume = now;
}

bool cm_gc_record_end(uint64_t now, struct cm_gc_stop *stop)
{
	uint64_t mark = t_resume - t_mark;
	const uint64_t ns[CM_GC_PH_COUNT] = {
		[CM_GC_PH_STOP] = t_stopped - t_begin,
		[CM_GC_PH_DIRTY] = t_dirty,
		[CM_GC_PH_MARK] = mark > t_dirty ? mark - t_dirty : 0,
		[CM_GC_PH_RESUME] = now - t_resume,
	};

	if (!t_begin)
		return false;
	add_phases(ns);
	cm_gc_hist_add(&cm_gc_rec->stops, now - t_begin);
	if (cm_gc_rec->raw_n < cm_gc_rec->raw_cap) {
		cm_gc_rec->raw[cm_gc_rec->raw_n].start = t_begin;
		cm_gc_rec->raw[cm_gc_rec->raw_n].end = now;
		memcpy(cm_gc_rec->raw[cm_gc_rec->raw_n].phase, ns, sizeof ns);
		cm_gc_rec->raw_n++;
	}
	*stop = (struct cm_gc_stop){
		.start = t_begin,
		.end = now,
		.cards = stop_cards,
		.cpu_ns = stop_cpu ? cpu_now() - stop_cpu : UINT64_MAX,
		.full = stop_full,
		.done = stop_done,
	};
	memcpy(stop->phase, ns, sizeof ns);
	t_begin = 0;
	return true;
}

/* ---- A histogram of durations, up to hours ------------------------------------------------- */

/* Without memory order: it is read when all is over. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned i = cm_hist_bucket(ns);

	return i < CM_GC_HIST_SIZE ? i : CM_GC_HIST_SIZE - 1;
}

void cm_gc_hist_add(struct cm_gc_histogram *h, uint64_t ns)
{
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);

	atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->total, ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->bucket[bucket_of(ns)], 1, memory_order_relaxed);
	while (ns > max && !atomic_compare_exchange_weak_explicit(
				   &h->max, &max, ns, memory_order_relaxed, memory_order_relaxed))
		;
}

uint64_t cm_gc_hist_quantile(const struct cm_gc_histogram *h, double q)
{
	uint64_t count = atomic_load_explicit(&h->count, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
	uint64_t rank = (uint64_t)(q * (double)count), seen = 0;

	for (unsigned i = 0; i < CM_GC_HIST_SIZE; i++) {
		seen += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
		if (seen > rank)
			return cm_hist_end(i) < max ? cm_hist_end(i) : max;
	}
	return max;
}
