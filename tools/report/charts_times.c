/* SPDX-License-Identifier: MIT
 * Charts of percentiles (how long stops and requests are) and of minimum mutator utilisation
 * (how much of any stretch of time the stops leave). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

/* ---- Percentiles ------------------------------------------------------------------------ */

enum { POINTS = 160 };

/* Places along the x axis; each is marked, and has a tip. */
static const struct {
	double q;
	const char *text;
} ticks[] = { { 0, "0" },          { 0.5, "50 %" },       { 0.9, "90 %" },        { 0.99, "99 %" },
	      { 0.999, "99.9 %" }, { 0.9999, "99.99 %" }, { 0.99999, "99.999 %" } };
enum { TICKS = sizeof ticks / sizeof *ticks };

/* Halving distances from 100 %: 0, 50, 75 %... */
static double place(double q)
{
	return -log10(1 - q);
}

static double last_place(const struct times *t)
{
	return place(1 - 1 / ((double)t->count + 1));
}

struct times times_of(const char *row, const struct bench_latency *pool, unsigned kind)
{
	const struct histogram *h = pool != NULL ? &pool->kinds[kind] : NULL;

	return (struct times){ .row = row, .count = h != NULL ? h->count : 0, .histogram = h };
}

double times_quantile(const struct times *t, double q)
{
	uint64_t ns = 0;

	if (t->histogram != NULL)
		ns = q < 1 ? hist_quantile(t->histogram, q) : t->histogram->max;
	else if (t->sorted != NULL)
		ns = sample_rank(t->sorted, t->count, q);
	return (double)ns / 1e6;
}

static void times_reach(const struct times *t, struct chart *c)
{
	if (t->count == 0)
		return;
	chart_reach(&c->x, last_place(t));
	chart_reach(&c->y, times_quantile(t, 0));
	chart_reach(&c->y, times_quantile(t, 1));
}

static void curve(const struct chart *c, const struct times *t)
{
	double x[POINTS + 1], y[POINTS + 1];
	size_t sure = 0;

	for (size_t i = 0; i <= POINTS; i++) {
		x[i] = last_place(t) * (double)i / POINTS;
		y[i] = times_quantile(t, 1 - pow(10, -x[i]));
		if (bench_latency_knows(t->count, 1 - pow(10, -x[i])))
			sure = i + 1;
	}
	chart_line(c, t->row, x, y, POINTS + 1, sure, false);
	for (size_t i = 1; i < TICKS && place(ticks[i].q) < last_place(t); i++) {
		double ms = times_quantile(t, ticks[i].q);

		chart_tip(c, t->row, place(ticks[i].q), ms, "%s in %.3g ms or less", ticks[i].text,
			  ms);
	}
	chart_tip(c, t->row, last_place(t), times_quantile(t, 1), "the longest of %zu: %.3g ms",
		  t->count, times_quantile(t, 1));
}

static void times_curves(struct chart *c, const struct times *t, size_t n)
{
	for (size_t i = 0; i < TICKS; i++)
		if (place(ticks[i].q) <= c->x.high)
			chart_tick_x(c, place(ticks[i].q), ticks[i].text);
	chart_ticks_y(c);
	for (size_t i = 0; i < n; i++)
		if (t[i].count > 0)
			curve(c, &t[i]);
}

/* ---- Stops ------------------------------------------------------------------------------ */

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
	sample_sort(all, *n);
	return all;
}

void charts_stops(const struct report *r, unsigned k)
{
	uint64_t *stops[MAX_ROWS];
	struct times times[MAX_ROWS];
	unsigned n = 0;
	struct chart c = chart_of(
		r->f,
		"A curve for each way of collecting: the length that this share of its stops does "
		"not exceed. The table below has the numbers.");

	c.x.name = "share of stops that are no longer";
	c.y.name = "ms";
	c.y.log = true;
	for (unsigned row = 0; report_next(r, &row); row++, n++) {
		times[n].row = r->plan->rows[row].label;
		times[n].histogram = NULL;
		times[n].sorted = stops[n] = report_stops(r, k, row, &times[n].count);
		times_reach(&times[n], &c);
	}
	chart_reach(&c.x, 0);
	chart_title(&c, "%.40s: stops", r->plan->programs[k].name);
	if (c.y.high > 0) {
		chart_reach(&c.x, 0.5);
		chart_reach(&c.y, r->plan->target_ms);
		c.y.low = fmax(c.y.low, 1e-4);
		chart_widen(&c.y, 1.2);
		chart_begin(&c);
		chart_goal(&c, r->plan->target_ms);
		times_curves(&c, times, n);
		chart_end(&c);
	} else {
		chart_empty(&c, "No stops are recorded.");
	}
	while (n-- > 0)
		free(stops[n]);
}

