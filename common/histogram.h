/* SPDX-License-Identifier: MIT
 *
 * The buckets of a log-linear histogram of whole numbers: 32 for each octave, so that a value
 * is known to 1 part in 32. */
#ifndef CM_COMMON_HISTOGRAM_H
#define CM_COMMON_HISTOGRAM_H

#include <stdint.h>

enum { CM_HIST_BITS = 5, CM_HIST_SUB = 1 << CM_HIST_BITS };

/* The number of buckets for that many octaves. */
#define CM_HIST_BUCKETS(octaves) (((octaves)-CM_HIST_BITS + 1) * CM_HIST_SUB)

static inline unsigned cm_hist_bucket(uint64_t value)
{
	unsigned octave;

	if (value < CM_HIST_SUB)
		return (unsigned)value;
	octave = 63u - (unsigned)__builtin_clzll(value);
	return (octave - CM_HIST_BITS + 1) * CM_HIST_SUB +
	       (unsigned)((value >> (octave - CM_HIST_BITS)) & (CM_HIST_SUB - 1));
}

/* The largest value of a bucket. In the last one of 64 octaves it wraps to the largest there is. */
static inline uint64_t cm_hist_end(unsigned bucket)
{
	unsigned octave = bucket / CM_HIST_SUB + CM_HIST_BITS - 1;

	if (bucket < CM_HIST_SUB)
		return bucket;
	return ((uint64_t)(CM_HIST_SUB + bucket % CM_HIST_SUB + 1) << (octave - CM_HIST_BITS)) - 1;
}

#endif
