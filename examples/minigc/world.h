/* SPDX-License-Identifier: MIT
 *
 * The mutators, and how one of them stops the others. A mutator keeps what it uses on a
 * shadow stack, which is where the collector finds its roots; it looks now and then
 * whether it should stop. So a stopped mutator holds no lock, of jemalloc or of ours. */
#ifndef MINIGC_WORLD_H
#define MINIGC_WORLD_H

#include "examples/minigc/config.h"
#include "examples/minigc/value.h"

#include <stdatomic.h>

struct mutator {
	value *stack;
	size_t top;
	unsigned depth;   /* of nested evaluations */
	size_t budget;    /* bytes it may allocate before it must collect */
	size_t allocated; /* bytes since the last collection */
	int flags;        /* for mallocx() and sdallocx(), see cardmark_jemalloc_flags() */
	uint64_t random;
	struct object **log; /* --barrier=oracle: old objects stored to */
	size_t logged, log_room;
	struct mutator *next;
};

/* 10000 levels are fewer calls than the 65536 that the thread sanitizer can follow. */
enum { STACK_MAX = 1 << 20, DEPTH_MAX = 10000, THREAD_STACK = 64 << 20 };

/* The calling thread becomes a mutator; waits while the world is stopped. It does not
 * leave the list when it ends: the next collection needs its number of allocated bytes and its
 * log. */
void world_join(struct mutator *m);
void world_leave(struct mutator *m);

/* While a mutator waits for something else it counts as stopped: it must not touch the
 * heap, and its stack is looked at as it is. */
void world_rest(void);
void world_resume(void);

/* Stops all other mutators. False: another mutator had stopped the world, and it runs again. */
bool world_stop(void);
void world_start(void);

/* All mutators; for a stopped world. */
struct mutator *world_mutators(void);

/* Calls visit for each root: the stacks of all mutators, and all global variables. */
void world_roots(void (*visit)(value v));

/* The safepoint. */
extern atomic_bool world_wants_stop;
void world_park(void);

static inline void poll_world(void)
{
	/* relaxed: the lock in world_park() orders what matters. */
	if (atomic_load_explicit(&world_wants_stop, memory_order_relaxed))
		world_park();
}

/* The Lisp program failed: prints the error and ends the process. */
_Noreturn void lisp_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void push(struct mutator *m, value v)
{
	if (m->top == STACK_MAX)
		lisp_error("recursion too deep: the stack is full");
	m->stack[m->top++] = v;
}

/* Around all recursion: gives an error instead of an overrun of the C stack. */
static inline void deeper(struct mutator *m)
{
	if (m->depth++ == DEPTH_MAX)
		lisp_error("recursion too deep: more than %d levels", DEPTH_MAX);
}

#endif
