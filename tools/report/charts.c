/* SPDX-License-Identifier: MIT
 * Ratios and phases. */
#include <math.h>
#include <stdlib.h>

#include "tools/report/html.h"
#include "tools/report/report.h"
#include "tools/report/svg.h"

enum { LINE = 34, LABEL = 14 };

void report_legend(const struct report *r)
{
	fputs("<ul class=\"legend\">", r->f);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		fputs("<li>", r->f);
		svg_swatch(r->f, row);
		html_text(r->f, r->plan->rows[row].label);
		fputs("</li>", r->f);
	}
	fputs("</ul>\n", r->f);
}

/* ---- Totals ------------------------------------------------------------------ */

static void widen(struct svg_axis *a, double v)
{
	if (!isfinite(v) || v <= 0)
		return;
	a->low = fmin(a->low, v);
	a->high = fmax(a->high, v);
}

static void whisker(const struct svg *s, unsigned row, struct stat_ratio ratio, double y)
{
	if (isnan(ratio.mid)) {
		svg_text(s, s->left, y + 4, "start", "no ratio: a run failed");
		return;
	}
	if (isfinite(ratio.high))
		fprintf(s->f, "<path class=\"line s%u\" d=\"M%.1f %.1fH%.1f\"/>", row % SVG_SERIES,
			svg_at(&s->x, ratio.low), y, svg_at(&s->x, ratio.high));
	svg_mark(s, row, svg_at(&s->x, ratio.mid), y);
	fputc('\n', s->f);
}

static void ratio_ticks(const struct svg *s)
{
	static const double wide[] = { 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10 };
	static const double narrow[] = { 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2 };
	const double *ticks = s->x.high / s->x.low < 2.5 ? narrow : wide;

	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
		char text[16];

		snprintf(text, sizeof text, "%g", ticks[i]);
		if (ticks[i] >= s->x.low && ticks[i] <= s->x.high)
			svg_tick_x(s, ticks[i], text);
	}
}

static void ratio_chart(const struct report *r, unsigned k, enum bench_metric metric,
			const char *name)
{
	const struct bench_plan *plan = r->plan;
	double resolution = bench_resolution(plan, k, metric);
	struct svg s = { .height = 58 + LINE * (double)plan->row_count,
			 .left = 14,
			 .right = 22,
			 .top = 10,
			 .bottom = 40,
			 .x = { .low = 0.8, .high = 1.25, .log = true } };
	char id[48], title[120];

	for (unsigned row = 0; row < plan->row_count; row++) {
		struct stat_ratio ratio = bench_ratio(plan, k, row, plan->ref, metric);

		widen(&s.x, ratio.mid);
		if (isfinite(ratio.high)) {
			widen(&s.x, fmax(ratio.low, 0.1));
			widen(&s.x, fmin(ratio.high, 10));
		}
	}
	s.x.low /= 1.05;
	s.x.high *= 1.05;
	snprintf(id, sizeof id, "ratio-%u-%u-%u", r->index, k, (unsigned)metric);
	snprintf(title, sizeof title, "%.40s: %s", plan->programs[k].name, name);
	fputs("<figure><figcaption>", r->f);
	html_text(r->f, title);
	fputs("</figcaption>\n", r->f);
	svg_begin(&s, r->f, id, title,
		  "A mark for each way of collecting, at its ratio to libgc-mprotect, with its "
		  "interval. The table below has the numbers.");
	if (isfinite(resolution)) {
		double from = svg_at(&s.x, 1 / (1 + resolution)), to = svg_at(&s.x, 1 + resolution);

		fprintf(r->f, "<path class=\"band\" d=\"M%.1f %.1fH%.1fV%.1fH%.1fz\"/>", from,
			s.y.from, to, s.y.to, from);
	}
	ratio_ticks(&s);
	fprintf(r->f, "<path class=\"one\" d=\"M%.1f %.1fV%.1f\"/>", svg_at(&s.x, 1), s.y.from,
		s.y.to);
	svg_text(&s, (s.x.from + s.x.to) / 2, s.y.from + 31, "middle",
		 "left of 1 is faster; grey: the noise");
	for (unsigned row = 0; row < plan->row_count; row++) {
		double y = s.top + LINE * (double)row + LABEL;

		fputs("<g class=\"row\">", r->f);
		svg_text(&s, s.left, y, "start", plan->rows[row].label);
		whisker(&s, row, bench_ratio(plan, k, row, plan->ref, metric), y + 12);
		fputs("</g>", r->f);
	}
	svg_end(&s);
	fputs("</figure>\n", r->f);
}

static void totals_table(const struct report *r, unsigned k)
{
	static const char *const heads[] = { "way of collecting",
					     "total, s",
					     "CPU, s",
					     "total / libgc-mprotect",
					     "CPU / libgc-mprotect",
					     "total / stop-the-world",
					     "CPU / stop-the-world",
					     NULL };
	double total = bench_resolution(r->plan, k, METRIC_TOTAL);
	double cpu = bench_resolution(r->plan, k, METRIC_CPU);
	char caption[80], a[48], n[32];

	snprintf(caption, sizeof caption, "%.40s: total and processor time",
		 r->plan->programs[k].name);
	html_folded_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		struct bench_summary s;

		bench_summarize(r->plan, k, row, &s);
		html_row(r->f, r->plan->rows[row].label);
		html_cell(r->f, NULL, "%s", html_number(s.wall, n));
		html_cell(r->f, NULL, "%s", html_number(s.cpu, n));
		html_cell(r->f, NULL, "%s", html_ratio(s.to_ref, total, a));
		html_cell(r->f, NULL, "%s", html_ratio(s.cpu_to_ref, cpu, a));
		html_cell(r->f, NULL, "%s", html_ratio(s.to_stw, total, a));
		html_cell(r->f, NULL, "%s", html_ratio(s.cpu_to_stw, cpu, a));
		html_row_end(r->f);
	}
	html_folded_table_end(r->f);
}

