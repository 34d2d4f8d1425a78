/* SPDX-License-Identifier: MIT
 *
 * Time in nanoseconds. */
#ifndef CM_COMMON_CLOCK_H
#define CM_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t cm_clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The processor time of this thread. */
static inline uint64_t cm_cpu_ns(void)
{
	return cm_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline uint64_t cm_now_ns(void)
{
	return cm_clock_ns(CLOCK_MONOTONIC);
}

static inline double cm_now_seconds(void)
{
	return (double)cm_now_ns() * 1e-9;
}

#endif
