/* SPDX-License-Identifier: MIT
 *
 * How the collector learns which old objects were written. The interpreter writes to the heap
 * only by store(), so a software barrier is needed only there. With --barrier=cardmark store()
 * is a plain store after one branch; built with MINIGC_NO_SOFTWARE_BARRIER it has not even
 * that branch. */
#ifndef MINIGC_BARRIER_H
#define MINIGC_BARRIER_H

#include "examples/minigc/world.h"

struct barrier {
	/* The software card table: a byte for each 1 << shift bytes of address space, of which
	 * only the used parts take memory. NULL: another barrier. */
	_Atomic unsigned char *cards;
	unsigned shift;
	bool log;                    /* the remembered set of --barrier=oracle */
	uint64_t dirty;              /* cards, or objects of the oracle, that the last visit saw */
	uint64_t dropped;            /* of them dropped by --break=drop, in all */
	uint64_t all_dirty, guessed; /* answers of cardmark that were not exact */
};

extern struct barrier barrier;

void barrier_remember(struct mutator *m, struct object *o);

static inline void store(struct mutator *m, struct object *o, size_t slot, value v)
{
	o->slot[slot] = v;
#ifdef MINIGC_NO_SOFTWARE_BARRIER
	(void)m;
#else
	if (barrier.cards != NULL)
		atomic_store_explicit(&barrier.cards[(uintptr_t)&o->slot[slot] >> barrier.shift], 1,
				      memory_order_relaxed);
	else if (barrier.log)
		barrier_remember(m, o);
#endif
}

/* After heap_open(). */
void barrier_open(void);

/* In this order, in the stopped world: take what was written since, visit it, forget it.
 * What was taken is kept until forget. A full collection needs no visit and leaves it out. */
void barrier_take(void);
void barrier_visit(void (*visit)(uintptr_t start, uintptr_t end));
void barrier_forget(void);

#endif
