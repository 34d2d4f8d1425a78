/* SPDX-License-Identifier: MIT
 *
 * How a random test is told its seed, and how long it runs. */
#ifndef CM_TESTS_RANDOM_H
#define CM_TESTS_RANDOM_H

#include "common/random.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The seed: text (an argument) if it is a number, else CARDMARK_TEST_SEED, else the
 * clock. Printed, so that a failure can be repeated. */
static inline uint64_t random_seed(const char *text)
{
	uint64_t seed;

	if (text == NULL || *text < '0' || *text > '9')
		text = getenv("CARDMARK_TEST_SEED");
	seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) % 1000000;
	(void)printf("# seed %llu\n", (unsigned long long)seed);
	(void)fflush(stdout);
	return seed;
}

/* How long a random test runs: CARDMARK_TEST_SECONDS, or what is said here. */
static inline double random_seconds(double otherwise)
{
	const char *text = getenv("CARDMARK_TEST_SECONDS");

	return text != NULL ? strtod(text, NULL) : otherwise;
}

/* How often something is done: `few` times on an emulated machine, which is said. */
static inline unsigned long random_rounds(unsigned long otherwise, unsigned long few)
{
	if (getenv("CARDMARK_TEST_SMALL") == NULL)
		return otherwise;
	(void)printf("# CARDMARK_TEST_SMALL: %lu rounds of %lu\n", few, otherwise);
	(void)fflush(stdout);
	return few;
}

#endif
