/* SPDX-License-Identifier: MIT
 *
 * The collector's knowledge of the heap, kept beside the heap: for every 2 MiB of addresses a
 * few bitmaps with a bit for each 16 bytes. Marking and sweeping write here alone, so they
 * dirty no card. */
#ifndef MINIGC_SIDE_H
#define MINIGC_SIDE_H

#include "examples/minigc/value.h"

#include <stdatomic.h>

enum {
	GRANULE = 16, /* jemalloc aligns every object of ours to it */
	BLOCK = 4096, /* a card is one or more of these */
	CHUNK = 2 << 20,
	WORDS = CHUNK / GRANULE / 64, /* of a bitmap */
	BLOCKS = CHUNK / BLOCK,
	BLOCK_WORDS = BLOCK / GRANULE / 64,
};

struct chunk {
	uintptr_t base;
	struct chunk *next;
	_Atomic uint64_t start[WORDS];  /* an object starts here; mutators set, the sweep clears */
	uint64_t mark[WORDS];           /* it is old. World stopped */
	uint64_t seen[WORDS];           /* --verify's own marks. World stopped */
	_Atomic uint64_t logged[WORDS]; /* in the remembered set of --barrier=oracle */
	_Atomic uint64_t fresh[BLOCKS / 64]; /* an object was allocated in this block since the
					      * last collection */
	/* The object that reaches into this block from before it. It stays when the object is
	 * freed, so it is a hint: see side_first(). */
	_Atomic uintptr_t cover[BLOCKS];
};

/* The chunk of this address, or NULL. */
struct chunk *side_chunk(uintptr_t at);

/* All chunks, linked by next. They are never given back. World stopped. */
struct chunk *side_chunks(void);

/* Enters a new object; its header is in place. Any mutator. False: no memory. */
bool side_enter(struct object *o);

/* Does an object start here? */
bool side_is_start(uintptr_t at);

bool side_is_marked(const struct object *o);

/* Marks it; false if it was marked. World stopped. */
bool side_mark(const struct object *o);

/* The same with --verify's bitmap. */
bool side_see(const struct object *o);

/* The same with the remembered set's bitmap. Other mutators may do so at the same time. */
bool side_log(const struct object *o);
void side_unlog(const struct object *o);

/* Makes all mark bits, or all of --verify's, 0. World stopped. */
void side_clear_marks(void);
void side_clear_seen(void);

/* Calls visit for each marked object that overlaps [start, end). World stopped. */
void side_each_marked(uintptr_t start, uintptr_t end,
		      void (*visit)(struct object *o, uintptr_t start, uintptr_t end));

/* Memory that is zero and uses RAM only where it is touched, or NULL. */
void *side_reserve(size_t bytes);

#endif
