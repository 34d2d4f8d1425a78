/* SPDX-License-Identifier: MIT
 *
 * One run of a scenario in a child process, with a fault, and how it ended. */
#ifndef CM_TESTS_ATTEMPT_H
#define CM_TESTS_ATTEMPT_H

#include "cardmark/cardmark.h"
#include "tests/soundness/faults/scenarios.h"
#include "tests/support/inject_os.h"

struct verdict {
	enum outcome outcome;
	char text[512]; /* its complaints */
};

extern const char *const outcome_names[]; /* of enum outcome */

/* After this time the child and all its processes are killed: then it hung. */
struct verdict attempt(void (*act)(void), enum cardmark_backend backend, unsigned capabilities,
		       const struct inject_fault *fault, int timeout_ms);

#endif
