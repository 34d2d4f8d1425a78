/* SPDX-License-Identifier: MIT
 *
 * What steps cost in numbers that do not depend on time: calls of the seam, system
 * calls, page faults, traps and mappings, compared with a table in counters.txt. A
 * step that costs more than is written there fails; so does one that costs less, until
 * the table says so.
 *
 * The steps run in a child that is traced with ptrace(2), first for the caches and then
 * for the record. System calls, faults and mappings are of the thread that runs them. */
#ifndef CM_TESTS_COUNTERS_H
#define CM_TESTS_COUNTERS_H

#include "tests/support/live.h"

/* In the child: runs one. */
void counters_step(const char *name, void (*run)(void));
/* The tracker whose stats count from here on; NULL: none. */
void counters_of(struct cardmark *cm);

/* What a control adds to each call of the seam's map(), covered() and vma_at(). */
enum counters_control {
	CONTROL_NONE,
	CONTROL_SEAM_CALL,
	CONTROL_SYSTEM_CALL,
	CONTROL_FAULT,
	CONTROL_MAPPING,
	CONTROL_COUNT
};

/* Runs all steps and compares: how many lines differ, in the column that the control is
 * about (NONE: in any, and each is told). group: the steps' table. Skips the case where
 * it cannot be done. CARDMARK_COUNTERS=print prints the table instead. */
unsigned counters_compare(const char *group, void (*all)(void), enum counters_control control);

#endif
