/* SPDX-License-Identifier: MIT
 * Compares two results files. Times of two sessions are not compared as they are, because the
 * machine differs too. Each row is taken relative to the reference of its own block, and blocks of
 * the same seed are paired: (row / reference, new) / (row / reference, old). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

struct side {
	struct bench_plan *plan;
	struct bench_env env;
};

enum { SHOWN = 3 };
static const enum bench_metric shown[SHOWN] = { METRIC_TOTAL, METRIC_CPU, METRIC_PAUSED };
static const enum bench_metric latency[SHOWN] = { METRIC_LATENCY_P50, METRIC_LATENCY_P99,
						  METRIC_LATENCY_P999 };

/* By block, a row's share of the reference; 0 if one of them is missing. */
static void shares(const struct side *s, unsigned program, unsigned row, unsigned blocks,
		   enum bench_metric m, double *out)
{
	/* The time in pauses is compared by itself, because the reference's pauses are of another
	 * kind. So is latency. */
	bool plain = m == METRIC_PAUSED || m >= METRIC_SERVICE || row == s->plan->ref;

	for (unsigned b = 0; b < blocks; b++) {
		double v = bench_metric_of(&bench_cell(s->plan, program, row)->runs[b], m);
		double ref =
			bench_metric_of(&bench_cell(s->plan, program, s->plan->ref)->runs[b], m);

		out[b] = plain ? v : ref > 0 ? v / ref : 0;
	}
}

static int find_program(const struct bench_plan *plan, const char *name)
{
	for (unsigned k = 0; k < plan->program_count; k++)
		if (strcmp(plan->programs[k].name, name) == 0 &&
		    plan->programs[k].left_out[0] == '\0')
			return (int)k;
	return -1;
}

static int find_row(const struct bench_plan *plan, const char *label)
{
	for (unsigned row = 0; row < plan->row_count; row++)
		if (strcmp(plan->rows[row].label, label) == 0)
			return (int)row;
	return -1;
}

static struct ratio change(const struct side s[2], const unsigned program[2], const unsigned row[2],
			   unsigned blocks, enum bench_metric m)
{
	double a[MAX_BLOCKS], b[MAX_BLOCKS];

	shares(&s[1], program[1], row[1], blocks, m, a);
	shares(&s[0], program[0], row[0], blocks, m, b);
	return ratio_paired(a, b, blocks);
}

/* The same metric in both files' own noise. */
static double noise(const struct side s[2], const unsigned program[2], enum bench_metric m)
{
	return fmax(bench_resolution(s[0].plan, program[0], m),
		    bench_resolution(s[1].plan, program[1], m));
}

/* A line of three metrics for each row. True if a row of ours is slower in the first one
 * than allowed. Latency goes by the noise of each metric, the others by that of the total. */
static bool compare_rows(const struct side s[2], const unsigned program[2], unsigned blocks,
			 const enum bench_metric metrics[SHOWN], double fail_above)
{
	bool worse = false, times = metrics == shown;

	for (unsigned i = 0; i < s[0].plan->row_count; i++) {
		const struct bench_row *r = &s[0].plan->rows[i];
		int other = find_row(s[1].plan, r->label);
		unsigned row[2] = { i, (unsigned)other };
		char text[SHOWN][RATIO_TEXT];
		bool slow = false;

		if (other < 0) {
			if (times)
				printf("%-26s only in the old file\n", r->label);
			continue;
		}
		for (unsigned m = 0; m < SHOWN; m++) {
			struct ratio ratio = change(s, program, row, blocks, metrics[m]);
			double least = noise(s, program, times ? METRIC_TOTAL : metrics[m]);

			ratio_text(ratio, least, 3, text[m]);
			slow = slow ||
			       (m == 0 && fail_above >= 0 && bench_is_ours(r) &&
				!ratio_same(ratio, least) && ratio.mid > 1 + fail_above / 100);
		}
		worse = worse || slow;
		printf("%-26s %-24s %-24s %s%s\n", r->label, text[0], text[1], text[2],
		       slow                           ? "  SLOWER"
		       : i == s[0].plan->ref && times ? "  (times as they are)"
						      : "");
	}
	return worse;
}

/* Can they be compared? If not, prints the reason. */
static bool same_load(const struct bench_program *p, const struct bench_program *q, bool print)
{
	if (p->work != q->work && print)
		printf("; not compared: %" PRIu64 " %% of the work in the old file, %" PRIu64
		       " %% in the new\n",
		       p->work, q->work);
	else if (p->rate != q->rate && print)
		printf("; not compared: %" PRIu64 " requests a second in the old file, %" PRIu64
		       " in the new (--rate)\n",
		       p->rate, q->rate);
	return p->work == q->work && p->rate == q->rate;
}

