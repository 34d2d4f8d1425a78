/* SPDX-License-Identifier: MIT
 *
 * The object that cardmark watch preloads. While the program runs, it writes only to shared memory,
 * which is not watched; otherwise it would report its own writes. */
#ifndef CARDMARK_WATCH_OBJECT_H
#define CARDMARK_WATCH_OBJECT_H

#include "tools/watch/shared.h"

#include "common/maps.h"

#include <cardmark/process.h>

#include <sys/stat.h>

enum { OBJECT_STACK = 256 << 10, OBJECT_REGIONS = 4096 };

/* The memory file, as the object maps it. */
struct object {
	struct watch_shared shared;
	struct cm_maps maps;
	struct stat maps_file;
	struct watch_look look;
	uint64_t interval_ns, share; /* as in WATCH_VARIABLE */
	uint64_t fault_ns, rest_ns;  /* rest_ns: at least, to the next look */
	uint64_t excluded; /* categories of pages that were not written, whatever else they are */
	uint64_t hash;     /* of what was mapped at the last look */
	size_t n_now, n_tracked, n_refused;
	struct watch_mapping now[WATCH_MAPPINGS];
	struct cardmark_run tracked[WATCH_MAPPINGS], refused[WATCH_MAPPINGS];
	struct cardmark_region regions[OBJECT_REGIONS];
	_Alignas(64) char stack[OBJECT_STACK];
};
_Static_assert(sizeof(struct object) <= WATCH_FILE, "it fits");

/* Set once, at the start: object.c. */
extern struct object *object;
extern struct cardmark *object_tracker;
extern struct cardmark_process *object_self;

void object_tell(enum watch_record kind, const void *a, size_t na, const void *b, size_t nb);

/* Follows the mappings, asks which pages were written, and records them. first: existing pages were
 * not written in our time. look.c */
void object_look(bool first);

/* The cost of the first write to a page after a look, measured on memory of our own. look.c */
uint64_t object_fault_ns(void);

#endif
