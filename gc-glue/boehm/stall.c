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

static uint64_t enter(void)
{
	return depth++ == 0 ? cm_gc_now() : 0;
}

static void leave(uint64_t start)
{
	if (--depth == 0)
		cm_gc_hist_add(&cm_gc_rec->stalls, cm_gc_now() - start);
}

void *cm_gc_hook_generic_malloc(size_t lb, int k)
{
	uint64_t t = enter();
	void *p = cm_gc_api.GC_generic_malloc(lb, k);

	leave(t);
	return p;
}

void cm_gc_hook_generic_malloc_many(size_t lb, int k, void **result)
{
	uint64_t t = enter();

	cm_gc_api.GC_generic_malloc_many(lb, k, result);
	leave(t);
}

void *cm_gc_hook_generic_malloc_ignore_off_page(size_t lb, int k)
{
	uint64_t t = enter();
	void *p = cm_gc_api.GC_generic_malloc_ignore_off_page(lb, k);

	leave(t);
	return p;
}

void *cm_gc_hook_generic_malloc_uncollectable(size_t lb, int k)
{
	uint64_t t = enter();
	void *p = cm_gc_api.GC_generic_malloc_uncollectable(lb, k);

	leave(t);
	return p;
}
