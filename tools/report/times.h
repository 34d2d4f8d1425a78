/* SPDX-License-Identifier: MIT
 * How long stops or requests of a row took: percentiles and their curves. */
#ifndef CARDMARK_REPORT_TIMES_H
#define CARDMARK_REPORT_TIMES_H

#include "tools/histogram.h"
#include "tools/report/chart.h"

/* Sorted, or as a histogram; neither if there are none. In ns. */
struct times {
	const char *row;
	uint64_t count;
	const uint64_t *sorted;
	const struct histogram *histogram;
};

/* In ms; 1 is the longest. */
double times_quantile(const struct times *t, double q);

/* Makes room for their curve. */
void times_reach(const struct times *t, struct chart *c);
/* A curve for each; the x axis is the share of those that take no longer. */
void times_curves(struct chart *c, const struct times *t, size_t n);

#endif
