/* SPDX-License-Identifier: MIT
 *
 * Shared by programs with worker threads. Included once, by the program itself. */
#ifndef CM_TESTS_BOEHM_WORKERS_H
#define CM_TESTS_BOEHM_WORKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t seed = 1;
static unsigned threads = 1, seconds = 3;
static _Atomic uint64_t next_id = 1;
static _Atomic bool stop;

/* Is it -s SEED, -t THREADS or -d SECONDS? */
static inline bool is_worker_option(int c, const char *text, unsigned most)
{
	unsigned long value = text ? strtoul(text, NULL, 10) : 0;

	if (c == 's')
		seed = value;
	else if (c == 't' && value >= 1 && value <= most)
		threads = (unsigned)value;
	else if (c == 'd')
		seconds = (unsigned)value;
	else
		return false;
	return true;
}

#endif
