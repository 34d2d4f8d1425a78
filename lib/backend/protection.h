/* SPDX-License-Identifier: MIT
 *
 * What the mprotect backend does to memory: takes write access away, gives it back, and
 * resolves a trap. All of it is done under the lock of sigsegv.h. */
#ifndef CM_BACKEND_PROTECTION_H
#define CM_BACKEND_PROTECTION_H

#include "lib/backend/backend.h"
#include "lib/backend/files.h"

#include <pthread.h>

struct cm_trap {
	struct cm_backend b; /* first */
	struct cm_trap *next;
	pthread_t opener;
	bool other_threads; /* have faulted */
	bool orphan;        /* its tracker is closed */
	/* For the handler, which cannot read the tracker's ranges. There are two copies, changed
	 * one after the other: a child may be cloned in the middle of a change, and even then
	 * its traps must be resolved. */
	struct cm_ranges copy[2];
	_Atomic unsigned changing; /* the first or the second; 0: none */
	struct cm_cards written;
	struct cm_cards fresh;    /* written only because they were not armed yet */
	struct cm_file pagemap;   /* open in a harvest that needs it */
	struct cm_cards snapshot; /* of written, for one scan */
};

/* Of all trackers. */
extern struct cm_trap *cm_traps;

/* The copy that is not half changed. Under the lock both are whole, except in a child that was
 * made while a thread had the lock. */
const struct cm_ranges *cm_trap_ranges(const struct cm_trap *t);
/* 0, or -ENOMEM: as it was. */
int cm_trap_reserve_ranges(struct cm_trap *t, size_t n);
/* Adds a range, or removes what is there of it. */
void cm_trap_change_ranges(struct cm_trap *t, const struct cm_range *range, bool add);

int cm_trap_protect(struct cm_trap *t, uintptr_t start, uintptr_t end, int prot);
/* Makes all of [start, end) writable and written, as after every failure. False: the process can
 * have no more mappings. */
bool cm_trap_make_written(struct cm_trap *t, uintptr_t start, uintptr_t end);
/* After a fault at addr: may the write be tried again? */
bool cm_trap_resolve(uintptr_t addr);

#endif
