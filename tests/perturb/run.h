/* SPDX-License-Identifier: MIT
 *
 * How long a case of the stress programs runs, and which: PROGRAM BACKEND [--seconds=S] [CASE].
 * Included once, by the program itself. */
#ifndef CM_TESTS_PERTURB_RUN_H
#define CM_TESTS_PERTURB_RUN_H

#include "common/clock.h"
#include "tests/support/live.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_MORE_NS UINT64_C(30000000000)

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

/* Without both, a case has shown nothing. */
static atomic_ulong n_writes, n_answers;

/* A case goes on until its time is over. Delays, and a busy machine, may have left none for a
 * first write or answer: then it goes on until there is one, but not for ever. */
static inline bool goes_on(uint64_t deadline)
{
	uint64_t now = cm_now_ns();
	bool both = atomic_load(&n_writes) > 0 && atomic_load(&n_answers) > 0;

	return now < (both ? deadline : deadline + MOST_MORE_NS);
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
