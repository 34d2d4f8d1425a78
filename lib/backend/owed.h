/* SPDX-License-Identifier: MIT
 *
 * The units of shared harvests whose helpers are late. One list serves the whole process. A late
 * helper may clear bits at any later time. The kernel clears by address: the helper's tracker may
 * have given the memory up, and another tracker may have it. So every tracker that has cards there
 * owes them.
 *
 * The rule. A harvest reports what is owed whole, up to and including the first that
 * begins after the helper has come back. Each tracker notes how many helpers had come back when its
 * last harvest began (`seen`); it still owes the units of helpers that came back later. */
#ifndef CM_BACKEND_OWED_H
#define CM_BACKEND_OWED_H

#include "lib/cards.h"
#include "lib/ranges.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes the list. 0 or -ENOMEM. Without it the other calls find nothing. */
int cm_owed_set_up(void);

/* Enters a unit before its helper is called late. Returns its place in the list. */
unsigned cm_owed_add(uintptr_t start, uintptr_t end);
/* Of cm_owed_add(): the helper was not late after all. Nothing is owed. */
void cm_owed_forgive(unsigned place);
/* On the helper, after its last call of the kernel. */
void cm_owed_back(unsigned place);

/* How many have come back: the first `seen` of a new tracker, and of a fork child. */
uint64_t cm_owed_seen(void);
/* Before a harvest: adds what is owed of the tracked ranges to a set, and brings *seen
 * up to date. Returns how many pieces. */
size_t cm_owed_mark(uint64_t *seen, const struct cm_ranges *all, struct cm_cards *into);
/* Is at owed? Lowers *end to the end of this answer. */
bool cm_owed_at(uint64_t seen, uintptr_t at, uintptr_t *end);

#endif
