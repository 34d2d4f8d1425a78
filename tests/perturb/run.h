/* SPDX-License-Identifier: MIT
 *
 * How long a case of the stress programs runs, and which: PROGRAM BACKEND [--seconds=S] [CASE].
 * Included once, by the program itself. */
#ifndef CM_TESTS_PERTURB_RUN_H
#define CM_TESTS_PERTURB_RUN_H

#include "common/clock.h"
#include "tests/support/live.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds = 1;

static inline void sleep_us(uint64_t us)
{
	struct timespec ts = { (time_t)(us / 1000000), (long)(us % 1000000 * 1000) };

	(void)nanosleep(&ts, NULL);
}

static inline uint64_t deadline_ns(void)
{
	return cm_now_ns() + (uint64_t)(seconds * 1e9);
}

static inline bool before(uint64_t deadline)
{
	return cm_now_ns() < deadline;
}

static inline int stress_main(int argc, char **argv, const struct live_case *cases, size_t n)
{
	int left = argc < 2 ? argc : 2;

	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], "--seconds=", 10) == 0)
			seconds = strtod(argv[i] + 10, NULL);
		else
			argv[left++] = argv[i];
	}
	return live_main(left, argv, cases, n);
}

#endif
