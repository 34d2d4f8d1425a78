/* SPDX-License-Identifier: MIT
 *
 * A histogram of durations, up to hours. Lock-free and without memory order: it is read when
 * all is over. */
#include "gc-glue/boehm/glue.h"

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
