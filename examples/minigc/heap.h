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

/* The tracker, the arena and the table, or the end. */
void heap_open(void);
void heap_close(void);

/* This thread's flags for jemalloc. */
int heap_flags(void);

/* A new object, its slots 0 and its bytes undefined. A safepoint, and it may collect:
 * what is not on the stack or in a global variable is gone afterwards. The slots may be
 * written without store() until the next safepoint, not later. */
struct object *allocate(struct mutator *m, enum kind kind, size_t length);

/* Gives an object back, in the world that m stopped. */
void heap_free(struct mutator *m, struct object *o, size_t bytes);

value cons(struct mutator *m, value car, value cdr);
value string(struct mutator *m, const char *bytes, size_t length);

#endif
