/* SPDX-License-Identifier: MIT
 * The statistics of cardmark bench. */
#ifndef CARDMARK_TOOL_STATS_H
#define CARDMARK_TOOL_STATS_H

#include <stddef.h>
#include <stdint.h>

/* The middle value, or the mean of the two middle ones; NaN if n is 0. */
double stat_median(const double *v, size_t n);

/* Sorts v. */
void stat_sort(uint64_t *v, size_t n);

/* The smallest value that at least fraction q of them do not exceed (nearest
 * rank); v is sorted; 0 if n is 0. */
uint64_t stat_rank(const uint64_t *sorted, size_t n, double q);

/* Fewer blocks give no interval. */
#define STAT_MIN_BLOCKS 3

/* A ratio and its 95 % interval: 0 to infinity below STAT_MIN_BLOCKS, NaN if
 * there were no blocks. */
struct stat_ratio {
	double mid, low, high;
};

/* a[i] and b[i] are from the same block. The geometric mean of a[i] / b[i], and
 * Student's interval of the mean log ratio. Bootstrap intervals of so few blocks
 * are too narrow (percentile) or as wide as one likes (studentised);
 * docs/bench.md has the figures. Blocks in which either value is missing (not
 * above 0) do not count. */
struct stat_ratio stat_paired_ratio(const double *a, const double *b, size_t n);

/* The smallest relative difference worth a number, from the ratio of the
 * reference to itself: the farther end of its interval. 0.03 means 3 %. */
double stat_resolution(struct stat_ratio control);

/* Is the ratio no different from 1: by less than the resolution, or with 1 in
 * its interval? */
int stat_same(struct stat_ratio ratio, double resolution);

/* Are there an interval and a resolution, so that the ratio means something? */
int stat_known(struct stat_ratio ratio, double resolution);

/* "0.74 [0.71, 0.78]" with so many digits, "~" before it if it is no difference, and "-" if
 * it is not known. */
enum { STAT_TEXT = 48 };
const char *stat_ratio_text(struct stat_ratio r, double resolution, int digits,
			    char out[STAT_TEXT]);
/* Three digits or all whole ones; "-" for NaN. */
const char *stat_number_text(double v, char out[STAT_TEXT]);

#endif
