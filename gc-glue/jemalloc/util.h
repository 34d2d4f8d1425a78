/* SPDX-License-Identifier: MIT
 *
 * Functions that do not concern arenas: memory of our own, and waiting. */
#ifndef CM_JE_UTIL_H
#define CM_JE_UTIL_H

#include "common/clock.h"
#include "common/signals.h"
#include "common/wait.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CM_JE_WAIT_NS UINT64_C(20000000)         /* as a collect waits for the tracker's lock */
#define CM_JE_WAIT_LONG_NS (100 * CM_JE_WAIT_NS) /* where the answer is of no use otherwise */

/* ---- util.c --------------------------------------------------------------------- */

/* Memory of our own: see map.h. NULL if there is none. */
void *cm_je_map_memory(size_t len, int prot);
void cm_je_unmap_memory(void *p, size_t len);

/* ---- wait.c --------------------------------------------------------------------- */

/* This process is one of fork()'s, or the first: no fork is under way. */
void cm_je_process_begins(void);
void cm_je_fork_begins(void);
void cm_je_fork_ends(void);
bool cm_je_forking(void);
/* Is this a process that was made by no fork() of ours: clone(2), vfork? */
bool cm_je_is_copy(void);
/* Called between two looks at another thread's progress. It sleeps now and then, because this
 * thread's priority may keep the other thread from a processor. It does not use nanosleep(), which
 * is a cancellation point. */
void cm_je_pause(unsigned turn);
/* Waits without a bound, except in a copy of the process made by clone(2): there the thread that
 * had the lock may not exist, and this returns false after CM_JE_WAIT_LONG_NS. */
bool cm_je_lock(pthread_mutex_t *lock);

#endif
