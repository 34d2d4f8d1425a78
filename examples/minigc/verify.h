/* SPDX-License-Identifier: MIT
 *
 * --verify: all reachable objects are found a second time, by other code and in another
 * bitmap, and compared with what the collection marked. */
#ifndef MINIGC_VERIFY_H
#define MINIGC_VERIFY_H

#include "examples/minigc/world.h"

/* Between marking and sweeping. Reports, counts and marks each reachable object that would be
 * freed. So the program can go on, and its result can still be compared. */
void verify_marks(void);

/* Objects that would have been lost, up to now. */
uint64_t verify_lost(void);

#endif
