/* SPDX-License-Identifier: MIT
 * The results of a bench on one screen of 80 columns: a line for each program, the changes that are
 * too noisy, and the commands to type next. The tables have the rest. */
#include <math.h>
#include <stdlib.h>

#include "tools/bench/programs.h"

enum { COLUMNS = 79, CELL = 40 };
/* Noise of more than a tenth, or an interval of more than a quarter, shows nothing. */
static const double most_noise = 0.10, widest = 1.25;

int bench_our_row(const struct bench_plan *plan, unsigned program, bool target,
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

/* Breaks text at blanks; lines after the first begin with the indent. */
static void print_wrapped(FILE *f, int indent, const char *text)
{
	int at = indent;

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (at > indent && at + 1 + n > COLUMNS) {
			fprintf(f, "\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			fputc(' ', f);
			at++;
		}
		fprintf(f, "%.*s", n, text);
		at += n;
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

/* ---- Cells --------------------------------------------------------------------------- */

/* The longest of each run, from the best to the worst one: " (5.83..6.51)". */
static const char *range(const struct bench_plan *plan, unsigned k, unsigned row,
			 enum bench_metric metric, char out[CELL])
{
	double low = INFINITY, high = 0;
	char a[RATIO_TEXT], b[RATIO_TEXT];

	for (unsigned i = 0; i < plan->programs[k].blocks; i++) {
		double v = bench_metric_of(&bench_cell(plan, k, row)->runs[i], metric) / 1e6;

		if (v <= 0)
			continue;
		low = fmin(low, v);
		high = fmax(high, v);
	}
	*out = '\0';
	if (high > low)
		snprintf(out, CELL, " (%.9s..%.9s)", number_text(low, a), number_text(high, b));
	return out;
}

static bool too_noisy(struct ratio r, double resolution)
{
	return !ratio_known(r, resolution) || resolution > most_noise || r.high / r.low > widest;
}

static const char *change(struct ratio r, double resolution, char out[CELL])
{
	if (too_noisy(r, resolution))
		snprintf(out, CELL, "?");
	else
		snprintf(out, CELL, "%s%+.0f %% (%+.0f..%+.0f)",
			 ratio_same(r, resolution) ? "~" : "", 100 * (r.mid - 1), 100 * (r.low - 1),
			 100 * (r.high - 1));
	return out;
}

static void print_program(const struct bench_plan *plan, unsigned k, bool target, FILE *f)
{
	const struct bench_program *p = &plan->programs[k];
	char a[RATIO_TEXT], b[RATIO_TEXT], c[RATIO_TEXT], stop[CELL], total[CELL], stall[CELL];
	char stops[2 * CELL], text[512];
	struct bench_summary stw, ours;
	struct ratio r;
	int row;

	fprintf(f, "%-7s ", p->name);
	if (p->left_out[0] != '\0') {
		snprintf(text, sizeof text, "left out: %s", p->left_out);
		print_wrapped(f, 8, text);
		return;
	}
	bench_summarize(plan, k, plan->stw, &stw);
	row = bench_our_row(plan, k, target, &ours);
	if (row < 0 || stw.good == 0) {
		snprintf(text, sizeof text, "no run of %s succeeded",
			 row < 0 ? plan->best : "stop-the-world");
		print_wrapped(f, 8, text);
		return;
	}
	r = bench_ratio(plan, k, (unsigned)row, plan->stw, METRIC_STOP_MAX);
	snprintf(stops, sizeof stops, "%6.9s %s %s%s", number_text(stw.max, a),
		 !isinf(r.high) && ratio_same(r, 0) ? " ~" : "->", number_text(ours.max, b),
		 range(plan, k, (unsigned)row, METRIC_STOP_MAX, stop));
	fprintf(f, "%-31s %-20s %s%s\n", stops,
		change(ours.to_stw, bench_resolution(plan, k, METRIC_TOTAL), total),
		number_text(ours.stall, c), range(plan, k, (unsigned)row, METRIC_STALL_MAX, stall));
}

/* ---- What is not known ----------------------------------------------------------------- */

/* Their names into out, and the noise of the worst. False: there are none. few: those that have too
 * few blocks to show their noise. */
static bool names_too_noisy(const struct bench_plan *plan, bool target, bool few,
			    char out[CELL * 2], double *worst)
{
	size_t used = 0;

	*worst = 0;
	*out = '\0';
	for (unsigned k = 0; k < plan->program_count; k++) {
		double resolution = bench_resolution(plan, k, METRIC_TOTAL);
		struct bench_summary s;

		if (plan->programs[k].left_out[0] != '\0' ||
		    bench_our_row(plan, k, target, &s) < 0 || !too_noisy(s.to_stw, resolution) ||
		    few == ratio_known(s.to_stw, resolution))
			continue;
		used += (size_t)snprintf(out + used, 2 * CELL - used, "%s%s", used ? ", " : "",
					 plan->programs[k].name);
		if (isfinite(resolution))
			*worst = fmax(*worst, resolution);
	}
	return used != 0;
}

/* Once, for all programs, and without a verdict. */
static void print_noise(const struct bench_plan *plan, bool target, FILE *f)
{
	char text[512] = "Too noisy to tell here: the total time of ", names[2 * CELL];
	size_t used = strlen(text);
	double worst;
	bool few = names_too_noisy(plan, target, true, names, &worst);

	if (few)
		used += (size_t)snprintf(
			text + used, sizeof text - used,
			"%s (fewer than %d blocks; 'cardmark bench --standard' has more)", names,
			RATIO_MIN_BLOCKS);
	if (names_too_noisy(plan, target, false, names, &worst))
		used += (size_t)snprintf(text + used, sizeof text - used,
					 "%s%s (the same runs twice differ by up to %.0f %%)",
					 few ? ", and of " : "", names, 100 * worst);
	else if (!few)
		return;
	fputs("?  ", f);
	print_wrapped(f, 3, text);
}

static void print_machine(const struct bench_plan *plan, const struct bench_env *env, FILE *f)
{
	double others = bench_env_others(env);
	struct cardmark_probe probe;
	char text[1024];

	snprintf(text, sizeof text,
		 "While it ran, other programs used %.1f of %ld CPUs, and the host of this machine "
		 "took %.1f %%.%s",
		 others, env->cpus, bench_env_steal_percent(env),
		 others > BENCH_OTHERS_MANY || bench_env_steal_percent(env) > 5
			 ? " That is much: figures from a quiet machine are better."
			 : "");
	print_wrapped(f, 0, text);
	if (strcmp(plan->best, "pagemap") != 0 &&
	    tool_probe_one(CARDMARK_BACKEND_PAGEMAP, &probe) && !probe.usable) {
		snprintf(text, sizeof text,
			 "The pagemap backend cannot work here (%s), so %s is measured instead.",
			 probe.reason, plan->best);
		print_wrapped(f, 0, text);
	}
}

/* ---- All --------------------------------------------------------------------------------- */

void bench_print_screen(const struct bench_plan *plan, const struct bench_env *env,
			const char *tables, const char *json, FILE *f)
{
	char path[TOOL_PATH], head[512], with[64] = "";
	const char *command = tool_command(path);
	bool target = plan->target_ms > 0;

	if (target)
		snprintf(with, sizeof with, " with a pause target of %g ms", plan->target_ms);
	fprintf(f, "\n");
	snprintf(head, sizeof head,
		 "libcardmark on %s%s, next to libgc as it is "
		 "(stop-the-world): the longest stop from .. to .., and in brackets the best and "
		 "the "
		 "worst run; the total time, with its 95 %% interval.",
		 plan->best, with);
	print_wrapped(f, 0, head);
	fprintf(f, "\n%-7s %-31s %-20s %s\n", "", "longest stop, ms", "total time",
		"longest stall, ms");
	for (unsigned k = 0; k < plan->program_count; k++)
		print_program(plan, k, target, f);
	fprintf(f,
		"~  no difference beyond the noise; stall: the longest time in one allocation\n");
	print_noise(plan, target, f);
	fprintf(f, "\n");
	print_machine(plan, env, f);
	if (tables != NULL)
		fprintf(f, "All tables (or with --wide):\n    %s\n", tables);
	else
		fprintf(f, "All tables: with --wide\n");
	if (*json != '\0' && strcmp(json, "-") != 0)
		fprintf(f, "A page of all figures, report.html:\n    %s report%s%s\n", command,
			strcmp(json, BENCH_FILE) != 0 ? " " : "",
			strcmp(json, BENCH_FILE) != 0 ? json : "");
	fprintf(f,
		"Your own program, if it uses the Boehm collector:\n"
		"    %s run%s --stats -- PROGRAM\n",
		command, target ? " --pause-target=5" : "");
}