static void total_charts(const struct report *r, unsigned k)
{
	ratio_chart(r, k, METRIC_TOTAL, "total time");
	ratio_chart(r, k, METRIC_CPU, "processor time");
}

void report_programs(const struct report *r, report_part charts, report_part table)
{
	fputs("<div class=\"charts\">\n", r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++)
		if (report_ran(r, k))
			charts(r, k);
	fputs("</div>\n", r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++)
		if (report_ran(r, k))
			table(r, k);
}

void report_totals(const struct report *r)
{
	fputs("<p>Ratios to libgc-mprotect in the same block, with 95&#160;% intervals. Total time "
	      "is "
	      "from outside, from start to exit; processor time is of all threads, and on a busy "
	      "machine the steadier of the two.</p>\n",
	      r->f);
	report_programs(r, total_charts, totals_table);
}

/* ---- Phases --------------------------------------------------------------------- */

enum { PARTS = PHASES + 1 }; /* and what belongs to none */

static const char *const part_names[PARTS] = {
	[PHASE_STOP] = "stop the threads",
	[PHASE_DIRTY] = "get dirty cards, arm again",
	[PHASE_MARK] = "mark",
	[PHASE_RESUME] = "resume",
	[PHASES] = "between the phases",
};

/* Means of a stop, ms. False if there were no stops. */
static bool parts_of(const struct report *r, unsigned k, unsigned row, double out[PARTS])
{
	struct bench_summary s;
	uint64_t known = 0;

	bench_summarize(r->plan, k, row, &s);
	if (s.stops == 0)
		return false;
	for (unsigned ph = 0; ph < PHASES; ph++) {
		known += s.phases[ph];
		out[ph] = (double)s.phases[ph] / (double)s.stops / 1e6;
	}
	out[PHASES] = (double)(s.paused > known ? s.paused - known : 0) / (double)s.stops / 1e6;
	return true;
}

static void phase_chart(const struct report *r, unsigned k)
{
	const struct bench_plan *plan = r->plan;
	struct svg s = { .height = 58 + LINE * (double)plan->row_count,
			 .left = 14,
			 .right = 22,
			 .top = 10,
			 .bottom = 40,
			 .x = { .low = 0, .high = 1e-6 } };
	char id[48], title[120];

	for (unsigned row = 0; row < plan->row_count; row++) {
		double parts[PARTS], sum = 0;

		if (!parts_of(r, k, row, parts))
			continue;
		for (unsigned i = 0; i < PARTS; i++)
			sum += parts[i];
		s.x.high = fmax(s.x.high, sum);
	}
	snprintf(id, sizeof id, "phases-%u-%u", r->index, k);
	snprintf(title, sizeof title, "%.40s: the mean stop", plan->programs[k].name);
	fputs("<figure><figcaption>", r->f);
	html_text(r->f, title);
	fputs("</figcaption>\n", r->f);
	svg_begin(
		&s, r->f, id, title,
		"A bar for each way of collecting, made of the phases of its mean stop. The table "
		"below has the numbers.");
	svg_ticks_x(&s, "ms");
	for (unsigned row = 0; row < plan->row_count; row++) {
		double y = s.top + LINE * (double)row + LABEL, parts[PARTS], at = 0;
		bool any = parts_of(r, k, row, parts);

		fputs("<g class=\"row\">", r->f);
		svg_text(&s, s.left, y, "start", plan->rows[row].label);
		if (!any)
			svg_text(&s, s.left, y + 14, "start", "no stops recorded");
		for (unsigned i = 0; any && i < PARTS; i++) {
			double from = svg_at(&s.x, at), to = svg_at(&s.x, at + parts[i]);

			if (to - from >= 0.1)
				fprintf(r->f,
					"<rect class=\"p%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
					"height=\"12\"/>",
					i, from, y + 5, to - from);
			at += parts[i];
		}
		fputs("</g>\n", r->f);
	}
	svg_end(&s);
	fputs("</figure>\n", r->f);
}

static void phase_table(const struct report *r, unsigned k)
{
	const char *heads[PARTS + 2] = { "way of collecting" };
	char caption[80], n[32];

	for (unsigned i = 0; i < PARTS; i++)
		heads[i + 1] = part_names[i];
	snprintf(caption, sizeof caption, "%.40s: phases of the mean stop, ms",
		 r->plan->programs[k].name);
	html_folded_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		double parts[PARTS];
		bool any = parts_of(r, k, row, parts);

		html_row(r->f, r->plan->rows[row].label);
		for (unsigned i = 0; i < PARTS; i++)
			html_cell(r->f, NULL, "%s", html_number(any ? parts[i] : NAN, n));
		html_row_end(r->f);
	}
	html_folded_table_end(r->f);
}

void report_phases(const struct report *r)
{
	fputs("<p>Means over all stops. Getting the dirty cards and arming them again are one "
	      "phase here, as pagemap does both at once; libgc's own calls of mprotect count as "
	      "it too.</p>\n"
	      "<ul class=\"legend\">",
	      r->f);
	for (unsigned i = 0; i < PARTS; i++)
		fprintf(r->f, "<li><i class=\"p%u\"></i>%s</li>", i, part_names[i]);
	fputs("</ul>\n", r->f);
	report_programs(r, phase_chart, phase_table);
}
