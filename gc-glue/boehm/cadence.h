/* SPDX-License-Identifier: MIT
 *
 * How often to collect, and whether to mark everything: numbers in, a plan out (cadence.c).
 * growth.c takes the numbers from libgc and gives it the plan. */
#ifndef CM_GC_CADENCE_H
#define CM_GC_CADENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A collection that has ended, and the heap after it. */
struct cm_gc_cycle {
	uint64_t used;  /* bytes in blocks that hold objects */
	uint64_t free;  /* bytes in other blocks */
	uint64_t live;  /* bytes of objects; 0: not known */
	uint64_t scan;  /* bytes that libgc counts for its threshold; 0: not known */
	uint64_t ns;    /* spent on marking, in stops and slices */
	uint64_t cards; /* dirty ones: each was a fault */
	uint64_t bytes; /* allocated since the collection before, */
	uint64_t late;  /* of them between its first stop and its end, */
	uint64_t grown; /* and before the heap grew first; 0: it did not grow */
	bool full;      /* it marked everything */
};

struct cm_gc_cadence_limits {
	uint64_t fault_ns; /* what a first write to an armed card costs */
	uint64_t most_ns;  /* a stop that marks everything may take; 0: as long as it needs */
	uint64_t small_ns; /* a stop so short is short enough: no partial ones are needed */
	size_t divisor;    /* the program's free space divisor */
	bool kinds;        /* we decide which collections are full */
	bool bare;         /* a full one need not arm anything */
};

struct cm_gc_plan {
	uint64_t least; /* bytes to allocate before the next collection begins, at least */
	bool soon;      /* libgc's own threshold counts garbage, and is too high */
	bool full;      /* it marks everything, */
	bool bare;      /* and so will the one after it: nothing has to be armed */
};

struct cm_gc_cadence {
	uint64_t used, used_full; /* live after the last collection, the last full one */
	uint64_t full_ps;         /* a full one takes, for each byte in use */
	uint64_t partial_ns;      /* a partial one takes, faults included */
	uint64_t suspect;         /* bytes that partial ones have kept since, and may be dead */
	uint64_t threshold;       /* when libgc would collect that stops the world */
	uint64_t unused;          /* free bytes, after the last collection */
	unsigned floating;        /* of 1000 such bytes a full one freed so many */
	unsigned share;           /* of 1000 bytes that are free so many can be used */
	unsigned partials;        /* since the last full one */
	unsigned tried;           /* since arming began */
	unsigned bare_left, wait; /* full ones before partial ones are tried again */
	bool armed;
};

#define CM_GC_CADENCE_INIT                                                                         \
	{                                                                                          \
		.floating = 1000, .share = 750, .bare_left = 4, .wait = 16                         \
	}

/* How long a full collection takes if it is the next one. 0: not known yet. */
uint64_t cm_gc_cadence_full_ns(const struct cm_gc_cadence *c);
struct cm_gc_plan cm_gc_cadence_next(struct cm_gc_cadence *c, const struct cm_gc_cadence_limits *l,
				     const struct cm_gc_cycle *was);

/* ---- The plan carried out (growth.c) --------------------------------------------------------- */

struct cm_gc_growth {
	uint64_t full;     /* collections that marked everything */
	uint64_t bare;     /* of them, planned so that nothing had to be armed */
	uint64_t least;    /* bytes to allocate before the next one */
	uint64_t fault_ns; /* what the first write to an armed card costs */
};
extern struct cm_gc_growth cm_gc_growth;

void cm_gc_growth_start(void);
void cm_gc_growth_event(int event);
void cm_gc_growth_resized(void);
/* A slice of marking took so long. */
void cm_gc_growth_slice(uint64_t ns);
/* The next collection, or the one under way, is full, and so is the one after it: it need not
 * arm. */
bool cm_gc_growth_bare(void);
/* How long the next collection takes if it is full. 0: not known yet. */
uint64_t cm_gc_growth_full_ns(void);
void cm_gc_hook_set_min_bytes_allocd(size_t bytes);
size_t cm_gc_hook_get_min_bytes_allocd(void);
void cm_gc_hook_set_full_freq(int n);
int cm_gc_hook_get_full_freq(void);
void cm_gc_hook_set_free_space_divisor(size_t divisor);
size_t cm_gc_hook_get_free_space_divisor(void);

#endif
