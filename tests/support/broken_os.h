/* SPDX-License-Identifier: MIT
 *
 * The real seam with calls that fail, or rules that are broken, underneath the
 * real library. broken_os_begin() lets the probe see the sound one first. */
#ifndef CM_TESTS_BROKEN_OS_H
#define CM_TESTS_BROKEN_OS_H

#include "lib/os/os.h"

#include <stdint.h>

/* A copy of the Linux table to change; in use until broken_os_end(). */
struct cm_os *broken_os_begin(void);
void broken_os_end(void);

/* The descriptors opened last, -1 if none. */
extern int broken_os_uffd, broken_os_pagemap;

/* Calls that arm or look fail, one in `one_in`, half of them after they have
 * done their work, with EINTR, EAGAIN, ENOMEM or EFAULT. Never those that
 * resolve a trap. */
void broken_os_fail_randomly(struct cm_os *os, unsigned one_in, uint64_t seed);
uint64_t broken_os_failures(void);

/* Breaks a rule each; the property test must find losses. */
void break_by_arming_without_harvest(struct cm_os *os);     /* R8 */
void break_by_not_checking_wpasync(struct cm_os *os);       /* R2 */
void break_by_taking_errors_as_clean(struct cm_os *os);     /* R3 */
void break_by_not_protecting(struct cm_os *os);             /* mprotect */
void break_by_taking_unreadable_as_empty(struct cm_os *os); /* pread of pagemap */

#endif
