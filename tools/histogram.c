/* SPDX-License-Identifier: MIT */
#include "tools/histogram.h"

#include <inttypes.h>
#include <math.h>

enum { LINES_PER_HALVING = 5 };

uint64_t hist_end(unsigned i)
{
	return cm_hist_end(i);
}

uint64_t hist_bound(uint64_t value)
{
	return hist_end(cm_hist_bucket(value));
}

void hist_add_many(struct histogram *h, uint64_t value, uint64_t times)
{
	h->bucket[cm_hist_bucket(value)] += times;
	h->count += times;
	h->sum += (double)value * (double)times;
	h->squares += (double)value * (double)value * (double)times;
	if (times > 0 && value > h->max)
		h->max = value;
}

void hist_add(struct histogram *h, uint64_t value)
{
	hist_add_many(h, value, 1);
}

void hist_merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned i = 0; i < HIST_SIZE; i++)
		into->bucket[i] += from->bucket[i];
	into->count += from->count;
	into->sum += from->sum;
	into->squares += from->squares;
	if (from->max > into->max)
		into->max = from->max;
}

/* The value of that rank, and the number of values up to the end of its bucket. */
static uint64_t at_rank(const struct histogram *h, uint64_t rank, uint64_t *upto)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_SIZE; i++) {
		seen += h->bucket[i];
		if (seen >= rank && seen > 0) {
			*upto = seen;
			return hist_end(i) < h->max ? hist_end(i) : h->max;
		}
	}
	*upto = seen;
	return h->max;
}

static uint64_t rank_of(const struct histogram *h, double q)
{
	double rank = ceil(q * (double)h->count);

	if (rank < 1)
		return 1;
	return rank >= (double)h->count ? h->count : (uint64_t)rank;
}

uint64_t hist_quantile(const struct histogram *h, double q)
{
	uint64_t upto;

	return h->count ? at_rank(h, rank_of(h, q), &upto) : 0;
}

double hist_mean(const struct histogram *h)
{
	return h->count ? h->sum / (double)h->count : NAN;
}

double hist_deviation(const struct histogram *h)
{
	double mean = hist_mean(h);

	return h->count ? sqrt(fmax(h->squares / (double)h->count - mean * mean, 0)) : NAN;
}

void hist_write(const struct histogram *h, double unit, FILE *f)
{
	double q = 0, n = (double)h->count;

	fprintf(f, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	while (h->count > 0) {
		uint64_t upto, value = at_rank(h, rank_of(h, q), &upto);
		double step = exp2(floor(log2(1 / (1 - q))) + 1) * LINES_PER_HALVING;

		if (upto == h->count)
			break;
		fprintf(f, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", (double)value / unit, q, upto,
			1 / (1 - q));
		q += 1 / step;
	}
	if (h->count > 0)
		fprintf(f, "%12.3f %2.12f %10" PRIu64 "\n", (double)h->max / unit, 1.0, h->count);
	fprintf(f, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n",
		h->count ? hist_mean(h) / unit : 0, h->count ? hist_deviation(h) / unit : 0);
	fprintf(f, "#[Max     = %12.3f, Total count    = %12.0f]\n", (double)h->max / unit, n);
	fprintf(f, "#[Buckets = %12d, SubBuckets     = %12d]\n", 64 - CM_HIST_BITS + 1,
		CM_HIST_SUB);
}
