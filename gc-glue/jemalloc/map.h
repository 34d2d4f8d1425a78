/* SPDX-License-Identifier: MIT
 *
 * A map of disjoint ranges with flags, sorted, neighbours with the same flags
 * joined. One writer at a time (the caller's lock); readers take no lock.
 *
 * A reader sees a whole state or looks again: `version` is odd while the map changes. For that, the
 * entries are atomics, stored with release and loaded with acquire: no store can move before the
 * odd version, and no load can move after the second look at the version. The array never moves:
 * its address space is reserved, and made usable piece by piece. It is kept from merging with
 * tracked neighbours, or it would report itself (R14). */
#ifndef CM_JE_MAP_H
#define CM_JE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cardmark_jemalloc_range;

struct cm_je_entry {
	atomic_uintptr_t start; /* the flags are in its low bits: addresses are of cards */
	atomic_uintptr_t end;
};

struct cm_je_map {
	struct cm_je_entry *v;
	atomic_size_t n;
	size_t usable, most;
	atomic_uint version;
};

#define CM_JE_NOTHING 0x80u /* cm_je_map_set: remove */

int cm_je_map_init(struct cm_je_map *map, size_t most); /* 0 or -ENOMEM */
void cm_je_map_free(struct cm_je_map *map);

/* Gives [start, end) these flags, or removes what is there. -ENOMEM: no room, and
 * nothing was changed. */
int cm_je_map_set(struct cm_je_map *map, uintptr_t start, uintptr_t end, unsigned flags);
void cm_je_map_clear(struct cm_je_map *map);

enum cm_je_found { CM_JE_NONE, CM_JE_FOUND, CM_JE_UNKNOWN };

/* The first range that ends above addr. UNKNOWN: a thread is in the middle of a change and
 * does not end it, or this is a copy of the process made then; *out is all from addr on. */
enum cm_je_found cm_je_map_find(struct cm_je_map *map, uintptr_t addr,
				struct cardmark_jemalloc_range *out);

/* The sound answer if nothing is known: everything from addr on is always dirty. */
struct cardmark_jemalloc_range cm_je_anything_from(uintptr_t addr);

#endif
