/* SPDX-License-Identifier: MIT
 *
 * How long a mutator waits for memory. The inline fast paths of libgc's
 * allocator take from a thread's free list; all else goes through one of these
 * four functions (malloc.c, mallocx.c, thread_local_alloc.c of 8.2.2), inside
 * libgc too. The outermost call of a thread is timed.
 */
#include "gc-glue/boehm/glue.h"

/* No lazy allocation of thread-local storage in here. */
static __thread unsigned depth __attribute__((tls_model("initial-exec")));

struct call {
	uint64_t start, pace;
	size_t bytes;
};

static struct call enter(size_t bytes)
{
	struct call c = { .bytes = bytes };

	if (depth++ == 0) {
		/* Partial collections, which need the dirty bits, start in allocation. */
		cm_gc_record_check();
		c.start = cm_gc_now();
		c.pace = cm_gc_pace_enter(bytes);
	}
	return c;
}

static void leave(const struct call *c)
{
	uint64_t ns;

	if (--depth != 0)
		return;
	ns = cm_gc_now() - c->start;
	cm_gc_hist_add(&cm_gc_rec->stalls, ns);
	cm_gc_pace_leave(c->pace, c->bytes, ns);
}

void *cm_gc_hook_generic_malloc(size_t lb, int k)
{
	struct call c = enter(lb);
	void *p = cm_gc_api.GC_generic_malloc(lb, k);

	leave(&c);
	return p;
}

void cm_gc_hook_generic_malloc_many(size_t lb, int k, void **result)
{
	struct call c = enter(lb);

	cm_gc_api.GC_generic_malloc_many(lb, k, result);
	leave(&c);
}

void *cm_gc_hook_generic_malloc_ignore_off_page(size_t lb, int k)
{
	struct call c = enter(lb);
	void *p = cm_gc_api.GC_generic_malloc_ignore_off_page(lb, k);

	leave(&c);
	return p;
}

void *cm_gc_hook_generic_malloc_uncollectable(size_t lb, int k)
{
	struct call c = enter(lb);
	void *p = cm_gc_api.GC_generic_malloc_uncollectable(lb, k);

	leave(&c);
	return p;
}
