/* SPDX-License-Identifier: MIT
 *
 * Shared by walk.c and walk_proof.c: the structures of libgc 8.2 that are needed to leave out its
 * walk. walk_proof.c proves each field before walk.c uses it. */
#ifndef CM_GC_WALK_H
#define CM_GC_WALK_H

#include "gc-glue/boehm/glue.h"

#define BLOCK UINT64_C(4096)
#define BLOCK_SHIFT 12
#define INDEX_SHIFT 22
#define INDEX_BLOCKS 1024u
#define GRANULE 16u
#define FLAG_FREE 4u
#define FLAG_UNCONDITIONAL 0x10u  /* its objects are marked from, marked or not */
#define FLAGS_UNCONDITIONAL 0x18u /* and they have a disclaim procedure */

/* bottom_index of gc_hdrs.h. */
struct cm_gc_index {
	uintptr_t entry[INDEX_BLOCKS]; /* a header's address, or how many blocks to go back */
	struct cm_gc_index *asc, *desc;
	uintptr_t key; /* the address that it begins with, shifted */
};

/* hblkhdr of gc_priv.h, in a build that keeps a mark byte for each granule. */
struct cm_gc_header {
	void *next, *prev;
	uintptr_t block;
	uint8_t kind, flags;
	uint16_t last_reclaimed;
	uintptr_t size, descr;
	const void *map;
	uintptr_t marks_n;
	uint8_t mark[BLOCK / GRANULE];
};

struct cm_gc_own {
	struct cm_gc_index **word;  /* in GC_arrays: where all walks begin */
	struct cm_gc_index *hidden; /* what belongs there while it is not there */
	uintptr_t *holder;          /* uncollectable: has both objects */
	uintptr_t pump, spill;      /* of our kind */
	uintptr_t descr;            /* of that kind: our mark procedure */
};
extern struct cm_gc_own cm_gc_own;

/* Makes these and proves all of the above. NULL, or why the walk must stay. Takes libgc's lock. */
const char *cm_gc_walk_prove(cm_gc_mark_fn *procedure);

#endif
