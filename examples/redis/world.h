/* SPDX-License-Identifier: MIT
 *
 * Stops the other threads of the process by a signal, as collectors do. */
#ifndef REDIS_WORLD_H
#define REDIS_WORLD_H

#include <stdbool.h>

/* Before the first stop. 0 or -errno. */
int world_set_up(void);

/* Returns when every other thread is in our handler, except jemalloc's background threads,
 * which block all signals. False: there are too many threads; none is stopped then. While the
 * world is stopped, call nothing that allocates or takes a lock of the program. */
bool world_stop(void);
void world_go_on(void);

#endif
