/* SPDX-License-Identifier: MIT
 *
 * How long a mutator waits for memory. The inline fast paths of libgc's allocator take objects from
 * a thread's free list; all other allocation goes through one of these four functions (malloc.c,
 * mallocx.c, thread_local_alloc.c of 8.2.2), inside libgc too. Each call is timed; if three of them
 * call the first, that inner call is not.
 *
 * A call may be left by a jump: an out-of-memory function, a finalizer or a warn procedure
 * throws, or calls longjmp. So there is no count of calls begun and ended. There is only a mark
 * that the next call is libgc's own, and that call clears it: after a jump, a remaining mark costs
 * the record of one call. A finalizer's allocations count by themselves, and in the call in which
 * it runs; a call that ends by a jump does not count. */
#include "gc-glue/boehm/tell.h"

/* No lazy allocation of thread-local storage in here. */
static __thread bool next_is_inner __attribute__((tls_model("initial-exec")));

struct call {
	uint64_t start;
	struct cm_gc_paced pace;
	size_t bytes;
	bool inner;
};

static struct call enter(size_t bytes, bool calls_another)
{
	struct call c = { .bytes = bytes, .inner = next_is_inner };

	next_is_inner = false;
	/* Partial collections, which need the dirty bits, start in allocation. Checked in each
	 * call, because the check must not depend on remembered state of other calls. */
	cm_gc_events_check();
	if (!c.inner) {
		cm_gc_reporter_check();
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
	cm_gc_cycle_stall(c->start, ns, c->bytes, cm_gc_pace_leave(c->pace, c->bytes, ns));
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
