/* SPDX-License-Identifier: MIT
 *
 * Memory that is not written for a long time: the cost of a collect with small pages and with
 * huge ones, of making them huge, and of the first write to a huge page after that. */
#include <sys/mman.h>

#include "bench/measure.h"
#include "bench/micro/micro.h"

#ifndef MADV_COLLAPSE /* 6.1 */
#define MADV_COLLAPSE 25
#endif

enum { HUGE = 2 << 20, CLEAN = 21, HEAP_MIB = 256 };

static bool collapse(const struct heap *h)
{
	size_t bytes = h->pages * micro.page;

	return madvise(h->base, bytes, MADV_HUGEPAGE) == 0 &&
	       madvise(h->base, bytes, MADV_COLLAPSE) == 0;
}

/* Needs Linux 6.1, and huge pages that are not switched off. */
static bool can_collapse(void)
{
	struct heap h;
	bool can = heap_new(&h, 1, HUGE / micro.page, 0, HEAP_SMALL_PAGES) && collapse(&h);

	heap_free(&h);
	return can;
}

/* The kernel does not collapse armed small pages. So the memory is untracked for a moment. */
static bool make_huge(struct frame *f, uint64_t *took)
{
	struct heap *h = &f->heap;
	uint64_t t = cm_now_ns();

	if (!subject_untrack(&f->subject, h))
		return false;
	if (!collapse(h)) {
		micro_fail(f->state, "there is no memory for huge pages");
		return false;
	}
	if (!subject_track(&f->subject, h))
		return false;
	(void)subject_collect(&f->subject, h); /* all of it counts as written */
	cardmark_table_clear(f->subject.table);
	*took = cm_now_ns() - t;
	return true;
}

static double clean_ns(struct frame *f)
{
	double ns[CLEAN];

	for (size_t i = 0; i < CLEAN; i++) {
		uint64_t t = cm_now_ns();

		(void)subject_collect(&f->subject, &f->heap);
		ns[i] = (double)(cm_now_ns() - t);
	}
	return median(ns, CLEAN);
}

/* Also a check: exactly these pages are dirty. */
static bool write_each(struct frame *f, double *ns)
{
	struct heap *h = &f->heap;
	size_t n = h->pages * micro.page / HUGE;
	uint64_t t = cm_now_ns();

	heap_write(h, PATTERN_STRIDED, n, &f->random);
	*ns = (double)(cm_now_ns() - t) / (double)n;
	return subject_check(&f->subject, f->state, h, subject_collect(&f->subject, h));
}

static void cold(struct gbench_state *state, void *user)
{
	struct frame f;
	bool good = frame_begin(&f, state, NULL, micro_heap_of_mib(HEAP_MIB), 2, true);
	double small = 0, huge = 0, first = 0;

	(void)user;
	while (good && gbench_keep_running(state)) {
		uint64_t took = 0;

		small = clean_ns(&f);
		good = make_huge(&f, &took);
		if (!good)
			break;
		samples_add(&f.times, state, took);
		huge = clean_ns(&f);
		good = write_each(&f, &first);
	}
	if (good) {
		gbench_counter(state, "clean_small_ns", small, GBENCH_PLAIN);
		gbench_counter(state, "clean_huge_ns", huge, GBENCH_PLAIN);
		gbench_counter(state, "first_write_ns", first, GBENCH_PLAIN);
	}
	frame_end(&f);
}

void micro_cold(void)
{
	if (micro.bare || micro.backend != CARDMARK_BACKEND_PAGEMAP || !can_collapse())
		return;
	gbench_iterations(micro_register("cold", NULL, cold, NULL), 1);
}
