/* SPDX-License-Identifier: MIT
 * How long requests take: simple, open-loop and metered, and how late the machine is by
 * itself. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html.h"
#include "tools/report/report.h"
#include "tools/report/svg.h"

enum { POINTS = 160, HALF_TICK = 28 };

/* Halving distances from 100 %, as for stops. */
static double place(double q)
{
	return -log10(1 - q);
}

/* Latency below a microsecond is the clock's. */
static double ms_of(uint64_t ns)
{
	return fmax((double)ns, 1000) / 1e6;
}

static void curve(const struct svg *s, unsigned row, const struct histogram *h)
{
	double x[POINTS + 1], y[POINTS + 1], n = (double)h->count;
	double most = place(1 - 1 / (n + 1)), sure = place(1 - fmin(LATENCY_BEYOND / n, 1));
	size_t split = 0, from;

	for (size_t i = 0; i <= POINTS; i++) {
		x[i] = most * (double)i / POINTS;
		y[i] = ms_of(hist_quantile(h, 1 - pow(10, -x[i])));
		if (x[i] <= sure)
			split = i + 1;
	}
	from = split > 0 ? split - 1 : 0;
	fputs("<g class=\"row\">", s->f);
	svg_line(s, row, x, y, split, false);
	svg_line(s, row, x + from, y + from, POINTS + 1 - from, true);
	svg_mark(s, row, svg_at(&s->x, x[POINTS]), svg_at(&s->y, y[POINTS]));
	fputs("</g>\n", s->f);
}

static void chart(const struct report *r, unsigned k, enum latency_kind kind,
		  struct bench_latency *const *pools, const struct svg *frame)
{
	static const struct {
		double q;
		const char *text;
	} ticks[] = { { 0.5, "50 %" },     { 0.9, "90 %" },       { 0.99, "99 %" },
		      { 0.999, "99.9 %" }, { 0.9999, "99.99 %" }, { 0.99999, "99.999 %" } };
	struct svg s = *frame;
	char id[48], title[120];

	snprintf(id, sizeof id, "latency-%u-%u-%u", r->index, k, (unsigned)kind);
	snprintf(title, sizeof title, "%.40s: %s", r->plan->programs[k].name, latency_titles[kind]);
	fputs("<figure><figcaption>", r->f);
	html_text(r->f, title);
	fputs("</figcaption>\n", r->f);
	svg_begin(&s, r->f, id, title,
		  "A curve for each way of collecting: the time that so many requests do not "
		  "exceed. The table below has the numbers.");
	for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++)
		if (place(ticks[i].q) <= s.x.high &&
		    svg_at(&s.x, place(ticks[i].q)) + HALF_TICK <= SVG_WIDTH)
			svg_tick_x(&s, place(ticks[i].q), ticks[i].text);
	svg_text(&s, (s.x.from + s.x.to) / 2, s.y.from + 31, "middle",
		 "share of requests that take no longer");
	svg_ticks_y(&s, "ms");
	for (unsigned row = 0; row < r->plan->row_count; row++)
		if (pools[row] != NULL && pools[row]->kinds[kind].count > 0)
			curve(&s, row, &pools[row]->kinds[kind]);
	svg_end(&s);
	fputs("</figure>\n", r->f);
}

static void cell(const struct report *r, const struct histogram *h, double q)
{
	char text[32];

	if (h == NULL || !bench_latency_knows(h->count, q))
		html_cell(r->f, "same", "too few");
	else
		html_cell(r->f, NULL, "%s", html_number((double)hist_quantile(h, q) / 1e6, text));
}

static void table(const struct report *r, unsigned k, enum latency_kind kind,
		  struct bench_latency *const *pools)
{
	static const char *const heads[] = {
		"way of collecting", "requests", "mean", "50 %", "90 %", "99 %", "99.9 %",
		"longest",           NULL
	};
	char caption[120], text[32];

	snprintf(caption, sizeof caption, "%.40s: %s, ms", r->plan->programs[k].name,
		 latency_titles[kind]);
	html_folded_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		const struct histogram *h = pools[row] != NULL ? &pools[row]->kinds[kind] : NULL;

		html_row(r->f, r->plan->rows[row].label);
		html_cell(r->f, NULL, "%" PRIu64, h != NULL ? h->count : 0);
		html_cell(r->f, NULL, "%s",
			  html_number(h != NULL ? hist_mean(h) / 1e6 : NAN, text));
		cell(r, h, 0.5);
		cell(r, h, 0.9);
		cell(r, h, 0.99);
		cell(r, h, 0.999);
		html_cell(r->f, NULL, "%s",
			  html_number(h != NULL && h->count ? (double)h->max / 1e6 : NAN, text));
		html_row_end(r->f);
	}
	html_folded_table_end(r->f);
}

/* All kinds on the same axes, so that they can be compared by eye. */
static struct svg frame_of(const struct report *r, struct bench_latency *const *pools)
{
	struct svg s = { .height = 290,
			 .left = 44,
			 .right = 22,
			 .top = 24,
			 .bottom = 40,
			 .x = { .low = 0, .high = 1 },
			 .y = { .low = 0.0008, .high = 0.01, .log = true } };

	for (unsigned row = 0; row < r->plan->row_count; row++)
		for (unsigned kind = 0; pools[row] != NULL && kind < LATENCY_KINDS; kind++) {
			const struct histogram *h = &pools[row]->kinds[kind];

			if (h->count == 0)
				continue;
			s.x.high = fmax(s.x.high, place(1 - 1 / ((double)h->count + 1)));
			s.y.high = fmax(s.y.high, 1.2 * ms_of(h->max));
		}
	return s;
}

