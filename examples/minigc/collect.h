/* SPDX-License-Identifier: MIT
 *
 * Collections. The mark bits are sticky: what a collection marked stays marked, and is
 * old. A young collection takes the old for alive, and marks from the roots and from the
 * old objects that were written since the last collection; no others can point to a
 * young one. All that it finds is old afterwards, so no old object points to a young
 * one then, and the cards can be forgotten. */
#ifndef MINIGC_COLLECT_H
#define MINIGC_COLLECT_H

#include "examples/minigc/world.h"

enum collect_how { COLLECT_WHAT_IS_DUE, COLLECT_FULL };

void collect_open(void);

/* For a mutator that wants to allocate so many bytes. Afterwards its budget allows that,
 * unless somebody else collected meanwhile; or the program has ended, out of memory. */
void collect(struct mutator *m, size_t bytes, enum collect_how how);

#endif