/* ---- Minimum mutator utilisation -------------------------------------------------------- */

const double utilisation_ms[UTILISATION_WINDOWS] = { 1,   2,   5,    10,   20,   50,   100,
						     200, 500, 1000, 2000, 5000, 10000 };

void utilisation(const struct report *r, unsigned k, unsigned row, double out[UTILISATION_WINDOWS])
{
	const struct bench_cell *cell = bench_cell(r->plan, k, row);

	for (unsigned w = 0; w < UTILISATION_WINDOWS; w++)
		out[w] = NAN;
	for (unsigned b = 0; b < r->plan->programs[k].blocks; b++) {
		const struct bench_run *run = &cell->runs[b];
		uint64_t *before = run->ok ? malloc((run->stop_count + 1) * sizeof *before) : NULL;

		if (before == NULL)
			continue;
		pause_sums(run->pauses, run->stop_count, before);
		/* A run shorter than the window shows nothing about it. */
		for (unsigned w = 0;
		     w < UTILISATION_WINDOWS && utilisation_ms[w] <= run->wall_s * 1e3; w++)
			out[w] = fmin(isnan(out[w]) ? 100 : out[w],
				      100 * pause_mmu(run->pauses, run->stop_count, before,
						      (uint64_t)(run->wall_s * 1e9),
						      (uint64_t)(utilisation_ms[w] * 1e6)));
		free(before);
	}
}

/* How many windows have a value: they are the first ones. */
static size_t known_windows(const double v[UTILISATION_WINDOWS])
{
	size_t n = 0;

	while (n < UTILISATION_WINDOWS && !isnan(v[n]))
		n++;
	return n;
}

void charts_utilisation(const struct report *r, unsigned k)
{
	double v[UTILISATION_WINDOWS];
	struct chart c = chart_of(
		r->f,
		"A curve for each way of collecting: the share of a stretch of this length that "
		"the program had in the worst case. The table below has the numbers.");

	c.x = (struct chart_axis){ "length of the stretch, ms", .low = 1, .high = 10, .log = true };
	for (unsigned row = 0; report_next(r, &row); row++) {
		utilisation(r, k, row, v);
		if (known_windows(v) > 0)
			chart_reach(&c.x, utilisation_ms[known_windows(v) - 1]);
	}
	c.y.name = "% for the program";
	c.y.low = 0;
	c.y.high = 100;
	chart_title(&c, "%.40s: minimum mutator utilisation", r->plan->programs[k].name);
	chart_begin(&c);
	chart_ticks_x(&c);
	chart_ticks_y(&c);
	for (unsigned row = 0; report_next(r, &row); row++) {
		size_t n;

		utilisation(r, k, row, v);
		n = known_windows(v);
		chart_line(&c, r->plan->rows[row].label, utilisation_ms, v, n, n, true);
	}
	chart_end(&c);
}

/* ---- Latency ---------------------------------------------------------------------------- */

/* All kinds on the same axes, so that they can be compared by eye. */
void charts_latency(const struct report *r, unsigned k, enum latency_kind kind)
{
	struct bench_latency *pools[MAX_ROWS];
	struct times times[MAX_ROWS];
	unsigned n = 0;
	struct chart c = chart_of(
		r->f, "A curve for each way of collecting: the time that this share of requests "
		      "does not exceed. The table below has the numbers.");

	c.x.name = "share of requests that take no longer";
	chart_reach(&c.x, 0);
	chart_reach(&c.x, 1);
	c.y.name = "ms";
	c.y.log = true;
	chart_reach(&c.y, 0.01);
	for (unsigned row = 0; report_next(r, &row); row++, n++) {
		pools[n] = bench_pool_latency(r->plan, k, row);
		for (unsigned i = 0; i < LATENCY_KINDS; i++) {
			struct times t = times_of(r->plan->rows[row].label, pools[n], i);

			times_reach(&t, &c);
		}
		times[n] = times_of(r->plan->rows[row].label, pools[n], kind);
	}
	/* Latency below a microsecond is the clock's. */
	c.y.low = 0.0008;
	c.y.high *= 1.2;
	chart_title(&c, "%.40s: %s", r->plan->programs[k].name, latency_titles[kind]);
	chart_begin(&c);
	times_curves(&c, times, n);
	chart_end(&c);
	while (n-- > 0)
		free(pools[n]);
}
