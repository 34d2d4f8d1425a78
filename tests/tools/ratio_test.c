/* SPDX-License-Identifier: MIT
 * Description: medians, ranks and ratios of cardmark bench on data whose answers are known. */
#include <math.h>
#include <stdio.h>

#include "tests/support/unit.h"
#include "tools/ratio.h"

static int near(double a, double b)
{
	return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void test_median(void)
{
	const double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 };

	CHECK(near(sample_median(odd, 3), 3));
	CHECK(near(sample_median(even, 4), 2.5));
	CHECK(near(sample_median(odd, 1), 5));
	CHECK(isnan(sample_median(odd, 0)));
	CHECK(near(odd[0], 5)); /* the input is left as it is */
}

static void test_rank(void)
{
	uint64_t v[100];

	for (unsigned i = 0; i < 100; i++)
		v[i] = 100 - i;
	sample_sort(v, 100);
	CHECK(v[0] == 1 && v[99] == 100);
	CHECK(sample_rank(v, 100, 0.5) == 50);
	CHECK(sample_rank(v, 100, 0.99) == 99);
	CHECK(sample_rank(v, 100, 1) == 100);
	CHECK(sample_rank(v, 100, 0) == 1);
	CHECK(sample_rank(v, 10, 0.99) == 10); /* few values: the largest */
	CHECK(sample_rank(v, 0, 0.5) == 0);
}

/* scipy.stats.t.ppf(0.975, n - 1) * sem, for logs 0, 1, 2, ... */
static void test_interval(void)
{
	static const struct {
		size_t n;
		double half;
	} want[] = { { 3, 2.484138 },
		     { 5, 1.963243 },
		     { 8, 2.047867 },
		     { 15, 2.476590 },
		     { 41, 3.781071 } };

	for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
		double a[41], b[41], mean = (double)(want[k].n - 1) / 2;
		struct ratio r;

		for (size_t i = 0; i < want[k].n; i++) {
			a[i] = exp((double)i);
			b[i] = 1;
		}
		r = ratio_paired(a, b, want[k].n);
		CHECK(near(log(r.mid), mean));
		CHECK(fabs(log(r.high) - mean - want[k].half) < 1e-3);
		CHECK(fabs(mean - log(r.low) - want[k].half) < 1e-3);
	}
}

static void test_ratio(void)
{
	const double a[] = { 2, 8, 4 }, b[] = { 1, 1, 1 }, none[] = { 0, 0, 0 };
	const double half[] = { 0, 1, 0 };
	struct ratio r = ratio_paired(a, b, 3);

	CHECK(near(r.mid, 4)); /* geometric, not 14 / 3 */
	CHECK(r.low > 0 && r.low < 2 && r.high > 8 && near(r.low * r.high, 16));
	r = ratio_paired(a, a, 3);
	CHECK(near(r.mid, 1) && near(r.low, 1) && near(r.high, 1));
	/* A failed run takes its block out, and only that. */
	r = ratio_paired(a, half, 3);
	CHECK(near(r.mid, 8));
	r = ratio_paired(a, none, 3);
	CHECK(isnan(r.mid));
	r = ratio_paired(a, b, 0);
	CHECK(isnan(r.mid));
	/* One or two blocks claim nothing. */
	r = ratio_paired(a, b, 2);
	CHECK(near(r.mid, 4) && r.low <= 0 && isinf(r.high));
	CHECK(ratio_same(r, 0.01) && isinf(ratio_resolution(r)));
}

static struct ratio exactly(double v)
{
	return (struct ratio){ v, v, v };
}

static void test_resolution(void)
{
	CHECK(near(ratio_resolution((struct ratio){ 1, 0.98, 1.03 }), 0.03));
	CHECK(near(ratio_resolution((struct ratio){ 1, 0.5, 1.03 }), 1.0));
	CHECK(ratio_same(exactly(1.02), 0.03));
	CHECK(ratio_same(exactly(0.98), 0.03));
	CHECK(!ratio_same(exactly(1.04), 0.03));
	CHECK(!ratio_same(exactly(0.9), 0.03));
	CHECK(ratio_same((struct ratio){ 1.3, 0.9, 1.8 }, 0.03));
	/* "1.00" is no difference, however sure it is. */
	CHECK(ratio_same(exactly(1.0049), 0) && ratio_same(exactly(0.9951), 0));
	CHECK(!ratio_same(exactly(1.0051), 0) && !ratio_same(exactly(0.9949), 0));
	/* What cannot be told apart is not a difference. */
	CHECK(ratio_same(exactly(NAN), 0.03));
	CHECK(ratio_same(exactly(1.5), NAN));
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(test_median),   UNIT_CASE(test_rank),       UNIT_CASE(test_ratio),
		UNIT_CASE(test_interval), UNIT_CASE(test_resolution),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
