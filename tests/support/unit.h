/* SPDX-License-Identifier: MIT
 *
 * Frame for tests that need no kernel feature: they run once. PROGRAM [SEED] prints a TAP
 * line a case, named by its function. */
#ifndef CM_TESTS_UNIT_H
#define CM_TESTS_UNIT_H

#include "tests/support/tap.h"

struct unit_case {
	const char *name;
	void (*run)(void);
	void (*set_up)(void);    /* may be NULL */
	void (*tear_down)(void); /* runs however the case ended; may be NULL */
};

#define UNIT_CASE(run) UNIT_CASE_WITH(run, NULL, NULL)
#define UNIT_CASE_WITH(run, set_up, tear_down)                                                     \
	{                                                                                          \
#run, run, set_up, tear_down                                                       \
	}
#define UNIT_CASES(cases) (cases), sizeof(cases) / sizeof *(cases)

int unit_main(int argc, char **argv, const struct unit_case *cases, size_t n);

/* The argument, for random_seed(); or NULL. */
extern const char *unit_seed;

#endif
