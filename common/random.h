/* SPDX-License-Identifier: MIT
 *
 * Random numbers: the same seed gives the same numbers on every machine. Measurements and findings
 * depend on the seed and the generator, so never change the generators. */
#ifndef CM_COMMON_RANDOM_H
#define CM_COMMON_RANDOM_H

#include <stdint.h>

/* splitmix64. Any seed will do. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
	return random_next(state) % n;
}

/* xorshift64: three instructions fewer, for loops that are timed. The seed is not 0. */
static inline uint64_t random_xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
