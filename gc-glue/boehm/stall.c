/* SPDX-License-Identifier: MIT
 *
 * How long a mutator waits for memory. The inline fast paths of libgc's
 * allocator take from a thread's free list; all else goes through one of these
 * four functions (malloc.c, mallocx.c, thread_local_alloc.c of 8.2.2), inside
 * libgc too. Each call is timed, but not the one that three of them make of the first.
 *
 * A call may be left by a jump: an out-of-memory function, a finalizer or a warn procedure
 * throws, or calls longjmp. So there is no count of calls begun and ended. All there is to
 * remember is that the next call is libgc's own, and that call takes it away: what a jump
 * leaves behind costs one call its record. What a finalizer allocates counts by itself, and
 * in the call that it runs in; a call that is jumped out of does not count. */
#include "gc-glue/boehm/glue.h"

/* No lazy allocation of thread-local storage in here. */
static __thread bool next_is_inner __attribute__((tls_model("initial-exec")));

struct call {
	uint64_t start, pace;
	size_t bytes;
	bool inner;
};

static struct call enter(size_t bytes, bool calls_another)
{
	struct call c = { .bytes = bytes, .inner = next_is_inner };

	next_is_inner = false;
	/* Partial collections, which need the dirty bits, start in allocation. In each call:
	 * the defence may not depend on what is remembered of others. */
	cm_gc_events_check();
	if (!c.inner) {
		cm_gc_walk_start(cm_gc_waya_opened(), cm_gc_large_is_on());
		c.start = cm_now_ns();
		c.pace = cm_gc_pace_enter(bytes);
	}
	next_is_inner = calls_another;
	return c;
}

static void leave(const struct call *c)
{
	uint64_t ns;

	next_is_inner = false;
	if (c->inner)
		return;
	ns = cm_now_ns() - c->start;
	cm_gc_hist_add(&cm_gc_rec->stalls, ns);
	cm_gc_pace_leave(c->pace, c->bytes, ns);
}

void *cm_gc_hook_generic_malloc(size_t lb, int k)
{
	struct call c = enter(lb, false);
	void *p = cm_gc_api.GC_generic_malloc(lb, k);

	leave(&c);
	return p;
}

void cm_gc_hook_generic_malloc_many(size_t lb, int k, void **result)
{
	struct call c = enter(lb, true);

	cm_gc_api.GC_generic_malloc_many(lb, k, result);
	leave(&c);
}

void *cm_gc_hook_generic_malloc_ignore_off_page(size_t lb, int k)
{
	struct call c = enter(lb, true);
	void *p = cm_gc_api.GC_generic_malloc_ignore_off_page(lb, k);

	leave(&c);
	return p;
}

void *cm_gc_hook_generic_malloc_uncollectable(size_t lb, int k)
{
	struct call c = enter(lb, true);
	void *p = cm_gc_api.GC_generic_malloc_uncollectable(lb, k);

	leave(&c);
	return p;
}