/* True if a row of ours is slower than allowed. */
static bool compare_program(const struct side s[2], const unsigned program[2], double fail_above)
{
	const struct bench_program *p = &s[0].plan->programs[program[0]];
	const struct bench_program *q = &s[1].plan->programs[program[1]];
	unsigned blocks = p->blocks < q->blocks ? p->blocks : q->blocks;
	double resolution = noise(s, program, METRIC_TOTAL);
	bool worse;

	printf("\n%s: %u blocks of the same seeds", p->name, blocks);
	if (!same_load(p, q, true))
		return false;
	if (isfinite(resolution))
		printf("; resolution %.1f %% (the worse of two)\n", 100 * resolution);
	else
		printf("; no resolution\n");
	printf("%-26s %-24s %-24s %s\n", "", "total", "CPU", "time in pauses");
	worse = compare_rows(s, program, blocks, shown, fail_above);
	if (bench_has_latency(s[0].plan, program[0]) && bench_has_latency(s[1].plan, program[1])) {
		printf("%-26s %-24s %-24s %s\n", "", "50 % latency", "99 %", "99.9 %");
		compare_rows(s, program, blocks, latency, -1);
	}
	return worse;
}

static bool load(const char *file, struct side *s)
{
	s->plan = calloc(1, sizeof *s->plan);
	return s->plan != NULL && bench_load("bench", file, s->plan, &s->env);
}

static void differs(const char *what, const char *a, const char *b)
{
	if (strcmp(a, b) != 0)
		printf("NOTE      another %s: %s, then %s\n", what, a, b);
}

static int compare(const struct side s[2], double fail_above)
{
	unsigned compared = 0;
	bool worse = false;

	if (s[0].plan->seed != s[1].plan->seed) {
		tool_message("bench",
			     "seeds %" PRIu64 " and %" PRIu64 " are not comparable: use --seed",
			     s[0].plan->seed, s[1].plan->seed);
		return TOOL_CANNOT;
	}
	printf("Old       %s, library %s, %s\nNew       %s, library %s, %s\n", s[0].env.started,
	       s[0].env.library, s[0].env.kernel, s[1].env.started, s[1].env.library,
	       s[1].env.kernel);
	differs("kernel", s[0].env.kernel, s[1].env.kernel);
	differs("CPU", s[0].env.cpu, s[1].env.cpu);
	differs("libgc", s[0].env.libgc, s[1].env.libgc);
	differs("THP mode", s[0].env.thp, s[1].env.thp);
	for (unsigned k = 0; k < s[0].plan->program_count; k++) {
		int other = find_program(s[1].plan, s[0].plan->programs[k].name);
		unsigned program[2] = { k, (unsigned)other };

		if (s[0].plan->programs[k].left_out[0] != '\0')
			continue;
		if (other < 0) {
			printf("\n%s: only in the old file\n", s[0].plan->programs[k].name);
			continue;
		}
		worse = compare_program(s, program, fail_above) || worse;
		compared += same_load(&s[0].plan->programs[k], &s[1].plan->programs[other], false);
	}
	for (unsigned k = 0; k < s[1].plan->program_count; k++)
		if (s[1].plan->programs[k].left_out[0] == '\0' &&
		    find_program(s[0].plan, s[1].plan->programs[k].name) < 0)
			printf("\n%s: only in the new file\n", s[1].plan->programs[k].name);
	if (compared == 0) {
		tool_message(
			"bench",
			"no program is in both files with the same work and rate: use --size and "
			"--rate");
		return TOOL_CANNOT;
	}
	printf("\nNew over old, above 1 is slower. Total and CPU are relative to libgc-mprotect of "
	       "the same block, so that\na slower machine does not count; pauses and latency are "
	       "as they are. "
	       "\"~\": no difference beyond the noise.\n");
	return worse ? TOOL_CANNOT : TOOL_OK;
}

int bench_compare(struct bench_options *opt)
{
	struct side s[2] = { { .plan = NULL }, { .plan = NULL } };
	int status = TOOL_CANNOT;

	if (load(opt->files[0], &s[0]) && load(opt->files[1], &s[1]))
		status = compare(s, opt->fail_above);
	for (int i = 0; i < 2; i++)
		if (s[i].plan != NULL)
			bench_free_plan(s[i].plan);
	return status;
}
