/* SPDX-License-Identifier: MIT
 * What {{> name}} draws; and the charts with a line for each row: ratios and phases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

/* ---- Ratios ----------------------------------------------------------------------------- */

static void ratios(const struct report *r, unsigned k, enum bench_metric metric, const char *name)
{
	const struct bench_plan *plan = r->plan;
	struct chart c = chart_of_rows(
		r->f,
		"A mark for each way of collecting, at its ratio to libgc-mprotect, with its "
		"interval. The table below has the numbers.",
		plan->row_count);

	c.x = (struct chart_axis){ .low = 0.8, .high = 1.25, .log = true };
	c.x.name = "left of 1 is faster; grey: the noise";
	for (unsigned row = 0; row < plan->row_count; row++) {
		struct stat_ratio ratio = bench_ratio(plan, k, row, plan->ref, metric);

		chart_reach(&c.x, ratio.mid);
		if (isfinite(ratio.high)) {
			chart_reach(&c.x, fmax(ratio.low, 0.1));
			chart_reach(&c.x, fmin(ratio.high, 10));
		}
	}
	chart_widen(&c.x, 1.05);
	chart_title(&c, "%.40s: %s", plan->programs[k].name, name);
	chart_begin(&c);
	chart_ticks_x(&c);
	chart_noise(&c, bench_resolution(plan, k, metric));
	for (unsigned row = 0; row < plan->row_count; row++)
		chart_ratio(&c, row, plan->rows[row].label,
			    bench_ratio(plan, k, row, plan->ref, metric));
	chart_end(&c);
}

/* ---- Phases ----------------------------------------------------------------------------- */

bool phase_parts(const struct report *r, unsigned k, unsigned row, double out[PHASE_PARTS])
{
	struct bench_summary s;
	uint64_t known = 0;
	double stops;

	bench_summarize(r->plan, k, row, &s);
	stops = s.stops > 0 ? (double)s.stops : 1;
	for (unsigned i = 0; i < PHASES; i++) {
		known += s.phases[i];
		out[i] = (double)s.phases[i] / stops / 1e6;
	}
	out[PHASES] = (double)(s.paused > known ? s.paused - known : 0) / stops / 1e6;
	return s.stops > 0;
}

static void phases(const struct report *r, unsigned k)
{
	static const char *const classes[PHASE_PARTS] = {
		[PHASE_STOP] = "phase-stop", [PHASE_DIRTY] = "phase-dirty",
		[PHASE_MARK] = "phase-mark", [PHASE_RESUME] = "phase-resume",
		[PHASES] = "phase-rest",
	};
	const struct bench_plan *plan = r->plan;
	struct chart c = chart_of_rows(
		r->f,
		"A bar for each way of collecting, made of the phases of its mean stop. The table "
		"below has the numbers.",
		plan->row_count);
	double parts[PHASE_PARTS];

	c.x.name = "ms";
	chart_reach(&c.x, 1e-6);
	for (unsigned row = 0; row < plan->row_count; row++) {
		double sum = 0;

		phase_parts(r, k, row, parts);
		for (unsigned i = 0; i < PHASE_PARTS; i++)
			sum += parts[i];
		chart_reach(&c.x, sum);
	}
	chart_title(&c, "%.40s: the mean stop", plan->programs[k].name);
	chart_begin(&c);
	chart_ticks_x(&c);
	for (unsigned row = 0; row < plan->row_count; row++) {
		phase_parts(r, k, row, parts);
		chart_parts(&c, row, plan->rows[row].label, parts, classes, PHASE_PARTS);
	}
	chart_end(&c);
}

/* ---- What is no chart ------------------------------------------------------------------- */

static void legend(const struct report *r)
{
	const char *labels[MAX_ROWS];

	for (unsigned row = 0; row < r->plan->row_count; row++)
		labels[row] = r->plan->rows[row].label;
	chart_legend(r->f, labels, r->plan->row_count);
}

static void histogram(const struct report *r, unsigned k, unsigned row)
{
	struct histogram *h = calloc(1, sizeof *h);
	size_t n = 0;
	uint64_t *stops = report_stops(r, k, row, &n);

	for (size_t i = 0; h != NULL && i < n; i++)
		hist_add(h, stops[i]);
	if (h != NULL)
		hist_write(h, 1e6, r->f);
	free(stops);
	free(h);
}

/* ---- Their names ------------------------------------------------------------------------ */

static bool draw_barriers(const struct report_page *page, FILE *f, const char *name, unsigned i)
{
	if (strcmp(name, "barriers-legend") == 0)
		charts_barriers_legend(f, page->barriers);
	else if (strcmp(name, "sweep") == 0) {
		charts_sweep(f, page->barriers, (enum barriers_axis)i, false);
		charts_sweep(f, page->barriers, (enum barriers_axis)i, true);
	} else if (strcmp(name, "map") == 0) {
		charts_map(f, page->barriers, (enum barriers_metric)i, true);
		charts_map(f, page->barriers, (enum barriers_metric)i, false);
	} else {
		return false;
	}
	return true;
}

bool charts_draw(const struct template *t, const char *name)
{
	const struct report_page *page = t->data;
	const struct report *r = &page->files[template_number(t, "index")];
	unsigned k = template_number(t, "k"), i = template_number(t, "i");

	if (strcmp(name, "legend") == 0) {
		legend(r);
	} else if (strcmp(name, "totals") == 0) {
		ratios(r, k, METRIC_TOTAL, "total time");
		ratios(r, k, METRIC_CPU, "processor time");
	} else if (strcmp(name, "phases") == 0) {
		phases(r, k);
	} else if (strcmp(name, "stops") == 0) {
		charts_stops(r, k);
	} else if (strcmp(name, "utilisation") == 0) {
		charts_utilisation(r, k);
	} else if (strcmp(name, "latency") == 0) {
		charts_latency(r, k, (enum latency_kind)i);
	} else if (strcmp(name, "histogram") == 0) {
		histogram(r, k, i);
	} else {
		return page->barriers != NULL && draw_barriers(page, t->f, name, i);
	}
	return true;
}
