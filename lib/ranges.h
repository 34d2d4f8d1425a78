/* SPDX-License-Identifier: MIT
 *
 * The range map: which memory is tracked. A sorted array of disjoint ranges in
 * memory of our own; neighbours of one kind are one range, so that they are
 * scanned in one call. The tracker's lock protects it. */
#ifndef CM_RANGES_H
#define CM_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cm_kind {
	CM_KIND_PRIVATE = 1, /* private anonymous: written and (present or swapped), R6 */
	CM_KIND_FILE = 2,    /* anything else: the exact written mask, R6 */
};

struct cm_range {
	uintptr_t start, end;
	enum cm_kind kind;
	int prot; /* the program's PROT_*: what a trap backend gives back */
};

struct cm_cards;
struct cardmark_run;

struct cm_ranges {
	struct cm_range *v;
	size_t n, cap;
};

void cm_ranges_free(struct cm_ranges *r);

/* Makes sure that the next n adds or removes cannot fail: 0 or -ENOMEM. */
int cm_ranges_reserve(struct cm_ranges *r, size_t n);
/* Adds a range; it replaces the parts that it overlaps. */
void cm_ranges_add(struct cm_ranges *r, struct cm_range range);
/* Removes what is there of [start, end). */
void cm_ranges_remove(struct cm_ranges *r, uintptr_t start, uintptr_t end);

/* Index of the first range that ends above addr; n if there is none. */
size_t cm_ranges_find(const struct cm_ranges *r, uintptr_t addr);
bool cm_ranges_cover(const struct cm_ranges *r, uintptr_t start, uintptr_t end);
bool cm_ranges_touch(const struct cm_ranges *r, uintptr_t start, uintptr_t end);
uint64_t cm_ranges_bytes(const struct cm_ranges *r);

/* Sets every card in span that lies in a range. */
void cm_ranges_mark(const struct cm_ranges *r, struct cardmark_run span, struct cm_cards *into);

/* The part of range i in [start, end); empty (start >= end) if there is none. */
struct cm_range cm_ranges_clip(const struct cm_ranges *r, size_t i, uintptr_t start, uintptr_t end);

#endif
