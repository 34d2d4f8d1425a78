/* SPDX-License-Identifier: MIT
 *
 * The program's callbacks behind ours. Each entry does our work and then calls the callback that
 * was set before it: see struct cm_gc_chain. If two entries are called for one event, our work is
 * done twice, and must allow that. That is better than no call at all while one entry replaces the
 * other. */
#include "gc-glue/boehm/glue.h"

#include <string.h>

unsigned cm_gc_chain_find(const struct cm_gc_chain *c, cm_gc_any_fn *fn)
{
	unsigned i = 0;

	while (i < CM_GC_ENTRIES && c->entry[i] != fn)
		i++;
	return i;
}

cm_gc_any_fn *cm_gc_chain_front(const struct cm_gc_chain *c)
{
	return c->entry[atomic_load_explicit(&c->front, memory_order_acquire)];
}

/* A program that sets one function again and again, or two in turns, needs no new entry. */
static unsigned place_of(const struct cm_gc_chain *c, cm_gc_any_fn *fn)
{
	unsigned front = atomic_load_explicit(&c->front, memory_order_relaxed);

	for (unsigned i = front + 1; i-- > 0;)
		if (atomic_load_explicit(&c->theirs[i], memory_order_relaxed) == fn)
			return i;
	return front + 1;
}

cm_gc_any_fn *cm_gc_chain_over(struct cm_gc_chain *c, cm_gc_any_fn *fn)
{
	unsigned at = cm_gc_chain_find(c, fn);

	if (at == CM_GC_ENTRIES) {
		at = place_of(c, fn);
		/* The last one calls no new one: fn may call it. */
		if (at == CM_GC_ENTRIES)
			return c->entry[CM_GC_ENTRIES - 1];
		/* Before front, which a release store publishes: a reader of the front entry finds
		 * this value. No event comes to the new entry before the caller has set it in
		 * libgc; until then libgc calls fn directly. */
		atomic_store_explicit(&c->theirs[at], fn, memory_order_relaxed);
	}
	/* Else the program restored the callback that it had found, which is in front again. */
	atomic_store_explicit(&c->front, at, memory_order_release);
	return c->entry[at];
}

void cm_gc_chain_set(struct cm_gc_chain *c, cm_gc_any_fn *fn)
{
	unsigned front = atomic_load_explicit(&c->front, memory_order_acquire);

	/* An event one step before calls the old callback, one step after the new one. */
	atomic_store_explicit(&c->theirs[front], fn, memory_order_release);
}

cm_gc_any_fn *cm_gc_chain_get(const struct cm_gc_chain *c)
{
	unsigned front = atomic_load_explicit(&c->front, memory_order_acquire);

	return atomic_load_explicit(&c->theirs[front], memory_order_acquire);
}

/* True for any caller if libgc is in the program, because nothing distinguishes it from other code
 * there. But then no second entry is put in front, and only with a second entry can one call
 * itself. */
static bool libgc_calls(const void *caller)
{
	return cm_gc_api.place == CM_GC_IN_PROGRAM ||
	       ((uintptr_t)caller >= (uintptr_t)cm_gc_api.base &&
		(uintptr_t)caller < cm_gc_api.end);
}

cm_gc_any_fn *cm_gc_chain_enter(struct cm_gc_chain *c, unsigned entry, const void *caller,
				unsigned *at)
{
	if (libgc_calls(caller))
		memset(c->busy, 0, sizeof c->busy);
	for (unsigned i = entry + 1; i-- > 0;) {
		cm_gc_any_fn *fn = atomic_load_explicit(&c->theirs[i], memory_order_acquire);

		if (c->busy[i])
			continue;
		*at = i;
		c->busy[i] = fn != NULL;
		return fn;
	}
	return NULL;
}

void cm_gc_chain_leave(struct cm_gc_chain *c, unsigned at)
{
	c->busy[at] = false;
}
