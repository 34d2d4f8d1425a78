/* SPDX-License-Identifier: MIT
 *
 * SIGSEGV: the lock of the mprotect backend, and its handler.
 *
 * No signal stops a thread that has the lock: every signal is blocked meanwhile, in the handler by
 * its sa_mask. So memory that may be tracked must not be touched under the lock. It lies in memory
 * that is zeroed in a fork child, so it is free there. */
#ifndef CM_BACKEND_SIGSEGV_H
#define CM_BACKEND_SIGSEGV_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define CM_SIGSEGV_WAIT_NS UINT64_C(20000000) /* for the lock, while the world may be stopped */

/* Before the first enter. 0, or -errno. */
int cm_sigsegv_make_lock(void);
/* The lock, with signals blocked. False: it did not come in time. */
bool cm_sigsegv_enter(sigset_t *before, uint64_t wait_ns);
void cm_sigsegv_leave(const sigset_t *before);

enum cm_handler { CM_HANDLER_IN_PLACE, CM_HANDLER_REPLACED, CM_HANDLER_NOT_IN_PLACE };

/* Puts the handler in front of the program's, if it is not. REPLACED: the program had put
 * another in its place. NOT_IN_PLACE: *error has the reason. */
enum cm_handler cm_sigsegv_install(int *error);
/* Puts the program's handler back, unless it has done so itself. */
void cm_sigsegv_uninstall(void);

#endif
