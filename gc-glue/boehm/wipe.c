/* SPDX-License-Identifier: MIT
 *
 * Wipes the addresses that a harvest leaves on the stack. libgc scans the stack for pointers. A
 * harvest handles addresses of dirty pages, and each is the address of the first object of its
 * block. If later frames do not overwrite them, they keep garbage alive: the queue of
 * tests/boehm/queue.c, of constant length, grew to many times the heap of stop-the-world. */
#include "gc-glue/boehm/glue.h"

#include <string.h>

#define DEEP 8192 /* bytes of stack; a harvest takes less */

/* Called last, from the frame of the function that libgc calls. */
void __attribute__((noinline)) cm_gc_wipe_stack(void)
{
	char stack[DEEP];

	if (cm_gc_test(CM_GC_TEST_NO_WIPE))
		return;
	memset(stack, 0, sizeof stack);
	/* The compiler must not know that this memory is never read. */
	__asm__ volatile("" : : "r"(stack) : "memory");
}
