/* SPDX-License-Identifier: MIT */
#include "tools/ratio.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

double sample_median(const double *v, size_t n)
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

void sample_sort(uint64_t *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof *v, by_count);
}

uint64_t sample_rank(const uint64_t *sorted, size_t n, double q)
{
	size_t k;

	if (n == 0)
		return 0;
	k = (size_t)ceil(q * (double)n);
	if (k < 1)
		k = 1;
	return sorted[(k > n ? n : k) - 1];
}

/* The 97.5 % point of Student's t: tables up to 10 degrees of freedom, beyond
 * them an expansion around the normal distribution, good to four digits. */
static double t_point(size_t freedom)
{
	static const double few[] = { 12.7062, 4.3027, 3.1824, 2.7764, 2.5706,
				      2.4469,  2.3646, 2.3060, 2.2622, 2.2281 };
	const double z = 1.959964, v = (double)freedom;

	if (freedom <= sizeof few / sizeof *few)
		return few[freedom - 1];
	return z + (pow(z, 3) + z) / (4 * v) +
	       (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * v * v) +
	       (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / (384 * v * v * v);
}

struct ratio ratio_paired(const double *a, const double *b, size_t n)
{
	struct ratio r = { NAN, NAN, NAN };
	double sum = 0, squares = 0, mean, half;
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (a[i] > 0 && b[i] > 0) {
			sum += log(a[i] / b[i]);
			m++;
		}
	if (m == 0)
		return r;
	mean = sum / (double)m;
	r.mid = exp(mean);
	/* One or two values do not show their error. */
	r.low = 0;
	r.high = INFINITY;
	if (m < RATIO_MIN_BLOCKS)
		return r;
	for (size_t i = 0; i < n; i++)
		if (a[i] > 0 && b[i] > 0)
			squares += pow(log(a[i] / b[i]) - mean, 2);
	half = t_point(m - 1) * sqrt(squares / (double)(m - 1) / (double)m);
	r.low = exp(mean - half);
	r.high = exp(mean + half);
	return r;
}

double ratio_resolution(struct ratio control)
{
	double low = fabs(log(control.low)), high = fabs(log(control.high));

	return expm1(low > high ? low : high);
}

int ratio_same(struct ratio ratio, double resolution)
{
	/* NaN is never greater: a difference that is not known counts as none. */
	bool differs = fabs(log(ratio.mid)) > log1p(resolution) &&
		       fabs(log(ratio.mid)) > log1p(RATIO_LEAST);

	return !differs || (ratio.low <= 1 && ratio.high >= 1);
}

int ratio_known(struct ratio ratio, double resolution)
{
	return !isnan(ratio.mid) && !isinf(ratio.high) && isfinite(resolution);
}

const char *ratio_text(struct ratio r, double resolution, int digits, char out[RATIO_TEXT])
{
	const char *mark = ratio_same(r, resolution) ? "~" : "";

	if (isnan(r.mid))
		snprintf(out, RATIO_TEXT, "-");
	else if (isinf(r.high))
		snprintf(out, RATIO_TEXT, "%s%.*f [too few]", mark, digits, r.mid);
	else
		snprintf(out, RATIO_TEXT, "%s%.*f [%.*f, %.*f]", mark, digits, r.mid, digits, r.low,
			 digits, r.high);
	return out;
}

const char *number_text(double v, char out[RATIO_TEXT])
{
	if (!isfinite(v))
		snprintf(out, RATIO_TEXT, "-");
	else if (fabs(v) >= 100 || fabs(v) <= 0)
		snprintf(out, RATIO_TEXT, "%.0f", v);
	else
		snprintf(out, RATIO_TEXT, "%.3g", v);
	return out;
}
