/* SPDX-License-Identifier: MIT
 * How long stops are, and what they leave of any stretch of time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/html.h"
#include "tools/report/report.h"
#include "tools/report/svg.h"

enum { POINTS = 160, FEW = 10 };

uint64_t *report_stops(const struct report *r, unsigned program, unsigned row, size_t *n)
{
	const struct bench_cell *cell = bench_cell(r->plan, program, row);
	unsigned blocks = r->plan->programs[program].blocks;
	size_t total = 0;
	uint64_t *all;

	*n = 0;
	for (unsigned b = 0; b < blocks; b++)
		if (cell->runs[b].ok)
			total += cell->runs[b].stop_count;
	all = total ? malloc(total * sizeof *all) : NULL;
	if (all == NULL)
		return NULL;
	for (unsigned b = 0; b < blocks; b++)
		if (cell->runs[b].ok && cell->runs[b].stop_count > 0) {
			memcpy(all + *n, cell->runs[b].stops,
			       cell->runs[b].stop_count * sizeof *all);
			*n += cell->runs[b].stop_count;
		}
	stat_sort(all, *n);
	return all;
}

/* ---- Percentiles ------------------------------------------------------------- */

/* Halving distances from 100 %: 0, 50, 75 %... */
static double place(double q)
{
	return -log10(1 - q);
}

static void curve(const struct svg *s, unsigned row, const uint64_t *v, size_t n)
{
	double x[POINTS + 1], y[POINTS + 1], most = place(1 - 1 / (double)(n + 1));
	double sure = n > FEW ? place(1 - FEW / (double)n) : 0;
	size_t points = 0, split = 0;

	for (unsigned i = 0; i <= POINTS; i++) {
		double at = most * i / POINTS;

		x[points] = at;
		y[points++] = (double)stat_rank(v, n, 1 - pow(10, -at)) / 1e6;
		if (at <= sure)
			split = points;
	}
	fputs("<g class=\"row\">", s->f);
	svg_line(s, row, x, y, split, false);
	svg_line(s, row, x + (split ? split - 1 : 0), y + (split ? split - 1 : 0),
		 points - (split ? split - 1 : 0), true);
	svg_mark(s, row, svg_at(&s->x, x[points - 1]), svg_at(&s->y, y[points - 1]));
	fputs("</g>\n", s->f);
}

static void percentile_chart(const struct report *r, unsigned k)
{
	static const struct {
		double q;
		const char *text;
	} ticks[] = { { 0, "0" },       { 0.5, "50 %" },     { 0.9, "90 %" },
		      { 0.99, "99 %" }, { 0.999, "99.9 %" }, { 0.9999, "99.99 %" } };
	struct svg s = { .height = 290,
			 .left = 44,
			 .right = 22,
			 .top = 24,
			 .bottom = 40,
			 .x = { .low = 0, .high = 0.5 },
			 .y = { .low = INFINITY, .high = 0, .log = true } };
	char id[48], title[120];

	for (unsigned row = 0; row < r->plan->row_count; row++) {
		size_t n;
		uint64_t *v = report_stops(r, k, row, &n);

		if (v != NULL) {
			s.x.high = fmax(s.x.high, place(1 - 1 / (double)(n + 1)));
			s.y.low = fmin(s.y.low, fmax((double)v[0] / 1e6, 1e-4));
			s.y.high = fmax(s.y.high, (double)v[n - 1] / 1e6);
		}
		free(v);
	}
	snprintf(title, sizeof title, "%.40s: stops", r->plan->programs[k].name);
	fputs("<figure><figcaption>", r->f);
	html_text(r->f, title);
	fputs("</figcaption>\n", r->f);
	if (s.y.high <= 0) {
		fputs("<p class=\"lacks\">No stops are recorded.</p></figure>\n", r->f);
		return;
	}
	s.y.low /= 1.2;
	s.y.high *= 1.2;
	snprintf(id, sizeof id, "stops-%u-%u", r->index, k);
	svg_begin(&s, r->f, id, title,
		  "A curve for each way of collecting: the length that so many of its stops do not "
		  "exceed. The table below has the numbers.");
	for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++)
		if (place(ticks[i].q) <= s.x.high)
			svg_tick_x(&s, place(ticks[i].q), ticks[i].text);
	svg_text(&s, (s.x.from + s.x.to) / 2, s.y.from + 31, "middle",
		 "share of stops that are no longer");
	svg_ticks_y(&s, "ms");
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		size_t n;
		uint64_t *v = report_stops(r, k, row, &n);

		if (v != NULL)
			curve(&s, row, v, n);
		free(v);
	}
	svg_end(&s);
	fputs("</figure>\n", r->f);
}

/* A percentile needs ten stops beyond it; the largest is always known. */
static void percentile_cell(const struct report *r, const uint64_t *v, size_t n, double q)
{
	char text[32];

	if (v == NULL || (double)n * (1 - q) < FEW - 1e-6)
		html_cell(r->f, "same", "too few");
	else
		html_cell(r->f, NULL, "%s", html_number((double)stat_rank(v, n, q) / 1e6, text));
}

static void percentile_table(const struct report *r, unsigned k)
{
	static const char *const heads[] = {
		"way of collecting", "stops",         "50 %", "90 %", "99 %", "99.9 %",
		"longest",           "longest stall", NULL
	};
	char caption[80], text[32];

	snprintf(caption, sizeof caption, "%.40s: stops, ms", r->plan->programs[k].name);
	html_folded_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		struct bench_summary s;
		size_t n;
		uint64_t *v = report_stops(r, k, row, &n);

		bench_summarize(r->plan, k, row, &s);
		html_row(r->f, r->plan->rows[row].label);
		html_cell(r->f, NULL, "%zu", n);
		percentile_cell(r, v, n, 0.5);
		percentile_cell(r, v, n, 0.9);
		percentile_cell(r, v, n, 0.99);
		percentile_cell(r, v, n, 0.999);
		html_cell(r->f, NULL, "%s", html_number(n ? s.max : NAN, text));
		html_cell(r->f, NULL, "%s", html_number(n ? s.stall : NAN, text));
		html_row_end(r->f);
		free(v);
	}
	html_folded_table_end(r->f);
}

