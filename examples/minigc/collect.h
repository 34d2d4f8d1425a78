/* SPDX-License-Identifier: MIT
 *
 * Collections. The mark bits are sticky: what a collection marked stays marked, and is
 * old. A young collection treats old objects as alive. It marks from the roots, and from the
 * old objects that were written since the last collection: no other old object can point to a
 * young one. All objects that it finds are old afterwards. So no old object points to a young
 * one then, and the cards can be forgotten. */
#ifndef MINIGC_COLLECT_H
#define MINIGC_COLLECT_H

#include "examples/minigc/world.h"

enum collect_how { COLLECT_WHAT_IS_DUE, COLLECT_FULL };

void collect_open(void);

/* For a mutator that wants to allocate so many bytes. Afterwards its budget allows that,
 * unless another mutator collected meanwhile. Ends the program if memory runs out. */
void collect(struct mutator *m, size_t bytes, enum collect_how how);

#endif
