/* SPDX-License-Identifier: MIT
 * A log-linear histogram of whole numbers: 32 buckets an octave, so that a value
 * is known to 1 part in 32, up to 2^64 - 1, in memory that does not grow. */
#ifndef CARDMARK_TOOL_HISTOGRAM_H
#define CARDMARK_TOOL_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#include "common/histogram.h"

enum { HIST_SIZE = CM_HIST_BUCKETS(64) };

/* All zero is an empty one. */
struct histogram {
	uint64_t count, max;
	double sum, squares;
	uint64_t bucket[HIST_SIZE];
};

void hist_add(struct histogram *h, uint64_t value);
void hist_add_many(struct histogram *h, uint64_t value, uint64_t times);
void hist_merge(struct histogram *into, const struct histogram *from);

/* The largest value that counts as equal to value: the end of its bucket. */
uint64_t hist_bound(uint64_t value);
/* The same of the bucket of that number. */
uint64_t hist_end(unsigned bucket);

/* By nearest rank, as sample_rank(): the end of a bucket, but never above the largest value; 0 if
 * it is empty. */
uint64_t hist_quantile(const struct histogram *h, double q);

/* NaN if it is empty. */
double hist_mean(const struct histogram *h);
double hist_deviation(const struct histogram *h);

/* The percentile distribution as text (.hgrm), values divided by unit; 5 lines
 * each time the distance to 100 % halves. HdrHistogram's plotters read this. */
void hist_write(const struct histogram *h, double unit, FILE *f);

#endif