void report_percentiles(const struct report *r)
{
	fputs("<p>All stops of all blocks together; the mark is the longest. Where fewer than ten "
	      "stops "
	      "are longer, the curve is faint: there it is chance. So 99.9&#160;% needs 10,000 "
	      "stops. "
	      "A pause is not latency: a program also waits in slices of marking, and work that "
	      "came "
	      "during a stop waits for it.</p>\n",
	      r->f);
	report_legend(r);
	report_programs(r, percentile_chart, percentile_table);
}

/* ---- Minimum mutator utilisation ------------------------------------------------ */

static const double windows_ms[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000 };
enum { WINDOWS = sizeof windows_ms / sizeof *windows_ms };

/* The smallest of all good runs; NaN where a run is shorter than the window. */
static void utilisation(const struct report *r, unsigned k, unsigned row, double out[WINDOWS])
{
	const struct bench_cell *cell = bench_cell(r->plan, k, row);

	for (unsigned w = 0; w < WINDOWS; w++)
		out[w] = NAN;
	for (unsigned b = 0; b < r->plan->programs[k].blocks; b++) {
		const struct bench_run *run = &cell->runs[b];
		uint64_t *before = run->ok ? malloc((run->stop_count + 1) * sizeof *before) : NULL;

		if (before == NULL)
			continue;
		pause_sums(run->pauses, run->stop_count, before);
		for (unsigned w = 0; w < WINDOWS; w++) {
			double v = pause_mmu(run->pauses, run->stop_count, before,
					     (uint64_t)(run->wall_s * 1e9),
					     (uint64_t)(windows_ms[w] * 1e6));

			/* A run shorter than the window shows nothing about it. */
			if (windows_ms[w] <= run->wall_s * 1e3)
				out[w] = fmin(isnan(out[w]) ? 1 : out[w], v);
		}
		free(before);
	}
}

static void utilisation_chart(const struct report *r, unsigned k)
{
	struct svg s = { .height = 290,
			 .left = 44,
			 .right = 22,
			 .top = 24,
			 .bottom = 40,
			 .x = { .low = 1, .high = 10, .log = true },
			 .y = { .low = 0, .high = 100 } };
	char id[48], title[120];

	for (unsigned row = 0; row < r->plan->row_count; row++) {
		double v[WINDOWS];

		utilisation(r, k, row, v);
		for (unsigned w = 0; w < WINDOWS; w++)
			if (!isnan(v[w]))
				s.x.high = fmax(s.x.high, windows_ms[w]);
	}
	snprintf(id, sizeof id, "mmu-%u-%u", r->index, k);
	snprintf(title, sizeof title, "%.40s: minimum mutator utilisation",
		 r->plan->programs[k].name);
	fputs("<figure><figcaption>", r->f);
	html_text(r->f, title);
	fputs("</figcaption>\n", r->f);
	svg_begin(&s, r->f, id, title,
		  "A curve for each way of collecting: of all stretches of time of a length, the "
		  "least share that the program had. The table below has the numbers.");
	svg_ticks_x(&s, "length of the stretch, ms");
	svg_ticks_y(&s, "% for the program");
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		double v[WINDOWS], x[WINDOWS], y[WINDOWS];
		size_t n = 0;

		utilisation(r, k, row, v);
		for (unsigned w = 0; w < WINDOWS; w++)
			if (!isnan(v[w])) {
				x[n] = windows_ms[w];
				y[n++] = 100 * v[w];
			}
		fputs("<g class=\"row\">", r->f);
		svg_line(&s, row, x, y, n, false);
		for (size_t i = 0; i < n; i++)
			if (y[i] > 0 || i + 1 == n)
				svg_mark(&s, row, svg_at(&s.x, x[i]), svg_at(&s.y, y[i]));
		fputs("</g>\n", r->f);
	}
	svg_end(&s);
	fputs("</figure>\n", r->f);
}

static void utilisation_table(const struct report *r, unsigned k)
{
	const char *heads[WINDOWS + 2] = { "way of collecting" };
	char caption[80], names[WINDOWS][16];

	for (unsigned w = 0; w < WINDOWS; w++) {
		snprintf(names[w], sizeof names[w], "%g ms", windows_ms[w]);
		heads[w + 1] = names[w];
	}
	snprintf(caption, sizeof caption, "%.40s: minimum mutator utilisation, %%",
		 r->plan->programs[k].name);
	html_folded_table_begin(r->f, caption, heads);
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		double v[WINDOWS];

		utilisation(r, k, row, v);
		html_row(r->f, r->plan->rows[row].label);
		for (unsigned w = 0; w < WINDOWS; w++) {
			if (isnan(v[w]))
				html_cell(r->f, "same", "-");
			else
				html_cell(r->f, NULL, "%.0f", 100 * v[w]);
		}
		html_row_end(r->f);
	}
	html_folded_table_end(r->f);
}

void report_utilisation(const struct report *r)
{
	fputs("<p>Of all stretches of a run that are so long, in the one with most stops: the "
	      "share of "
	      "time that the program had. Many short stops in a row show here and not in the "
	      "longest "
	      "one. The worst of all blocks; only stops count, not slices of marking inside an "
	      "allocation. Higher is better.</p>\n",
	      r->f);
	report_legend(r);
	report_programs(r, utilisation_chart, utilisation_table);
}
