/* SPDX-License-Identifier: MIT
 *
 * Dirty pages of large objects. When one page of a large object is dirty, libgc marks
 * from all of it again (GC_push_marked in mark.c): a hash table of 8 MiB that is
 * written to between any two stops costs each stop 10 ms. So such pages are called
 * clean, and pushed as roots of their own when libgc pushes its roots, which comes
 * after the dirty blocks in every stop and, if that was given up, in the slices after it.
 *
 * Only objects of libgc's normal kind, which it scans word by word, like roots. An object that is
 * not marked is left alone, as in libgc: if it is reached later, all of it is marked.
 *
 * All of this is under the allocation lock: cards are kept in a stop, and pushed at any time. */
#include "gc-glue/boehm/glue.h"

#define KIND_NORMAL 1                  /* GC_I_NORMAL of gc_mark.h */
#define LEAST_BYTES ((size_t)32 << 10) /* marked from in some 50 us */
#define BLOCK 4096u
/* More, and a stop is not about large objects. */
#define MOST_CARDS 8192
/* Each takes an entry of a mark stack of 4096 or more. When libgc pushes its roots at
 * least 1024 are free, and where none is left it aborts (GC_push_all in mark.c). */
#define MOST_RUNS 256

static struct cardmark_run runs[MOST_RUNS];
static size_t runs_n;
static bool pushed; /* since they were kept */

static bool on, in_use;
static struct cm_gc_chain pushes;
static unsigned
	pusher; /* the entry that libgc has: only the program's callbacks may call the others */
static struct { /* the object looked at last; start is 0 if it is none of ours */
	uintptr_t start, end;
	bool marked;
} object;

static void push(unsigned entry, const void *caller)
{
	cm_gc_any_fn *theirs;
	unsigned at;

	/* Once: there is no room for more. */
	if (entry == pusher) {
		bool all = cm_gc_walk_push(); /* these are dirty blocks as all others */

		for (size_t i = 0; i < runs_n && !all && !cm_gc_test(CM_GC_TEST_LARGE_FORGET); i++)
			cm_gc_api.GC_push_all((void *)runs[i].start, (void *)runs[i].end);
		pushed = true;
	}
	theirs = cm_gc_chain_enter(&pushes, entry, caller, &at);
	if (theirs) {
		struct cm_gc_outside before = cm_gc_step_out();

		theirs();
		cm_gc_step_in(before);
		cm_gc_chain_leave(&pushes, at);
	}
}

#define ENTRIES(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define PUSH_ENTRY(n)                                                                              \
	static void push_##n(void)                                                                 \
	{                                                                                          \
		push(n, __builtin_return_address(0));                                              \
	}
#define PUSH_NAME(n) push_##n,
ENTRIES(PUSH_ENTRY)

static struct cm_gc_chain pushes = { .entry = { ENTRIES(PUSH_NAME) } };

/* The object that holds the block at addr, which is not the object looked at last. */
static void look_up(uintptr_t addr)
{
	uintptr_t base = (uintptr_t)cm_gc_api.GC_base((void *)addr);
	size_t size = 0;

	object.start = object.end = 0;
	if (!base || cm_gc_api.GC_get_kind_and_size((void *)base, &size) != KIND_NORMAL ||
	    size < LEAST_BYTES)
		return;
	object.start = base;
	object.end = base + size;
	object.marked = cm_gc_api.GC_is_marked((void *)base);
}

static uintptr_t blocks_end(uintptr_t addr)
{
	return (addr + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1);
}

static bool add(uintptr_t start, uintptr_t end)
{
	struct cardmark_run *last = runs_n ? &runs[runs_n - 1] : NULL;

	if (last && last->start <= start && last->end >= end)
		return true; /* read twice */
	if (last && start == last->end) {
		last->end = end;
		return true;
	}
	if (runs_n == MOST_RUNS)
		return false;
	runs[runs_n++] = (struct cardmark_run){ start, end };
	return true;
}

bool cm_gc_large_keep(uintptr_t card)
{
	uintptr_t end = card + cardmark_card_size();

	if (!in_use)
		return false;
	if (card < object.start || card >= object.end)
		look_up(card);
	if (card < object.start || end > blocks_end(object.end))
		return false;
	if (object.marked && !add(card, end < object.end ? end : object.end))
		return false;
	cm_gc_rec->large_cards++;
	return true;
}

size_t cm_gc_large_begin(const struct cardmark_run **left)
{
	static struct cardmark_run before[MOST_RUNS];
	size_t n = pushed ? 0 : runs_n;

	for (size_t i = 0; i < n; i++)
		before[i] = runs[i];
	*left = before;
	runs_n = 0;
	pushed = false;
	object.start = object.end = 0;
	/* Other code may have set its own function since, by a call that is not redirected. */
	if (on)
		pusher = cm_gc_chain_find(&pushes, cm_gc_api.GC_get_push_other_roots());
	in_use = on && cm_gc_world_stopped && pusher < CM_GC_ENTRIES &&
		 cardmark_table_count(cm_gc_heap.table) <= MOST_CARDS;
	return n;
}

void cm_gc_large_forget(void)
{
	runs_n = 0;
	in_use = false;
}

/* ---- Setting it up ------------------------------------------------------------------ */

void cm_gc_large_start(void)
{
	const struct cm_gc_api *api = &cm_gc_api;

	if (cm_gc_test(CM_GC_TEST_NO_LARGE) || !api->threads || !api->GC_push_all ||
	    !api->GC_base || !api->GC_is_marked || !api->GC_get_kind_and_size ||
	    !api->GC_set_push_other_roots || !api->GC_get_push_other_roots)
		return;
	cm_gc_chain_set(&pushes, api->GC_get_push_other_roots());
	api->GC_set_push_other_roots(cm_gc_chain_front(&pushes));
	on = true;
}

bool cm_gc_large_in_front(void)
{
	return on && pusher < CM_GC_ENTRIES;
}

bool cm_gc_large_is_on(void)
{
	return on;
}

bool cm_gc_large_replaced(void)
{
	return on && cm_gc_api.GC_get_push_other_roots() != cm_gc_chain_front(&pushes);
}

void cm_gc_large_put_back(void)
{
	cm_gc_push_fn *fn = cm_gc_api.GC_get_push_other_roots();

	cm_gc_api.GC_set_push_other_roots(cm_gc_chain_over(&pushes, fn));
}

void cm_gc_hook_set_push_other_roots(cm_gc_push_fn *fn)
{
	if (on)
		cm_gc_chain_set(&pushes, fn);
	else
		cm_gc_api.GC_set_push_other_roots(fn);
}

cm_gc_push_fn *cm_gc_hook_get_push_other_roots(void)
{
	/* cppcheck-suppress CastIntegerToAddressAtReturn ; as in pause_target.c */
	return on ? cm_gc_chain_get(&pushes) : cm_gc_api.GC_get_push_other_roots();
}
