/* SPDX-License-Identifier: MIT
 *
 * Checks of the tests that need nothing but arithmetic: each failure is printed, and the
 * test goes on. */
#ifndef CM_TESTS_TOOLS_CHECK_H
#define CM_TESTS_TOOLS_CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			printf("FAIL line %d: %s\n", __LINE__, #c);                                \
			failures++;                                                                \
		}                                                                                  \
	} while (0)

#endif
