/* SPDX-License-Identifier: MIT
 *
 * What a harvest leaves behind on the stack. libgc scans the stack for pointers. A harvest handles
 * addresses of dirty pages, and each is the address of the first object of its block. Where later
 * frames do not write over them, they keep garbage: the queue of tests/boehm/queue.c, of constant
 * length, then grew to many times the heap of stop-the-world. */
#include "gc-glue/boehm/glue.h"

#include <string.h>

#define DEEP 8192 /* bytes of stack; a harvest takes less */

/* From the frame of what libgc calls, when all is done. */
void __attribute__((noinline)) cm_gc_wipe_stack(void)
{
	char stack[DEEP];

	if (cm_gc_test(CM_GC_TEST_NO_WIPE))
		return;
	memset(stack, 0, sizeof stack);
	/* The compiler must not know that nobody reads it. */
	__asm__ volatile("" : : "r"(stack) : "memory");
}
