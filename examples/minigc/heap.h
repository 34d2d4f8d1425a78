/* SPDX-License-Identifier: MIT
 *
 * The heap: an arena of jemalloc under a tracker. Objects are allocated and freed one by
 * one, and jemalloc does that without a write to the arena's pages. */
#ifndef MINIGC_HEAP_H
#define MINIGC_HEAP_H

#include "examples/minigc/world.h"

struct heap {
	struct cardmark *cm;
	struct cardmark_jemalloc *je;
	struct cardmark_table *table; /* cards that a collection has yet to look at */
	size_t live;                  /* bytes that the last collection left */
};

extern struct heap heap;

/* Makes the tracker, the arena and the table. Ends the program if it cannot. */
void heap_open(void);
void heap_close(void);

/* This thread's flags for jemalloc. */
int heap_flags(void);

/* A new object, its slots 0 and its bytes undefined. A safepoint that may collect: afterwards
 * only objects reachable from the stack or a global variable are left. The slots may be
 * written without store() only until the next safepoint. */
struct object *allocate(struct mutator *m, enum kind kind, size_t length);

/* Gives an object back, in the world that m stopped. */
void heap_free(struct mutator *m, struct object *o, size_t bytes);

value cons(struct mutator *m, value car, value cdr);
value string(struct mutator *m, const char *bytes, size_t length);

#endif
