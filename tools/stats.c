/* SPDX-License-Identifier: MIT */
#include "tools/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 10000 };

static int by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int by_count(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double stat_median(const double *v, size_t n)
{
	double *copy, m;

	if (n == 0)
		return NAN;
	copy = malloc(n * sizeof *copy);
	if (copy == NULL)
		return NAN;
	memcpy(copy, v, n * sizeof *copy);
	qsort(copy, n, sizeof *copy, by_double);
	m = n % 2 ? copy[n / 2] : (copy[n / 2 - 1] + copy[n / 2]) / 2;
	free(copy);
	return m;
}

void stat_sort(uint64_t *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof *v, by_count);
}

uint64_t stat_rank(const uint64_t *sorted, size_t n, double q)
{
	size_t k;

	if (n == 0)
		return 0;
	k = (size_t)ceil(q * (double)n);
	if (k < 1)
		k = 1;
	return sorted[(k > n ? n : k) - 1];
}

static uint64_t next(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * UINT64_C(0x2545f4914f6cdd1d);
}

struct stat_ratio stat_paired_ratio(const double *a, const double *b, size_t n, uint64_t seed)
{
	struct stat_ratio r = { NAN, NAN, NAN };
	double *logs = malloc((n + 1) * sizeof *logs);
	double *means = malloc(RESAMPLES * sizeof *means);
	uint64_t s = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	size_t m = 0;
	double sum = 0;

	if (logs == NULL || means == NULL)
		goto out;
	for (size_t i = 0; i < n; i++)
		if (a[i] > 0 && b[i] > 0)
			logs[m++] = log(a[i] / b[i]);
	if (m == 0)
		goto out;
	for (size_t i = 0; i < m; i++)
		sum += logs[i];
	r.mid = exp(sum / (double)m);
	/* Resampling one or two values says nothing of how far they may be off. */
	r.low = 0;
	r.high = INFINITY;
	if (m < STAT_MIN_BLOCKS)
		goto out;
	for (size_t k = 0; k < RESAMPLES; k++) {
		sum = 0;
		for (size_t i = 0; i < m; i++)
			sum += logs[((next(&s) >> 32) * m) >> 32];
		means[k] = sum / (double)m;
	}
	qsort(means, RESAMPLES, sizeof *means, by_double);
	r.low = exp(means[(size_t)(RESAMPLES * 0.025)]);
	r.high = exp(means[(size_t)(RESAMPLES * 0.975) - 1]);
out:
	free(logs);
	free(means);
	return r;
}

double stat_resolution(struct stat_ratio control)
{
	double low = fabs(log(control.low)), high = fabs(log(control.high));

	return expm1(low > high ? low : high);
}

int stat_same(struct stat_ratio ratio, double resolution)
{
	/* NaN is never greater: what cannot be told apart is the same. */
	bool differs = fabs(log(ratio.mid)) > log1p(resolution);

	return !differs || (ratio.low <= 1 && ratio.high >= 1);
}
