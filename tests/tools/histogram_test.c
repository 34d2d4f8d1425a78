/* SPDX-License-Identifier: MIT
 * Description: the histogram against sorted values, and minimum mutator
 * utilisation against every window there is.
 * Usage: histogram_test [SEED] */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random.h"
#include "tests/support/unit.h"
#include "tools/histogram.h"
#include "tools/pauses.h"
#include "tools/ratio.h"

static uint64_t state;

/* Of any size: as many of each octave. */
static uint64_t any_value(void)
{
	uint64_t v = random_below(&state, 1u << 31) << 33 ^ random_below(&state, 1u << 31) << 16 ^
		     random_below(&state, 1u << 16);

	return v >> random_below(&state, 64);
}

static void test_buckets(void)
{
	for (uint64_t v = 0; v < 100000; v++)
		CHECK(hist_bound(v) >= v &&
		      (hist_bound(v) == v || hist_bound(v) - v < v / CM_HIST_SUB));
	for (unsigned k = 0; k < 100000; k++) {
		uint64_t v = any_value(), end = hist_bound(v);

		CHECK(end >= v && end - v <= v / CM_HIST_SUB);
		CHECK(hist_bound(end) == end); /* an end is in its own bucket, */
		CHECK(end == UINT64_MAX || hist_bound(end + 1) > end); /* the next is not */
	}
	CHECK(hist_bound(UINT64_MAX) == UINT64_MAX && hist_bound(0) == 0);
}

static void test_quantiles(void)
{
	static const double qs[] = { 0, 0.001, 0.5, 0.9, 0.99, 0.999, 1 };

	for (unsigned round = 0; round < 200; round++) {
		struct histogram *h = calloc(3, sizeof *h);
		size_t n = (size_t)random_below(&state, 500);
		uint64_t v[500];

		if (h == NULL)
			exit(1);
		for (size_t i = 0; i < n; i++) {
			v[i] = any_value();
			hist_add(&h[0], v[i]);
			hist_add(&h[1 + i % 2], v[i]);
		}
		hist_merge(&h[1], &h[2]);
		sample_sort(v, n);
		for (size_t k = 0; k < sizeof qs / sizeof *qs; k++) {
			uint64_t exact = sample_rank(v, n, qs[k]), end = hist_bound(exact);

			if (n > 0 && end > v[n - 1])
				end = v[n - 1];
			CHECK(hist_quantile(&h[0], qs[k]) == (n ? end : 0));
			CHECK(hist_quantile(&h[1], qs[k]) == (n ? end : 0));
		}
		CHECK(h[0].count == n && h[1].count == n && (n == 0 || h[0].max == v[n - 1]));
		free(h);
	}
}

/* What a reader of the format would find: values and shares that rise, the last
 * line is the largest value at 1, and each line is true of the values. */
static void test_text(void)
{
	struct histogram *h = calloc(1, sizeof *h);
	char *text = NULL, line[200];
	size_t len, n = 5000, lines = 0;
	uint64_t *v = calloc(n, sizeof *v), count, last = 0;
	double value, share, before = -1;
	FILE *f = open_memstream(&text, &len);

	if (h == NULL || v == NULL || f == NULL)
		exit(1);
	for (size_t i = 0; i < n; i++)
		hist_add(h, v[i] = 1000 + random_below(&state, 100000) * random_below(&state, 100));
	sample_sort(v, n);
	hist_write(h, 1, f);
	fclose(f);
	f = fmemopen(text, len, "r");
	CHECK(f != NULL && fgets(line, sizeof line, f) != NULL && strstr(line, "1/(1-Percentile)"));
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		unsigned long long c;

		if (line[0] == '#' || sscanf(line, "%lf %lf %llu", &value, &share, &c) != 3)
			continue;
		count = c;
		CHECK(share > before && count >= last && count <= n);
		CHECK((double)count >= share * (double)n - 1e-6);
		CHECK((double)v[count - 1] <= value && (count == n || (double)v[count] > value));
		before = share;
		last = count;
		lines++;
	}
	CHECK(last == n && fabs(before - 1) < 1e-12 && fabs(value - (double)h->max) < 1);
	CHECK(lines > 30 && lines < 200 && strstr(text, "#[Max") != NULL);
	if (f != NULL)
		fclose(f);
	free(text);
	text = NULL;
	memset(h, 0, sizeof *h);
	f = open_memstream(&text, &len);
	if (f == NULL)
		exit(1);
	hist_write(h, 1, f); /* empty, but whole */
	fclose(f);
	CHECK(strstr(text, "Total count") != NULL);
	free(text);
	free(v);
	free(h);
}

enum { SPAN = 120 };

/* In whole units of time every window begins at one of them. */
static double mmu_by_trying(const bool *paused, unsigned total, unsigned window)
{
	unsigned worst = 0;

	if (window > total)
		window = total;
	for (unsigned from = 0; from + window <= total; from++) {
		unsigned in = 0;

		for (unsigned t = from; t < from + window; t++)
			in += paused[t];
		if (in > worst)
			worst = in;
	}
	return 1 - worst / (double)window;
}

static void test_mmu(void)
{
	struct pause one = { 10, 20 };
	uint64_t sum;

	for (unsigned round = 0; round < 3000; round++) {
		bool paused[SPAN * 2] = { false };
		struct pause p[SPAN];
		uint64_t before[SPAN];
		unsigned total = 1 + (unsigned)random_below(&state, SPAN),
			 window = 1 + (unsigned)random_below(&state, SPAN + 20);
		size_t n = 0;

		for (uint64_t t = random_below(&state, 30); t < SPAN;
		     t += random_below(&state, 30)) {
			uint64_t end = t + random_below(&state, 8);

			p[n++] = (struct pause){ t, end };
			for (uint64_t k = t; k < end; k++)
				paused[k] = true;
			t = end + 1;
		}
		/* A pause that the end of the run cuts counts up to there. */
		pause_sums(p, n, before);
		CHECK(fabs(pause_mmu(p, n, before, total, window) -
			   mmu_by_trying(paused, total, window)) < 1e-12);
	}
	pause_sums(&one, 1, &sum);
	CHECK(fabs(pause_mmu(&one, 1, &sum, 100, 40) - 0.75) < 1e-12);
	CHECK(fabs(pause_mmu(&one, 1, &sum, 100, 5)) < 1e-12); /* shorter than the pause */
	CHECK(fabs(pause_mmu(NULL, 0, NULL, 100, 5) - 1) < 1e-12);
	CHECK(isnan(pause_mmu(&one, 1, &sum, 100, 0)) && isnan(pause_mmu(&one, 1, &sum, 0, 1)));
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(test_buckets),
		UNIT_CASE(test_quantiles),
		UNIT_CASE(test_text),
		UNIT_CASE(test_mmu),
	};

	state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	printf("# seed %llu\n", (unsigned long long)state);
	return unit_main(argc, argv, UNIT_CASES(cases));
}
