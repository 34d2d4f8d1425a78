/* SPDX-License-Identifier: MIT
 * Description: the statistics of cardmark bench on data whose answers are
 * known. Exit 0 or 1. */
#include <math.h>
#include <stdio.h>

#include "tools/stats.h"

static int failures;

#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			printf("FAIL line %d: %s\n", __LINE__, #c);                                \
			failures++;                                                                \
		}                                                                                  \
	} while (0)

static int near(double a, double b)
{
	return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static uint64_t state = 1;

static double uniform(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(state >> 11) / 9007199254740992.0;
}

/* Sum of uniforms: mean 0, standard deviation 1. */
static double normal(void)
{
	double s = -6;

	for (int i = 0; i < 12; i++)
		s += uniform();
	return s;
}

static void test_median(void)
{
	const double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 };

	CHECK(near(stat_median(odd, 3), 3));
	CHECK(near(stat_median(even, 4), 2.5));
	CHECK(near(stat_median(odd, 1), 5));
	CHECK(isnan(stat_median(odd, 0)));
	CHECK(near(odd[0], 5)); /* the input is left as it is */
}

static void test_rank(void)
{
	uint64_t v[100];

	for (unsigned i = 0; i < 100; i++)
		v[i] = 100 - i;
	stat_sort(v, 100);
	CHECK(v[0] == 1 && v[99] == 100);
	CHECK(stat_rank(v, 100, 0.5) == 50);
	CHECK(stat_rank(v, 100, 0.99) == 99);
	CHECK(stat_rank(v, 100, 1) == 100);
	CHECK(stat_rank(v, 100, 0) == 1);
	CHECK(stat_rank(v, 10, 0.99) == 10); /* few values: the largest */
	CHECK(stat_rank(v, 0, 0.5) == 0);
}

static void test_ratio(void)
{
	const double a[] = { 2, 8, 4 }, b[] = { 1, 1, 1 }, none[] = { 0, 0, 0 };
	const double half[] = { 0, 1, 0 };
	struct stat_ratio r = stat_paired_ratio(a, b, 3, 1);

	CHECK(near(r.mid, 4)); /* geometric, not 14 / 3 */
	CHECK(near(r.low, 2) && near(r.high, 8));
	r = stat_paired_ratio(a, a, 3, 1);
	CHECK(near(r.mid, 1) && near(r.low, 1) && near(r.high, 1));
	/* A failed run takes its block out, and only that. */
	r = stat_paired_ratio(a, half, 3, 1);
	CHECK(near(r.mid, 8));
	r = stat_paired_ratio(a, none, 3, 1);
	CHECK(isnan(r.mid));
	r = stat_paired_ratio(a, b, 0, 1);
	CHECK(isnan(r.mid));
	/* One or two blocks claim nothing. */
	r = stat_paired_ratio(a, b, 2, 1);
	CHECK(near(r.mid, 4) && r.low <= 0 && isinf(r.high));
	CHECK(stat_same(r, 0.01) && isinf(stat_resolution(r)));
	/* The same seed gives the same interval. */
	struct stat_ratio s = stat_paired_ratio(a, b, 3, 1);

	CHECK(near(s.low, stat_paired_ratio(a, b, 3, 1).low));
}

/* 20 blocks with noise of 5 %, a true ratio of 0.8: a 95 % interval holds it
 * most of the time (the percentile bootstrap is a little too narrow), and noise
 * that both rows of a block share cancels. */
static void test_coverage(void)
{
	unsigned held = 0;
	enum { TRIALS = 200, BLOCKS = 20 };

	for (unsigned t = 0; t < TRIALS; t++) {
		double a[BLOCKS], b[BLOCKS];
		struct stat_ratio r;

		for (unsigned i = 0; i < BLOCKS; i++) {
			double shared = exp(0.5 * normal());

			a[i] = 0.8 * shared * exp(0.05 * normal());
			b[i] = shared * exp(0.05 * normal());
		}
		r = stat_paired_ratio(a, b, BLOCKS, t);
		CHECK(r.low <= r.mid && r.mid <= r.high);
		CHECK(r.high / r.low < 1.15);
		held += r.low <= 0.8 && 0.8 <= r.high;
	}
	printf("the interval held the true ratio in %u of %d trials\n", held, TRIALS);
	CHECK(held >= TRIALS * 87 / 100 && held <= TRIALS * 99 / 100);
}

static struct stat_ratio exactly(double v)
{
	return (struct stat_ratio){ v, v, v };
}

static void test_resolution(void)
{
	CHECK(near(stat_resolution((struct stat_ratio){ 1, 0.98, 1.03 }), 0.03));
	CHECK(near(stat_resolution((struct stat_ratio){ 1, 0.5, 1.03 }), 1.0));
	CHECK(stat_same(exactly(1.02), 0.03));
	CHECK(stat_same(exactly(0.98), 0.03));
	CHECK(!stat_same(exactly(1.04), 0.03));
	CHECK(!stat_same(exactly(0.9), 0.03));
	CHECK(stat_same((struct stat_ratio){ 1.3, 0.9, 1.8 }, 0.03));
	/* What cannot be told apart is not a difference. */
	CHECK(stat_same(exactly(NAN), 0.03));
	CHECK(stat_same(exactly(1.5), NAN));
}

int main(void)
{
	test_median();
	test_rank();
	test_ratio();
	test_coverage();
	test_resolution();
	printf("%d failures\n", failures);
	return failures != 0;
}
