/* SPDX-License-Identifier: MIT
 *
 * How often libgc collects. In incremental mode, by any source of dirty pages, it
 * collects after half of the allocation (min_bytes_allocd in alloc.c), and without
 * waiting until its heap is full: two or three times as often as when it stops the
 * world. A program of words took 28 collections for 17, and more time for all of them
 * than it won by marking less in each. So the divisor is two thirds of what the program,
 * or libgc, has set, unless the user sets it. Half was too little: the heap
 * grew, and took more in page faults than it saved. */
#include "gc-glue/boehm/glue.h"

#include <stdlib.h>

static bool on;
static size_t wanted; /* by the program */

/* 1, 2, 3, 6 -> 1, 2, 2, 4 */
static size_t scaled(size_t divisor)
{
	return divisor - divisor / 3;
}

void cm_gc_hook_set_free_space_divisor(size_t divisor)
{
	wanted = divisor;
	cm_gc_api.GC_set_free_space_divisor(on ? scaled(divisor) : divisor);
}

size_t cm_gc_hook_get_free_space_divisor(void)
{
	return on ? wanted : cm_gc_api.GC_get_free_space_divisor();
}

void cm_gc_growth_start(void)
{
	const char *users = secure_getenv("GC_FREE_SPACE_DIVISOR"); /* libgc reads it too */

	if ((users && *users) || !cm_gc_api.GC_set_free_space_divisor ||
	    !cm_gc_api.GC_get_free_space_divisor)
		return;
	on = true;
	cm_gc_hook_set_free_space_divisor(cm_gc_api.GC_get_free_space_divisor());
}
