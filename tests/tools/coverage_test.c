/* SPDX-License-Identifier: MIT
 * Description: does a 95 % interval of cardmark bench hold the true ratio 95 %
 * of the time, and is a row without a difference shown as "~"? On made-up blocks
 * whose ratio is known, with three kinds of noise. Exit 0 or 1.
 *
 * Each rule is also put to intervals that are known to be wrong, and must find
 * them so: half as wide, and the percentile bootstrap of five blocks.
 *
 * Usage: coverage_test [--seed=N] [--trials=N] [--table] */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random.h"
#include "tools/ratio.h"

enum { MOST = 15, RESAMPLES = 400 };

static uint64_t state, seed = 1;
static unsigned trials = 20000;
static int failures;

/* Between 0 and 1, and neither. */
static double uniform(void)
{
	return ((double)(random_next(&state) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * 3.14159265358979323846 * uniform());
}

/* Of a log time. Runs are late more often than early, and sometimes very. */
static double even(void)
{
	return 0.05 * normal();
}

static double skewed(void)
{
	return -0.05 * log(uniform());
}

static double outliers(void)
{
	double late = uniform() < 0.1 ? 0.4 * uniform() : 0;

	return 0.02 * normal() + late;
}

static const struct noise {
	const char *name;
	double (*one)(void);
} noises[] = { { "even", even }, { "skewed", skewed }, { "outliers", outliers } };

enum { NOISES = sizeof noises / sizeof *noises };

/* Blocks of three rows: the reference, the reference again, and one whose true
 * ratio is given. What a block has in common is large and must cancel. */
struct blocks {
	double ref[MOST], control[MOST], row[MOST];
};

static void make(struct blocks *b, unsigned n, const struct noise *noise, double ratio)
{
	for (unsigned i = 0; i < n; i++) {
		double common = 10 * exp(0.5 * normal());

		b->ref[i] = common * exp(noise->one());
		b->control[i] = common * exp(noise->one());
		b->row[i] = common * ratio * exp(noise->one());
	}
}

typedef struct ratio interval_fn(const double *a, const double *b, size_t n);

static struct ratio half_as_wide(const double *a, const double *b, size_t n)
{
	struct ratio r = ratio_paired(a, b, n);

	r.low = sqrt(r.low * r.mid);
	r.high = sqrt(r.high * r.mid);
	return r;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Resampled means as they are, or (studentised) in units of their own error. */
static struct ratio bootstrap(const double *a, const double *b, size_t n, bool studentised)
{
	struct ratio r = ratio_paired(a, b, n);
	double logs[MOST], stat[RESAMPLES], mean = log(r.mid), error = 0;

	for (size_t i = 0; i < n; i++) {
		logs[i] = log(a[i] / b[i]);
		error += pow(logs[i] - mean, 2);
	}
	error = sqrt(error / (double)(n - 1) / (double)n);
	for (size_t k = 0; k < RESAMPLES; k++) {
		double sum = 0, squares = 0, m, e;

		for (size_t i = 0; i < n; i++) {
			double v = logs[(size_t)(uniform() * (double)n)];

			sum += v;
			squares += v * v;
		}
		m = sum / (double)n;
		e = sqrt(fmax(squares / (double)n - m * m, 0) / (double)(n - 1));
		stat[k] = !studentised ? m : e > 1e-9 ? (m - mean) / e : m < mean ? -1e3 : 1e3;
	}
	qsort(stat, RESAMPLES, sizeof *stat, by_value);
	r.low = exp(studentised ? mean - stat[RESAMPLES - 10] * error : stat[9]);
	r.high = exp(studentised ? mean - stat[9] * error : stat[RESAMPLES - 10]);
	return r;
}

static struct ratio percentile(const double *a, const double *b, size_t n)
{
	return bootstrap(a, b, n, false);
}

static struct ratio studentised(const double *a, const double *b, size_t n)
{
	return bootstrap(a, b, n, true);
}

struct found {
	double held;  /* share of intervals with the true ratio in them */
	double ratio; /* geometric mean of what was found */
	double width; /* median of high / low - 1 */
};

static struct found cover(interval_fn *interval, unsigned n, const struct noise *noise,
			  double ratio)
{
	double *widths = calloc(trials, sizeof *widths), logs = 0;
	struct found f;
	unsigned held = 0;

	if (widths == NULL)
		exit(1);
	state = seed;
	for (unsigned t = 0; t < trials; t++) {
		struct blocks b;
		struct ratio r;

		make(&b, n, noise, ratio);
		r = interval(b.row, b.ref, n);
		held += r.low <= ratio && ratio <= r.high;
		logs += log(r.mid);
		widths[t] = r.high / r.low - 1;
	}
	f.held = held / (double)trials;
	f.ratio = exp(logs / trials);
	f.width = sample_median(widths, trials);
	free(widths);
	return f;
}

/* How often "~" is shown. */
static double same_rate(interval_fn *interval, unsigned n, const struct noise *noise, double ratio)
{
	unsigned same = 0;

	state = seed;
	for (unsigned t = 0; t < trials; t++) {
		struct blocks b;

		make(&b, n, noise, ratio);
		same += ratio_same(interval(b.row, b.ref, n),
				   ratio_resolution(interval(b.control, b.ref, n))) != 0;
	}
	return same / (double)trials;
}

/* What the manual says of them. "~" needs two things, so it is shown more often. */
static const double HELD = 0.95, SAME = 0.99;

/* What chance may do to a rate: five standard errors. */
static double slack(double rate)
{
	return 5 * sqrt(rate * (1 - rate) / trials);
}

static bool covers(double held)
{
	return held >= HELD - slack(HELD);
}

static bool quiet(double same)
{
	return same >= SAME - slack(SAME);
}

static void check(bool good, const char *what, unsigned n, const char *noise, double value)
{
	if (good)
		return;
	printf("FAIL %s: %u blocks, noise %s: %.3f\n", what, n, noise, value);
	failures++;
}

static void table(void)
{
	static const unsigned sizes[] = { 3, 5, 8, 15 };
	static const struct {
		const char *name;
		interval_fn *fn;
	} kinds[] = { { "t", ratio_paired },
		      { "percentile", percentile },
		      { "studentised", studentised } };

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (size_t k = 0; k < NOISES; k++) {
			printf("%2u blocks, %-8s", sizes[s], noises[k].name);
			for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
				struct found f = cover(kinds[i].fn, sizes[s], &noises[k], 0.8);

				printf("  %s %.3f (width %.2f)", kinds[i].name, f.held, f.width);
			}
			printf("  ~ %.3f\n", same_rate(ratio_paired, sizes[s], &noises[k], 1));
		}
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = { 5, 8, 15 };
	bool want_table = false;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--seed=", 7) == 0)
			seed = strtoull(argv[i] + 7, NULL, 10);
		else if (strncmp(argv[i], "--trials=", 9) == 0)
			trials = (unsigned)strtoul(argv[i] + 9, NULL, 10);
		else if (strcmp(argv[i], "--table") == 0)
			want_table = true;
		else
			trials = 0;
	}
	if (trials < 1000 || trials > 10000000) {
		fprintf(stderr, "coverage_test: --seed=N, --trials=N (1000 or more), --table\n");
		return 2;
	}
	printf("seed %llu, %u trials\n", (unsigned long long)seed, trials);
	if (want_table) {
		table();
		return 0;
	}
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		unsigned n = sizes[s];

		for (size_t k = 0; k < NOISES; k++) {
			const struct noise *noise = &noises[k];
			struct found f = cover(ratio_paired, n, noise, 0.8);
			double same = same_rate(ratio_paired, n, noise, 1);
			double clear = same_rate(ratio_paired, n, noise, 2);

			printf("%2u blocks, noise %-8s: held %.3f, ratio %.4f, ~ when equal %.3f, "
			       "~ at twice the time %.3f\n",
			       n, noise->name, f.held, f.ratio, same, clear);
			check(covers(f.held), "the interval is too narrow", n, noise->name, f.held);
			check(fabs(f.ratio - 0.8) < 0.005, "the ratio is off", n, noise->name,
			      f.ratio);
			check(quiet(same), "a difference is shown where none is", n, noise->name,
			      same);
			check(clear < 0.05, "a large difference is not shown", n, noise->name,
			      clear);
			f = cover(half_as_wide, n, noise, 0.8);
			check(!covers(f.held), "CONTROL: half an interval passes", n, noise->name,
			      f.held);
			same = same_rate(half_as_wide, n, noise, 1);
			check(k != 0 || !quiet(same),
			      "CONTROL: half an interval shows no difference", n, noise->name,
			      same);
		}
		/* Skewed noise makes the interval hold more often than it says, even noise does
		 * not. */
		{
			struct found f = cover(ratio_paired, n, &noises[0], 0.8);

			check(f.held <= HELD + slack(HELD), "the interval is too wide", n, "even",
			      f.held);
		}
	}
	{
		struct found f = cover(percentile, 5, &noises[0], 0.8);

		check(!covers(f.held), "CONTROL: the percentile bootstrap passes", 5, "even",
		      f.held);
	}
	printf("%d failures\n", failures);
	return failures != 0;
}
