/* SPDX-License-Identifier: MIT
 * The arithmetic of cardmark bench: the order of samples, ratios and their confidence. A run's
 * statistics are read in bench/run_statistics.c. */
#ifndef CARDMARK_TOOL_RATIO_H
#define CARDMARK_TOOL_RATIO_H

#include <stddef.h>
#include <stdint.h>

/* The middle value, or the mean of the two middle ones; NaN if n is 0. */
double sample_median(const double *v, size_t n);

/* Sorts v. */
void sample_sort(uint64_t *v, size_t n);

/* The smallest value that at least fraction q of them do not exceed (nearest
 * rank); v is sorted; 0 if n is 0. */
uint64_t sample_rank(const uint64_t *sorted, size_t n, double q);

/* Fewer blocks give no interval. */
#define RATIO_MIN_BLOCKS 3

/* A ratio and its 95 % interval: 0 to infinity below RATIO_MIN_BLOCKS, NaN if
 * there were no blocks. */
struct ratio {
	double mid, low, high;
};

/* a[i] and b[i] are from the same block. The geometric mean of a[i] / b[i], and
 * Student's interval of the mean log ratio. With few blocks, bootstrap intervals are too narrow
 * (percentile) or unbounded (studentised); docs/bench.md has the figures. Blocks in which either
 * value is missing (not above 0) do not count. */
struct ratio ratio_paired(const double *a, const double *b, size_t n);

/* The smallest relative difference that counts, from the ratio of the reference to itself: the
 * farther end of its interval. 0.03 means 3 %. */
double ratio_resolution(struct ratio control);

/* Two digits show no smaller difference. */
#define RATIO_LEAST 0.005

/* Is the ratio no different from 1: by less than the resolution or RATIO_LEAST, or with 1 in
 * its interval? */
int ratio_same(struct ratio ratio, double resolution);

/* Are there an interval and a resolution, so that the ratio means something? */
int ratio_known(struct ratio ratio, double resolution);

/* "0.74 [0.71, 0.78]" with this number of digits; with "~" in front if there is no difference; "-"
 * if it is not known. */
enum { RATIO_TEXT = 48 };
const char *ratio_text(struct ratio r, double resolution, int digits, char out[RATIO_TEXT]);
/* Three digits or all whole ones; "-" for NaN. */
const char *number_text(double v, char out[RATIO_TEXT]);

#endif
