/* SPDX-License-Identifier: MIT
 * The table of one program, and what its columns mean. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/bench/programs.h"

/* ---- Table -------------------------------------------------------------------------- */

void bench_env_print(const struct bench_env *env, const struct bench_plan *plan, FILE *f)
{
	fprintf(f,
		"Kernel    %s\n"
		"CPU       %s, %ld online\n"
		"THP       %s\n"
		"Load      other programs used %.1f CPUs during the run; stolen by the host: %.1f "
		"%%\n"
		"Library   cardmark %s on backend %s; %s\n"
		"Seed      %" PRIu64 "\n"
		"Command   %s\n",
		env->kernel, env->cpu, env->cpus, env->thp, bench_env_others(env),
		bench_env_steal_percent(env), env->library, plan->best, env->libgc, plan->seed,
		env->command);
	if (bench_env_others(env) > BENCH_OTHERS_MANY)
		fprintf(f, "WARNING   The machine was busy during the run: do not rely on the "
			   "times.\n");
}

static const char *count_text(double v, char out[32])
{
	if (isnan(v))
		snprintf(out, 32, "-");
	else
		snprintf(out, 32, "%.0f", v);
	return out;
}

static void print_row(const struct bench_plan *plan, unsigned program, unsigned row,
		      double resolution, FILE *f)
{
	struct bench_summary s;
	char ref[RATIO_TEXT], stw[RATIO_TEXT], vmas[32], dirty[32], gcs[32];

	bench_summarize(plan, program, row, &s);
	if (s.good == 0) {
		fprintf(f, "%-22s FAILED in all %u runs: %s\n", plan->rows[row].label, s.failed,
			s.error != NULL ? s.error : "");
		return;
	}
	if (row == plan->ref)
		snprintf(ref, sizeof ref, "1");
	else
		ratio_text(s.to_ref, resolution, 2, ref);
	if (row == plan->stw)
		snprintf(stw, sizeof stw, "1");
	else
		ratio_text(s.to_stw, resolution, 2, stw);
	stw[strcspn(stw, " ")] = '\0'; /* no interval: there is no room */
	fprintf(f, "%-22s %7.2f %7.2f %6zu %7.2f %7.2f %7.2f %8.2f %7s %9s %5s  %-20s %s\n",
		plan->rows[row].label, s.wall, s.cpu, s.stops, s.p50, s.p99, s.max, s.stall,
		plan->rows[row].control ? "-" : count_text(s.vmas, vmas),
		count_text(s.dirty, dirty), count_text(s.collections, gcs), ref, stw);
	if (s.failed > 0)
		fprintf(f, "%-22s FAILED in %u of %u runs: %s\n", "", s.failed, s.failed + s.good,
			s.error);
	else if (s.error != NULL)
		fprintf(f, "%-22s the run for the VMAs failed: %s\n", "", s.error);
}

void bench_print_table(const struct bench_plan *plan, unsigned program, FILE *f)
{
	const struct bench_program *p = &plan->programs[program];
	double resolution;

	fprintf(f, "\n%s: %s\n", p->name, p->what);
	if (p->left_out[0] != '\0') {
		fprintf(f, "  left out: %s\n", p->left_out);
		return;
	}
	resolution = bench_resolution(plan, program, METRIC_TOTAL);
	fprintf(f, "%u block%s, %" PRIu64 " %% of the full work", p->blocks,
		p->blocks == 1 ? "" : "s", p->work);
	if (plan->live_mb > 0)
		fprintf(f, ", --live-mb=%" PRIu64, plan->live_mb);
	if (isnan(resolution))
		fprintf(f, "; no resolution: libgc-mprotect failed\n");
	else if (isinf(resolution))
		fprintf(f, "; no resolution: fewer than %d blocks can't compare times\n",
			RATIO_MIN_BLOCKS);
	else
		fprintf(f, "; resolution %.1f %% (A/A); \"~\": no difference beyond the noise\n",
			100 * resolution);
	fprintf(f, "%-22s %7s %7s %6s %7s %7s %7s %8s %7s %9s %5s  %-20s %s\n", "", "total", "CPU",
		"", "p50", "p99", "max", "longest", "VMAs,", "dirty", "", "total to", "to stop-");
	fprintf(f, "%-22s %7s %7s %6s %7s %7s %7s %8s %7s %9s %5s  %-20s %s\n", "", "s", "s",
		"stops", "ms", "ms", "ms", "stall ms", "peak", "cards", "GCs", "libgc-mprotect",
		"the-world");
	for (unsigned row = 0; row < plan->row_count; row++)
		print_row(plan, program, row, resolution, f);
	bench_print_latency(plan, program, f);
}

void bench_print_notes(const struct bench_plan *plan, FILE *f)
{
	fputs("\nTotal and CPU: medians over blocks, of the whole process, seen from outside. "
	      "Stops: of all blocks\ntogether; p99 of fewer than 100 stops is their largest. "
	      "Stall: the longest time in one allocation.\nVMAs: one more run of each row, not "
	      "timed, because counting disturbs it. Dirty cards: a run's sum.\nGCs: the rows "
	      "collect at different times and so not equally often; totals include that.\n"
	      "Ratios: geometric mean over blocks [95 % interval]; a block is a process of each "
	      "row,\nin random order, with one seed. A block with two different results fails the "
	      "bench.\n",
	      f);
	for (unsigned k = 0; k < plan->program_count; k++)
		if (plan->programs[k].left_out[0] == '\0' && plan->programs[k].blocks < 6) {
			fprintf(f,
				"With fewer than 6 blocks the intervals are wide: 'cardmark bench "
				"--standard' has more.\n");
			break;
		}
	if (strcmp(plan->best, "pagemap") != 0) {
		struct cardmark_probe probe;

		if (tool_probe_one(CARDMARK_BACKEND_PAGEMAP, &probe) && !probe.usable)
			fprintf(f,
				"The pagemap backend cannot work here (%s), so %s is measured "
				"instead. Linux 6.7 or newer would have it.\n",
				probe.reason, plan->best);
	}
}

/* ---- Verdict -------------------------------------------------------------------- */

static const char *compare(struct ratio r, double resolution, char out[64])
{
	if (isnan(r.mid))
		snprintf(out, 64, "an unknown time, compared");
	else if (isinf(r.high))
		snprintf(out, 64, "a time that can't be compared (too few blocks)");
	else if (ratio_same(r, resolution))
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
				"to %.0f %%. Is the machine busy?\n",
				p->name, 100 * resolution);
		if (bench_our_row(plan, k, false, &plain) >= 0)
			fprintf(f,
				"  %s: on %s a run takes %s with libgc-mprotect and %s with "
				"stop-the-world; longest stop %.1f ms, stop-the-world's %.1f ms.\n",
				p->name, plan->best, compare(plain.to_ref, resolution, a),
				compare(plain.to_stw, resolution, b), plain.max, stw.max);
		else
			fprintf(f, "  %s: no run on %s succeeded.\n", p->name, plan->best);
		if (bench_our_row(plan, k, true, &target) >= 0)
			fprintf(f,
				"  %s: asked for %g ms, its longest stop was %.1f ms and its "
				"longest "
				"allocation stall %.1f ms; a run takes %s with stop-the-world.\n",
				p->name, plan->target_ms, target.max, target.stall,
				compare(target.to_stw, resolution, b));
		bench_print_latency_words(plan, k, f);
	}
}
