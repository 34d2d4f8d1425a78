/* SPDX-License-Identifier: MIT
 *
 * Shared by inject_test and stops_test, which try scenarios on one backend. In each run
 * another kernel call fails or stops:
 *
 * PROGRAM [BACKEND] [--all] [--seed=N] [--only=WHAT] [--fault=PLACE or --stop=PLACE] */
#ifndef CM_TESTS_SWEEP_H
#define CM_TESTS_SWEEP_H

#include "cardmark/cardmark.h"
#include "tests/support/inject_os.h"

#include <stdbool.h>

struct sweep {
	enum cardmark_backend backend;
	const char *name; /* of the backend */
	unsigned capabilities;
	bool all;           /* every place */
	unsigned long most; /* places, if not all */
	const char *seed;   /* text, or NULL */
	const char *only;   /* what it is about, or NULL */
	const char *place;  /* the one to try, or NULL */
};

extern struct sweep sweep;

/* variable: "all", or a number that replaces most. option: the option that names a place.
 * False: wrong arguments. */
bool sweep_read_arguments(int argc, char **argv, const char *variable, unsigned long most,
			  const char *option);

/* Can the backend be tested here? If not, prints a line. Tried in a child, so that this
 * process has not probed. */
bool sweep_usable(void);

/* Makes everything that a process keeps for ever, before anything is counted. */
bool sweep_warm_up(void);

/* "CALL,N,HOW" and maybe more. How many characters are read; 0: there is no such call. */
int sweep_read_place(const char *text, struct inject_fault *fault);

#endif
