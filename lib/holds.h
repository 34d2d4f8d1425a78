/* SPDX-License-Identifier: MIT
 *
 * Ranges that count as always dirty, because page tables do not show their writes. A sorted array
 * of the held ranges, in bytes and with a count, and their cards. The tracker's lock protects
 * it. */
#ifndef CM_HOLDS_H
#define CM_HOLDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cardmark_run;

struct cm_hold {
	uintptr_t start, end; /* bytes */
	size_t count;
};

struct cm_holds {
	struct cm_hold *v; /* by start, then end */
	size_t n, cap;
	size_t total;             /* sum of counts */
	struct cardmark_run *run; /* cap of them, the first n_runs in use: whole cards, disjoint */
	size_t n_runs;
};

void cm_holds_free(struct cm_holds *h);
int cm_holds_add(struct cm_holds *h, uintptr_t start, uintptr_t end); /* 0, -ENOMEM */
/* Takes one away of exactly this range. 0, -ENOENT. */
int cm_holds_remove(struct cm_holds *h, uintptr_t start, uintptr_t end);
/* The first run of held cards that ends above addr. */
bool cm_holds_next(const struct cm_holds *h, uintptr_t addr, struct cardmark_run *out);

#endif
