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

/* The descriptors opened last, -1 if none, and the first one: a backend's, which opens before
 * verify does. */
extern int broken_os_uffd, broken_os_pagemap, broken_os_first_pagemap;

/* Calls that arm or look fail, one in `one_in`, half of them after they have
 * done their work, with EINTR, EAGAIN, ENOMEM or EFAULT. Never those that
 * resolve a trap. */
void broken_os_fail_randomly(struct cm_os *os, unsigned one_in, uint64_t seed);
uint64_t broken_os_failures(void);
void broken_os_seed(uint64_t seed);
/* None fail meanwhile. */
void broken_os_pause(bool pause);

/* Scans on other threads than this one take their time, now and then: before they
 * do their work, or after. */
void broken_os_delay_helpers(struct cm_os *os);

/* Breaks a rule each; the property test must find losses. */
void break_by_arming_without_harvest(struct cm_os *os);     /* R8 */
void break_by_not_checking_wpasync(struct cm_os *os);       /* R2 */
void break_by_taking_errors_as_clean(struct cm_os *os);     /* R3 */
void break_by_not_protecting(struct cm_os *os);             /* mprotect */
void break_by_taking_unreadable_as_empty(struct cm_os *os); /* pread of pagemap */
void break_by_passing_over_swapped(struct cm_os *os);       /* R6 */
void break_by_not_asking_ksm(struct cm_os *os);             /* R12 */
void break_by_dropping_what_helpers_find(struct cm_os *os); /* of a shared harvest */
void break_by_believing_every_bit(struct cm_os *os);        /* R9 */
void break_by_asking_as_of_private(struct cm_os *os);       /* R6, shared memory */
void break_by_keeping_descriptors(struct cm_os *os);        /* R5, in fork children */

#endif
