/* SPDX-License-Identifier: MIT
 * What the numbers say: the goals set for the first program, and plain words. */
#include <math.h>
#include <string.h>

#include "tools/bench/bench.h"

/* The row of our backend without or with the pause target; -1 if it is not
 * there or all its runs failed. */
static int our_row(const struct bench_plan *plan, unsigned program, bool target,
		   struct bench_summary *out)
{
	for (unsigned row = 0; row < plan->row_count; row++) {
		const struct bench_row *r = &plan->rows[row];

		if (strcmp(r->backend, plan->best) != 0 || (r->target_ms > 0) != target)
			continue;
		bench_summarize(plan, program, row, out);
		return out->good > 0 ? (int)row : -1;
	}
	return -1;
}

static void goal(FILE *f, bool met, const char *what, const char *unit, double value,
		 const char *want)
{
	if (isnan(value))
		fprintf(f, "  unknown  %s\n", what);
	else
		fprintf(f, "  %-8s %-58s %.3g%s (goal %s)\n", met ? "met" : "NOT MET", what, value,
			unit, want);
}

static void vma_goal(FILE *f, const char *what, double ours, double theirs)
{
	goal(f, ours - theirs <= 100, what, "", ours - theirs, "at most 100");
}

static void target_goals(const struct bench_plan *plan, const struct bench_summary *t,
			 const struct bench_summary *stw, FILE *f)
{
	char want[48], head[64];

	snprintf(want, sizeof want, "below %g ms", plan->target_ms + 1);
	snprintf(head, sizeof head, "target %g ms: largest stop", plan->target_ms);
	goal(f, t->max < plan->target_ms + 1, head, " ms", t->max, want);
	goal(f, t->max * 50 < stw->max, "  stop-the-world's largest stop, divided by it", "",
	     t->max > 0 ? stw->max / t->max : NAN, "above 50");
	goal(f, t->to_stw.mid <= 1.05, "  total time, of stop-the-world's", "", t->to_stw.mid,
	     "at most 1.05");
	fprintf(f, "  %-8s %-58s %.1f ms against %.1f\n", "shown",
		"  longest allocation stall, against stop-the-world's", t->stall, stw->stall);
	vma_goal(f, "  peak VMAs more than stop-the-world", t->vmas, stw->vmas);
}

void bench_print_goals(const struct bench_plan *plan, FILE *f)
{
	for (unsigned k = 0; k < plan->program_count; k++) {
		struct bench_summary stw, plain, target;

		if (strcmp(plan->programs[k].name, "trees") != 0 ||
		    plan->programs[k].left_out[0] != '\0')
			continue;
		bench_summarize(plan, k, plan->stw, &stw);
		fprintf(f, "\nGoals for trees, backend %s:\n", plan->best);
		if (our_row(plan, k, false, &plain) >= 0) {
			goal(f, plain.to_ref.mid < 0.8, "total time, of libgc-mprotect's", "",
			     plain.to_ref.mid, "below 0.8");
			goal(f, plain.to_stw.mid <= 1.0, "total time, of stop-the-world's", "",
			     plain.to_stw.mid, "at most 1");
			vma_goal(f, "peak VMAs more than stop-the-world", plain.vmas, stw.vmas);
		} else {
			fprintf(f, "  NOT MET  no run of this backend succeeded\n");
		}
		if (our_row(plan, k, true, &target) >= 0)
			target_goals(plan, &target, &stw, f);
		else if (plan->target_ms > 0)
			fprintf(f, "  NOT MET  no run with the pause target succeeded\n");
	}
}

static const char *compare(struct stat_ratio r, double resolution, char out[64])
{
	if (isnan(r.mid))
		snprintf(out, 64, "an unknown time, compared");
	else if (isinf(r.high))
		snprintf(out, 64, "a time that can't be compared (too few blocks)");
	else if (stat_same(r, resolution))
		snprintf(out, 64, "about as long as");
	else if (r.mid < 1)
		snprintf(out, 64, "%.0f %% less than", 100 * (1 - r.mid));
	else
		snprintf(out, 64, "%.0f %% MORE than", 100 * (r.mid - 1));
	return out;
}

void bench_print_verdict(const struct bench_plan *plan, FILE *f)
{
	fprintf(f, "\nIn plain words:\n");
	for (unsigned k = 0; k < plan->program_count; k++) {
		const struct bench_program *p = &plan->programs[k];
		double resolution = bench_resolution(plan, k, METRIC_TOTAL);
		struct bench_summary stw, plain, target;
		char a[64], b[64];

		if (p->left_out[0] != '\0')
			continue;
		bench_summarize(plan, k, plan->stw, &stw);
		if (resolution > 0.1 && !isinf(resolution))
			fprintf(f,
				"  %s: too noisy to trust: the same row run twice differed by up "
				"to "
				"%.0f %%. Is the machine busy?\n",
				p->name, 100 * resolution);
		if (our_row(plan, k, false, &plain) >= 0)
			fprintf(f,
				"  %s: on %s a run takes %s with libgc-mprotect and %s with "
				"stop-the-world; longest stop %.1f ms, stop-the-world's %.1f ms.\n",
				p->name, plan->best, compare(plain.to_ref, resolution, a),
				compare(plain.to_stw, resolution, b), plain.max, stw.max);
		else
			fprintf(f, "  %s: no run on %s succeeded.\n", p->name, plan->best);
		if (our_row(plan, k, true, &target) >= 0)
			fprintf(f,
				"  %s: asked for %g ms, its longest stop was %.1f ms and its "
				"longest "
				"allocation stall %.1f ms; a run takes %s with stop-the-world.\n",
				p->name, plan->target_ms, target.max, target.stall,
				compare(target.to_stw, resolution, b));
		bench_print_latency_words(plan, k, f);
	}
}
