/* SPDX-License-Identifier: MIT
 * What {{> name}} draws; and the picture of all programs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

/* ---- The picture: total time against the longest stop ------------------------------------- */

enum { PANEL = 130, PANEL_GAP = 42, PANEL_SPACE = 46 };

static struct ratio total_of(const struct report *r, unsigned k, unsigned row)
{
	return bench_ratio(r->plan, k, row, r->plan->stw, METRIC_TOTAL);
}

/* NaN if no run was good. */
static double longest_of(const struct report *r, unsigned k, unsigned row)
{
	struct bench_summary s;

	bench_summarize(r->plan, k, row, &s);
	return s.max > 0 ? s.max : NAN;
}

/* All panels have the same axes, so that they can be compared by eye. */
static unsigned set_axes(const struct report *r, struct chart *c)
{
	unsigned panels = 0;

	c->x = (struct chart_axis){ .name = "total time / stop-the-world; grey: the noise",
				    .low = 0.9,
				    .high = 1.1,
				    .log = true };
	c->y.name = "longest stop, ms";
	c->y.log = true;
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		panels += report_ran(r, k);
		for (unsigned row = 0; report_ran(r, k) && report_next(r, &row); row++) {
			chart_reach(&c->x, total_of(r, k, row).mid);
			chart_reach(&c->y, longest_of(r, k, row));
			chart_reach(&c->y, r->plan->rows[row].target_ms);
		}
	}
	chart_widen(&c->x, 1.05);
	chart_widen(&c->y, 1.5);
	return panels;
}

static void panel(const struct report *r, unsigned k, struct chart *c)
{
	const struct bench_plan *plan = r->plan;
	double noise = bench_resolution(plan, k, METRIC_TOTAL);
	const double x[] = { 1 / (1 + noise), 1 + noise }, low[] = { c->y.low, c->y.low },
		     high[] = { c->y.high, c->y.high };

	if (isfinite(noise))
		chart_band(c, x, low, high, 2);
	chart_ticks_x(c);
	chart_text(c, c->x.from, c->y.to - 4, "start", plan->programs[k].name);
	chart_goal(c, plan->target_ms);
	for (unsigned row = 0; report_next(r, &row); row++) {
		struct ratio ratio = total_of(r, k, row);
		double longest = longest_of(r, k, row);
		char text[RATIO_TEXT];

		if (isnan(ratio.mid) || isnan(longest))
			continue;
		chart_ratio(c, plan->rows[row].label, ratio, longest,
			    bench_is_ours(&plan->rows[row]));
		chart_tip(c, plan->rows[row].label, ratio.mid, longest,
			  "longest stop %.3g ms, total time %s of stop-the-world", longest,
			  ratio_text(ratio, noise, 2, text));
	}
}

static void picture(const struct report *r)
{
	struct chart c = chart_of(
		r->f,
		"A panel for each program. Each way of collecting is a mark: to the left is "
		"less total time, further down is a shorter longest stop. The table below has "
		"the numbers.");
	unsigned panels = set_axes(r, &c), at = 0, wide;
	double width, from;

	chart_title(&c, "Left and down is better; ours in bold");
	if (!(c.y.high > 0)) {
		chart_empty(&c, "No stops are recorded.");
		return;
	}
	c.height = CHART_TOP + (panels + 1) / 2 * (PANEL + PANEL_GAP) + 16;
	chart_begin(&c);
	from = c.x.from;
	wide = panels > 1 ? 2 : 1;
	width = (c.x.to - c.x.from + PANEL_SPACE) / wide;
	for (unsigned k = 0; k < r->plan->program_count; k++) {
		if (!report_ran(r, k))
			continue;
		c.x.from = from + width * (at % wide);
		c.x.to = c.x.from + width - PANEL_SPACE;
		c.y.to = CHART_TOP + 16 + (PANEL + PANEL_GAP) * (at / wide);
		c.y.from = c.y.to + PANEL;
		c.taken = 0;
		chart_ticks_y(&c);
		panel(r, k, &c);
		at++;
	}
	chart_end(&c);
}

/* ---- What is no chart ------------------------------------------------------------------- */

static void legend(const struct report *r, double target_ms)
{
	const char *labels[MAX_ROWS];
	size_t n = 0;

	for (unsigned row = 0; report_next(r, &row); row++)
		labels[n++] = r->plan->rows[row].label;
	chart_legend(r->f, labels, n, target_ms);
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

bool charts_draw(const struct template *t, const char *name)
{
	const struct report_page *page = t->data;
	const struct report *r = &page->files[template_number(t, "index")];
	unsigned k = template_number(t, "k"), i = template_number(t, "i");

	if (strcmp(name, "legend") == 0) {
		legend(r, 0);
	} else if (strcmp(name, "legend-target") == 0) {
		legend(r, r->plan->target_ms);
	} else if (strcmp(name, "picture") == 0) {
		picture(r);
	} else if (strcmp(name, "stops") == 0) {
		charts_stops(r, k);
	} else if (strcmp(name, "utilisation") == 0) {
		charts_utilisation(r, k);
	} else if (strcmp(name, "latency") == 0) {
		charts_latency(r, k, (enum latency_kind)i);
	} else if (strcmp(name, "histogram") == 0) {
		histogram(r, k, i);
	} else if (strcmp(name, "barriers-legend") == 0) {
		charts_barriers_legend(t->f, page->barriers);
	} else if (strcmp(name, "sweep") == 0) {
		charts_sweep(t->f, page->barriers, (enum barriers_axis)i);
	} else {
		return false;
	}
	return true;
}