static void ratio_table(const struct report *r, unsigned k)
{
	static const struct {
		enum bench_metric metric;
		const char *name;
	} shown[] = { { METRIC_SERVICE, "mean service time" },
		      { METRIC_LATENCY_P50, "50 %" },
		      { METRIC_LATENCY_P99, "99 %" },
		      { METRIC_LATENCY_P999, "99.9 %" } };
	static const char *const heads[] = {
		"way of collecting", "mean service time", "50 %", "99 %", "99.9 %", NULL
	};
	char caption[120], text[48];

	snprintf(caption, sizeof caption, "%.40s: open-loop latency, of libgc-mprotect's",
		 r->plan->programs[k].name);
	html_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		html_row(r->f, r->plan->rows[row].label);
		for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
			double resolution = bench_resolution(r->plan, k, shown[i].metric);
			struct stat_ratio ratio =
				bench_ratio(r->plan, k, row, r->plan->ref, shown[i].metric);
			bool same = isnan(ratio.mid) || stat_same(ratio, resolution);

			if (row == r->plan->ref)
				html_cell(r->f, NULL, "1");
			else
				html_cell(r->f,
					  same            ? "same"
					  : ratio.mid < 1 ? "better"
							  : "worse",
					  "%s", html_ratio(ratio, resolution, text));
		}
		html_row_end(r->f);
	}
	html_table_end(r->f);
}

static void one_program(const struct report *r, unsigned k)
{
	const struct bench_program *p = &r->plan->programs[k];
	struct bench_latency *pools[MAX_ROWS] = { NULL };
	struct svg frame;

	for (unsigned row = 0; row < r->plan->row_count; row++)
		pools[row] = bench_pool_latency(r->plan, k, row);
	frame = frame_of(r, pools);
	fputs("<p>", r->f);
	html_printf(r->f, "%s: %" PRIu64 " requests a second", p->name, p->rate);
	if (p->closed_rate > 0)
		html_printf(r->f,
			    "; the reference can serve %" PRIu64 " when none has to be "
			    "waited for",
			    p->closed_rate);
	fputs(".</p>\n", r->f);
	ratio_table(r, k);
	report_legend(r);
	fputs("<div class=\"charts\">\n", r->f);
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		chart(r, k, (enum latency_kind)kind, pools, &frame);
	fputs("</div>\n", r->f);
	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		table(r, k, (enum latency_kind)kind, pools);
	for (unsigned row = 0; row < r->plan->row_count; row++)
		free(pools[row]);
}

void report_latency(const struct report *r)
{
	bool any = false;

	for (unsigned k = 0; k < r->plan->program_count; k++)
		any = any || (report_ran(r, k) && bench_has_latency(r->plan, k));
	if (!any) {
		fputs("<p class=\"lacks\">No program of this file tells how long its requests "
		      "take.</p>\n",
		      r->f);
		return;
	}
	fputs("<p>A server whose requests are due at times fixed beforehand, the same for every "
	      "row. "
	      "<b>Open-loop</b> latency is from when a request was due to its end: what a client "
	      "sees. <b>Simple</b> latency is from when the server took it: requests that came "
	      "during a stall do not count the wait. <b>Metered</b> latency spreads the starts "
	      "evenly over windows, and takes some of the bunches that chance makes for delay. "
	      "<b>Hiccups</b> are how late the server was when it had nothing to do: that is the "
	      "machine. Faint where fewer than ten are longer; all blocks together. Below a "
	      "microsecond nothing is shown.</p>\n",
	      r->f);
	for (unsigned k = 0; k < r->plan->program_count; k++)
		if (report_ran(r, k) && bench_has_latency(r->plan, k))
			one_program(r, k);
}

/* ---- The summary ------------------------------------------------------------------- */

static void number(FILE *f, const struct histogram *h, double q)
{
	char text[32];

	fprintf(f, " | %s",
		bench_latency_knows(h->count, q)
			? html_number((double)hist_quantile(h, q) / 1e6, text)
			: "too few");
}

void report_latency_markdown(const struct report *r, unsigned k, FILE *f)
{
	const struct bench_program *p = &r->plan->programs[k];

	if (!bench_has_latency(r->plan, k))
		return;
	fprintf(f, "\nLatency at %" PRIu64 " requests a second, ms\n\n", p->rate);
	fputs("| way of collecting | open loop 50 % | 99 % | 99.9 % | longest | simple 99 % | "
	      "99.9 % | metered (100 ms) 99 % | hiccup 99.9 % | longest |\n"
	      "|---|---|---|---|---|---|---|---|---|---|\n",
	      f);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		struct bench_latency *l = bench_pool_latency(r->plan, k, row);
		char text[32];

		if (l == NULL)
			continue;
		fputs("| ", f);
		report_markdown_text(f, r->plan->rows[row].label);
		number(f, &l->kinds[LATENCY_OPEN], 0.5);
		number(f, &l->kinds[LATENCY_OPEN], 0.99);
		number(f, &l->kinds[LATENCY_OPEN], 0.999);
		fprintf(f, " | %s", html_number((double)l->kinds[LATENCY_OPEN].max / 1e6, text));
		number(f, &l->kinds[LATENCY_SIMPLE], 0.99);
		number(f, &l->kinds[LATENCY_SIMPLE], 0.999);
		number(f, &l->kinds[LATENCY_METERED_100], 0.99);
		number(f, &l->kinds[LATENCY_HICCUP], 0.999);
		fprintf(f, " | %s |\n",
			html_number((double)l->kinds[LATENCY_HICCUP].max / 1e6, text));
		free(l);
	}
}
