/* SPDX-License-Identifier: MIT
 *
 * Way B: libgc's manual dirty bits. GC_EVENT_MARK_START comes with the world
 * stopped, right before libgc takes its dirty table (GC_initiate_gc in mark.c,
 * 8.0 and later): each page that the tracker reports, and each page of heap
 * that it does not watch, is marked with GC_end_stubborn_change(), which sets
 * a bit and takes no lock. Static data is scanned whole in this mode. */
#include "gc-glue/boehm/glue.h"

#define HBLK 4096u                      /* libgc's block on every supported platform */
#define TABLE_PAGES (UINT64_C(1) << 21) /* its dirty table has at most so many entries */

static uint64_t told;

static void tell(uintptr_t start, uintptr_t end)
{
	for (uintptr_t p = start; p < end; p += HBLK)
		cm_gc_api.GC_end_stubborn_change((void *)p);
}

static void tell_if_heap(uintptr_t start, uintptr_t end)
{
	/* A page without a header holds no objects, and libgc calls it dirty. */
	for (uintptr_t p = start; p < end; p += HBLK) {
		if (!cm_gc_api.GC_is_heap_ptr((void *)p))
			continue;
		cm_gc_api.GC_end_stubborn_change((void *)p);
	}
}

static void tell_range(const struct cardmark_run *range)
{
	struct cardmark_run run;
	size_t page = cardmark_card_size();

	for (uintptr_t at = range->start;
	     cardmark_table_next(cm_gc_heap.table, at, range->end, &run); at = run.end) {
		for (uintptr_t p = run.start; p < run.end; p += page) {
			if (cm_gc_test_drop())
				continue;
			told++;
			if (!cm_gc_large_keep(p))
				tell(p, p + page);
		}
	}
}

void cm_gc_wayb_feed(void)
{
	const struct cm_gc_ranges *tracked = &cm_gc_heap.tracked;
	const struct cardmark_run *left;
	uint64_t t = cm_now_ns();
	size_t n;

	told = 0;
	cardmark_collect(cm_gc_heap.cm, cm_gc_heap.table);
	n = cm_gc_large_begin(&left);
	for (size_t i = 0; i < n; i++)
		tell(left[i].start, left[i].end);
	for (size_t i = 0; i < tracked->n; i++)
		tell_range(&tracked->v[i]);
	/* libgc keeps no dirty bit over a full collection, so we need not either. */
	cardmark_table_clear(cm_gc_heap.table);
	if (!cm_gc_heap_untracked(tell_if_heap))
		tell(0, TABLE_PAGES * HBLK); /* every entry */
	cm_gc_heap_settle(NULL);             /* libgc reads no pagemap */
	cm_gc_wipe_stack();
	cm_gc_record_dirty(cm_now_ns() - t, told);
}
