/* SPDX-License-Identifier: MIT
 * The sections that are tables. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/histogram.h"
#include "tools/report/html.h"
#include "tools/report/report.h"

static void program_head(const struct report *r, unsigned k)
{
	const struct bench_program *p = &r->plan->programs[k];

	fputs("<h3>", r->f);
	html_text(r->f, p->name);
	fputs("</h3><p>", r->f);
	html_text(r->f, p->what);
	if (p->left_out[0] != '\0') {
		fputs(".</p><p class=\"lacks\">", r->f);
		html_printf(r->f, "Left out: %s.", p->left_out);
	} else {
		double resolution = bench_resolution(r->plan, k, METRIC_TOTAL);

		html_printf(r->f, "; %u block%s, %" PRIu64 " %% of the full work; ", p->blocks,
			    p->blocks == 1 ? "" : "s", p->work);
		if (r->plan->live_mb > 0)
			html_printf(r->f, "--live-mb=%" PRIu64 "; ", r->plan->live_mb);
		if (isfinite(resolution))
			html_printf(r->f, "resolution %.1f %%.", 100 * resolution);
		else
			html_printf(r->f, "no resolution (%s): no times can be compared.",
				    isnan(resolution) ? "the reference or its repetition failed"
						      : "too few blocks");
	}
	fputs("</p>\n", r->f);
}

static const char *verdict_class(struct stat_ratio ratio, double resolution)
{
	if (isnan(ratio.mid) || stat_same(ratio, resolution))
		return "same";
	return ratio.mid < 1 ? "better" : "worse";
}

static const char *in_words(struct stat_ratio ratio, double resolution, const char *what,
			    char out[96])
{
	if (isnan(ratio.mid))
		snprintf(out, 96, "not known");
	else if (isinf(ratio.high))
		snprintf(out, 96, "too few blocks to tell");
	else if (stat_same(ratio, resolution))
		snprintf(out, 96, "no difference beyond the noise");
	else
		snprintf(out, 96, "%.0f %% %s than %s", 100 * fabs(ratio.mid - 1),
			 ratio.mid < 1 ? "less time" : "MORE time", what);
	return out;
}

static void verdict_row(const struct report *r, unsigned k, unsigned row)
{
	const struct bench_plan *plan = r->plan;
	double resolution = bench_resolution(plan, k, METRIC_TOTAL);
	double cpu_resolution = bench_resolution(plan, k, METRIC_CPU);
	struct bench_summary s;
	char ratio[48], number[32], words[96];

	bench_summarize(plan, k, row, &s);
	html_row(r->f, plan->rows[row].label);
	if (s.good == 0) {
		fprintf(r->f, "<td colspan=\"8\" class=\"worse name\">");
		html_printf(r->f, "FAILED in all %u runs: %s", s.failed, s.error ? s.error : "");
		fputs("</td>", r->f);
		html_row_end(r->f);
		return;
	}
	html_cell(r->f, row == plan->ref ? NULL : verdict_class(s.to_ref, resolution), "%s",
		  row == plan->ref ? "1" : html_ratio(s.to_ref, resolution, ratio));
	html_cell(r->f, row == plan->stw ? NULL : verdict_class(s.to_stw, resolution), "%s",
		  row == plan->stw ? "1" : html_ratio(s.to_stw, resolution, ratio));
	html_cell(r->f, row == plan->ref ? NULL : verdict_class(s.cpu_to_ref, cpu_resolution), "%s",
		  row == plan->ref ? "1" : html_ratio(s.cpu_to_ref, cpu_resolution, ratio));
	html_cell(r->f, NULL, "%s", html_number(s.p50, number));
	html_cell(r->f, NULL, "%s", html_number(s.max, number));
	html_cell(r->f, NULL, "%s", html_number(s.stall, number));
	html_cell(r->f, NULL, "%s", html_number((double)s.stops / s.good, number));
	if (row == plan->ref)
		html_cell(r->f, "words", "the reference%s", s.failed ? "; SOME RUNS FAILED" : "");
	else
		html_cell(r->f, "words", "%s%s",
			  in_words(s.to_ref, resolution, plan->rows[plan->ref].label, words),
			  s.failed ? "; SOME RUNS FAILED" : "");
	html_row_end(r->f);
}

void report_verdict(const struct report *r)
{
	static const char *const heads[] = { "way of collecting",
					     "total / libgc-mprotect",
					     "total / stop-the-world",
					     "CPU / libgc-mprotect",
					     "median stop, ms",
					     "longest stop, ms",
					     "longest stall, ms",
					     "stops a run",
					     "<in words",
					     NULL };

	fputs("<p>A ratio is the geometric mean over blocks of the ratio within a block, with its "
	      "95&#160;% interval; below 1 is faster. <b>~</b> is no difference beyond the noise: "
	      "do not read it as one. A stall is the longest time inside one allocation, which is "
	      "what the program feels.</p>\n",
	      r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		char caption[80];

		program_head(r, k);
		if (!report_ran(r, k))
			continue;
		snprintf(caption, sizeof caption, "%.40s: verdict", r->plan->programs[k].name);
		html_table_begin(r->f, caption, heads);
		for (unsigned row = 0; row < r->plan->row_count; row++)
			verdict_row(r, k, row);
		html_table_end(r->f);
	}
}

void report_losses(const struct report *r)
{
	static const char *const heads[] = { "our row", "<program",   "<what", "<worse than",
					     "ratio",   "resolution", NULL };
	struct report_losses l;

	if (!report_find_losses(r->plan, &l))
		return;
	fprintf(r->f,
		"<p>Of %zu comparisons of our rows with libgc's own (each program; total and "
		"processor time, stops, stalls, memory; of a server its latency too) we are worse "
		"in %zu by more than the "
		"noise, and in %zu nothing can be told. Where nothing differs, fewer than one "
		"comparison in a hundred shows a difference by chance.</p>\n",
		l.compared, l.count, l.unknown);
	if (l.count > 0) {
		char ratio[48];

		html_table_begin(r->f, "Where we lose, worst first", heads);
		for (size_t i = 0; i < l.count; i++) {
			html_row(r->f, l.list[i].row);
			html_cell(r->f, "name", "%s", l.list[i].program);
			html_cell(r->f, "name", "%s", l.list[i].metric);
			html_cell(r->f, "name", "%s", l.list[i].to);
			html_cell(r->f, "worse", "%s",
				  html_ratio(l.list[i].ratio, l.list[i].resolution, ratio));
			html_cell(r->f, NULL, "%.1f %%", 100 * l.list[i].resolution);
			html_row_end(r->f);
		}
		html_table_end(r->f);
	} else if (l.unknown == l.compared) {
		fputs("<p class=\"lacks\">Too few blocks, or a failed reference: this file cannot "
		      "say where we lose. It does not say that we do not.</p>\n",
		      r->f);
	} else {
		fputs("<p>That is what this file can tell: smaller losses than the resolution do "
		      "not show.</p>\n",
		      r->f);
	}
	free(l.list);
}

static void item(const struct report *r, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void item(const struct report *r, const char *name, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fputs("<dt>", r->f);
	html_text(r->f, name);
	fputs("</dt><dd>", r->f);
	html_text(r->f, text[0] != '\0' ? text : "not recorded");
	fputs("</dd>\n", r->f);
}

void report_environment(const struct report *r)
{
	static const char *const heads[] = {
		"program",     "blocks",       "total",          "CPU",
		"median stop", "longest stop", "stops together", NULL
	};
	static const enum bench_metric metrics[] = { METRIC_TOTAL, METRIC_CPU, METRIC_STOP_P50,
						     METRIC_STOP_MAX, METRIC_PAUSED };
	const struct bench_env *e = &r->env;
	double load = strtod(e->load, NULL);

	fputs("<dl>\n", r->f);
	item(r, "Kernel", "%s", e->kernel);
	item(r, "CPU", "%s, %ld online", e->cpu, e->cpus);
	item(r, "Transparent huge pages", "%s", e->thp);
	item(r, "Load before, after", "%s; %s", e->load, e->load_after);
	item(r, "Stolen by the host",
	     "%.1f %% of the processor time while it ran (ticks %" PRIu64 " before, %" PRIu64
	     " after)",
	     bench_env_steal_percent(e), e->steal_before, e->steal_after);
	item(r, "Collector", "%s", e->libgc);
	item(r, "Library", "libcardmark %s, backend %s", e->library, r->plan->best);
	item(r, "Run", "%s to %s%s", e->started, e->finished,
	     r->plan->resumed ? ", with interruptions" : "");
	fputs("</dl>\n", r->f);
	if (load > 0.5)
		fprintf(r->f,
			"<p class=\"lacks\"><b>The machine was busy before the run (load %.2f): "
			"times are of little worth.</b></p>\n",
			load);
	fputs("<p>The noise: libgc-mprotect against itself (A/A). A difference smaller than this "
	      "is shown as ~.</p>\n",
	      r->f);
	html_table_begin(r->f, "Resolution", heads);
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		html_row(r->f, r->plan->programs[k].name);
		html_cell(r->f, NULL, "%u", r->plan->programs[k].blocks);
		for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
			double v =
				report_ran(r, k) ? bench_resolution(r->plan, k, metrics[m]) : NAN;

			if (isfinite(v))
				html_cell(r->f, v > 0.1 ? "worse" : NULL, "%.1f %%", 100 * v);
			else
				html_cell(r->f, NULL, "-");
		}
		html_row_end(r->f);
	}
	html_table_end(r->f);
}

void report_memory(const struct report *r)
{
	static const char *const heads[] = {
		"way of collecting",      "peak RSS, MiB", "RSS / libgc-mprotect",
		"page tables, kB",        "VMAs",          "write faults",
		"tracker's system calls", "minor faults",  NULL
	};

	fputs("<p>RSS: median over blocks. Page tables and VMAs: the most that was seen in an "
	      "extra "
	      "run, which is not timed. Write faults and system calls: of our tracker; libgc's own "
	      "modes do not count theirs.</p>\n",
	      r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		char caption[80];

		if (!report_ran(r, k))
			continue;
		snprintf(caption, sizeof caption, "%.40s: memory and faults",
			 r->plan->programs[k].name);
		html_table_begin(r->f, caption, heads);
		for (unsigned row = 0; row < r->plan->row_count; row++) {
			const struct bench_row *b = &r->plan->rows[row];
			struct stat_ratio rss =
				bench_ratio(r->plan, k, row, r->plan->ref, METRIC_RSS);
			const struct bench_run *run = &bench_cell(r->plan, k, row)->runs[0];
			struct bench_summary s;
			char n[32], ratio[48];

			bench_summarize(r->plan, k, row, &s);
			html_row(r->f, b->label);
			html_cell(r->f, NULL, "%s", html_number(s.rss_kb / 1024, n));
			html_cell(r->f, NULL, "%s",
				  row == r->plan->ref
					  ? "1"
					  : html_ratio(rss,
						       bench_resolution(r->plan, k, METRIC_RSS),
						       ratio));
			html_cell(r->f, NULL, "%s", html_number(s.table_kb, n));
			html_cell(r->f, NULL, "%s", html_number(s.vmas, n));
			html_cell(r->f, NULL, "%s",
				  html_number(bench_is_ours(b) ? s.faults : NAN, n));
			html_cell(r->f, NULL, "%s",
				  html_number(bench_is_ours(b) ? s.kernel_calls : NAN, n));
			html_cell(r->f, NULL, "%s",
				  html_number(run->ok ? (double)run->minor_faults : NAN, n));
			html_row_end(r->f);
		}
		html_table_end(r->f);
	}
}

static void missed_cell(const struct report *r, const struct bench_row *row,
			const struct bench_run *run)
{
	if (!bench_is_ours(row))
		html_cell(r->f, "name", "does not apply");
	else if (!run->done)
		html_cell(r->f, "name", "not checked");
	else if (!run->ok || !run->has_missed)
		html_cell(r->f, "worse", "the check failed: %s", run->error);
	else
		html_cell(r->f, run->missed ? "worse" : "better",
			  "%" PRIu64 " missed; %" PRIu64 " pages changed", run->missed,
			  run->verify_changed);
}

void report_correctness(const struct report *r)
{
	static const char *const heads[] = { "way of collecting", "good runs", "failed runs",
					     "<writes missed", NULL };
	bool checked = false;

	for (unsigned k = 0; k < r->plan->program_count; k++) {
		bool agree;
		char caption[80];

		if (!report_ran(r, k))
			continue;
		agree = bench_hashes_agree(r->plan, k, false);
		fprintf(r->f, "<p class=\"%s\">", agree ? "better" : "worse");
		html_printf(r->f,
			    agree ? "%s: all runs of a block have one result."
				  : "%s: WRONG RESULT: runs of one block have different results.",
			    r->plan->programs[k].name);
		fputs("</p>\n", r->f);
		snprintf(caption, sizeof caption, "%.40s: correctness", r->plan->programs[k].name);
		html_table_begin(r->f, caption, heads);
		for (unsigned row = 0; row < r->plan->row_count; row++) {
			const struct bench_run *v = &bench_cell(r->plan, k, row)->verified;
			struct bench_summary s;

			bench_summarize(r->plan, k, row, &s);
			html_row(r->f, r->plan->rows[row].label);
			html_cell(r->f, NULL, "%u", s.good);
			html_cell(r->f, s.failed ? "worse" : NULL, "%u", s.failed);
			missed_cell(r, &r->plan->rows[row], v);
			checked = checked || v->done;
			html_row_end(r->f);
		}
		html_table_end(r->f);
	}
	if (!checked)
		fputs("<p class=\"lacks\">This file does not say whether writes were missed: "
		      "<code>cardmark bench --verify</code> (part of <code>--full</code>) checks "
		      "it.</p>\n",
		      r->f);
}

static void raw_runs(const struct report *r, unsigned k)
{
	static const char *const heads[] = { "way of collecting", "block",       "seed",
					     "total, s",          "CPU, s",      "stops",
					     "longest stop, ns",  "dirty cards", "collections",
					     "<result",           NULL };
	char caption[80];

	snprintf(caption, sizeof caption, "%.40s: every run", r->plan->programs[k].name);
	fputs("<details><summary>", r->f);
	html_text(r->f, caption);
	fputs("</summary>\n", r->f);
	html_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++)
		for (unsigned b = 0; b < r->plan->programs[k].blocks; b++) {
			const struct bench_run *run = &bench_cell(r->plan, k, row)->runs[b];

			html_row(r->f, r->plan->rows[row].label);
			html_cell(r->f, NULL, "%u", b + 1);
			html_cell(r->f, NULL, "%" PRIu64, r->plan->seed + b);
			html_cell(r->f, NULL, "%.4f", run->wall_s);
			html_cell(r->f, NULL, "%.4f", run->cpu_s);
			html_cell(r->f, NULL, "%zu", run->stop_count);
			html_cell(r->f, NULL, "%" PRIu64, run->stop_max);
			html_cell(r->f, NULL, "%" PRIu64, run->dirty_cards);
			html_cell(r->f, NULL, "%" PRIu64, run->collections);
			if (run->ok)
				html_cell(r->f, "name", "%016" PRIx64, run->hash);
			else
				html_cell(r->f, "worse", "%s", run->error);
			html_row_end(r->f);
		}
	html_table_end(r->f);
	fputs("</details>\n", r->f);
}

static void raw_histograms(const struct report *r, unsigned k)
{
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		struct histogram *h = calloc(1, sizeof *h);
		size_t n = 0;
		uint64_t *stops = report_stops(r, k, row, &n);

		if (h != NULL && stops != NULL) {
			for (size_t i = 0; i < n; i++)
				hist_add(h, stops[i]);
			fputs("<details><summary>", r->f);
			html_printf(r->f, "%s, %s: stops in ms (.hgrm)", r->plan->programs[k].name,
				    r->plan->rows[row].label);
			fputs("</summary><pre>", r->f);
			hist_write(h, 1e6, r->f);
			fputs("</pre></details>\n", r->f);
		}
		free(stops);
		free(h);
	}
}

void report_raw(const struct report *r)
{
	fputs("<p>The command:</p><pre>", r->f);
	html_text(r->f, r->env.command[0] != '\0' ? r->env.command : "not recorded");
	fputs("</pre><p>", r->f);
	html_printf(
		r->f,
		"The first block has seed %" PRIu64
		", the next ones count up from it. Each stop's start, end and phases are in %s, "
		"which docs/bench.schema.json describes.",
		r->plan->seed, r->file);
	fputs("</p>\n", r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		if (!report_ran(r, k))
			continue;
		raw_runs(r, k);
		raw_histograms(r, k);
	}
}
