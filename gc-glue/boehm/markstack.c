/* SPDX-License-Identifier: MIT
 *
 * libgc's mark stack, enlarged while the heap is small. It begins with 4096 entries. When it is
 * full, libgc throws entries away, doubles the stack, and marks from the whole heap again in the
 * same stop. A partial collection fills it sooner than a full one, because it begins at objects in
 * the middle: lepton-netlist and Macaulay2 had one stop twice as long as stop-the-world's longest.
 *
 * A full collection with several marking threads that finds the stack a quarter full when it begins
 * doubles it when it ends, and marks nothing twice (MS_PUSH_UNCOLLECTABLE in mark.c, 8.0 to 8.2).
 * So the first collections find a quarter of it filled with entries that lead to nothing. With a
 * time limit libgc enlarges it by itself, and without marking threads it cannot be done so.
 *
 * The stack's bounds are in the exported GC_arrays, which is no interface. So they are searched
 * for: three words in a row that are the bounds and the top of an empty stack whose size is a power
 * of two, and soon after them that size. The first entry must then move that top. If anything is
 * different, the stack stays as it is.
 *
 * Under the allocation lock, with the world stopped. */
#include "gc-glue/boehm/glue.h"

#define SIZE_FOLLOWS 12 /* words after the top, at most: 8 in 8.2.2 */
#define LEAST 4096u
#define ENOUGH 65536u /* entries: 1 MiB, of which a quarter is touched */
#define MOST_TRIES 32

struct bounds {
	struct cm_gc_mark_entry *start, *limit, *top;
};

static bool is_empty_stack(const struct bounds *b, const uintptr_t *size)
{
	uintptr_t n = ((uintptr_t)b->limit - (uintptr_t)b->start) / sizeof *b->start;

	if (!b->start || n < LEAST || n > UINT32_MAX || (n & (n - 1)) ||
	    (uintptr_t)b->top != (uintptr_t)b->start - sizeof *b->start)
		return false;
	for (int i = 1; i <= SIZE_FOLLOWS; i++)
		if (size[i] == n)
			return true;
	return false;
}

/* NULL: not found, or not empty, because a collection is under way. */
static struct bounds *find(void)
{
	uintptr_t *words = cm_gc_arrays();

	for (int i = 0; words && i + 2 + SIZE_FOLLOWS < CM_GC_ARRAYS_WORDS; i++)
		if (is_empty_stack((struct bounds *)&words[i], &words[i + 2]))
			return (struct bounds *)&words[i];
	return NULL;
}

void cm_gc_mark_stack_enlarge(void)
{
	static uintptr_t nothing[1];
	static struct bounds *stack;
	static unsigned tries;
	uintptr_t n;

	if (tries >= MOST_TRIES || cm_gc_config.target_ns || !cm_gc_api.GC_push_all ||
	    !cm_gc_heap.cm || cm_gc_test(CM_GC_TEST_NO_MARK_STACK))
		return;
	tries++;
	if (!stack)
		stack = find();
	if (!stack || stack->top >= stack->start)
		return;
	n = (uintptr_t)(stack->limit - stack->start);
	if (n >= ENOUGH) {
		tries = MOST_TRIES;
		return;
	}
	for (uintptr_t i = 0; i <= n / 4; i++) {
		cm_gc_api.GC_push_all(nothing, nothing + 1);
		if (stack->top != stack->start + i) {
			tries = MOST_TRIES;
			return;
		}
	}
}
