/* SPDX-License-Identifier: MIT
 *
 * --verify: all that can be reached is found a second time, by other code and in another
 * bitmap, and held against what the collection marked. */
#ifndef MINIGC_VERIFY_H
#define MINIGC_VERIFY_H

#include "examples/minigc/world.h"

/* Between marking and sweeping. Reports what would be freed, counts it, and marks it, so
 * that the program can go on and its result still be compared. */
void verify_marks(void);

/* Objects that would have been lost, up to now. */
uint64_t verify_lost(void);

#endif
