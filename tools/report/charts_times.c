/* SPDX-License-Identifier: MIT
 * How long stops and requests are, and what stops leave of any stretch of time: charts of
 * percentiles and of minimum mutator utilisation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"
#include "tools/report/times.h"

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

/* ---- Stops ------------------------------------------------------------------------------ */

void charts_stops(const struct report *r, unsigned k)
{
	uint64_t *stops[MAX_ROWS];
	struct times times[MAX_ROWS];
	struct chart c = chart_of_lines(
		r->f,
		"A curve for each way of collecting: the length that so many of its stops do not "
		"exceed. The table below has the numbers.");

	c.x.name = "share of stops that are no longer";
	c.y.name = "ms";
	c.y.log = true;
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		size_t n;

		stops[row] = report_stops(r, k, row, &n);
		times[row] = (struct times){ r->plan->rows[row].label, n, .sorted = stops[row] };
		times_reach(&times[row], &c);
	}
	chart_reach(&c.x, 0);
	chart_title(&c, "%.40s: stops", r->plan->programs[k].name);
	if (c.y.high > 0) {
		chart_reach(&c.x, 0.5);
		c.y.low = fmax(c.y.low, 1e-4);
		chart_widen(&c.y, 1.2);
		chart_begin(&c);
		times_curves(&c, times, r->plan->row_count);
		chart_end(&c);
	} else {
		chart_empty(&c, "No stops are recorded.");
	}
	for (unsigned row = 0; row < r->plan->row_count; row++)
		free(stops[row]);
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
	struct chart c = chart_of_lines(
		r->f,
		"A curve for each way of collecting: of all stretches of time of a length, the "
		"least share that the program had. The table below has the numbers.");

	c.x = (struct chart_axis){ "length of the stretch, ms", .low = 1, .high = 10, .log = true };
	for (unsigned row = 0; row < r->plan->row_count; row++) {
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
	for (unsigned row = 0; row < r->plan->row_count; row++) {
		size_t n;

		utilisation(r, k, row, v);
		n = known_windows(v);
		chart_line(&c, r->plan->rows[row].label, utilisation_ms, v, n, n, true);
	}
	chart_end(&c);
}

/* ---- Latency ---------------------------------------------------------------------------- */

static struct times times_of(const struct report *r, unsigned row, enum latency_kind kind,
			     const struct bench_latency *pool)
{
	const struct histogram *h = pool != NULL ? &pool->kinds[kind] : NULL;

	return (struct times){ .row = r->plan->rows[row].label,
			       .count = h != NULL ? h->count : 0,
			       .histogram = h };
}

/* All kinds on the same axes, so that they can be compared by eye. */
static void set_axes(const struct report *r, struct bench_latency *const *pools, struct chart *c)
{
	c->x.name = "share of requests that take no longer";
	chart_reach(&c->x, 0);
	chart_reach(&c->x, 1);
	/* Latency below a microsecond is the clock's. */
	c->y.name = "ms";
	c->y.log = true;
	chart_reach(&c->y, 0.01);
	for (unsigned row = 0; row < r->plan->row_count; row++)
		for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
			struct times t = times_of(r, row, (enum latency_kind)kind, pools[row]);

			times_reach(&t, c);
		}
	c->y.low = 0.0008;
	c->y.high *= 1.2;
}

void charts_latency(const struct report *r, unsigned k, enum latency_kind kind)
{
	struct bench_latency *pools[MAX_ROWS];
	struct times times[MAX_ROWS];
	struct chart c = chart_of_lines(
		r->f, "A curve for each way of collecting: the time that so many requests do not "
		      "exceed. The table below has the numbers.");

	for (unsigned row = 0; row < r->plan->row_count; row++) {
		pools[row] = bench_pool_latency(r->plan, k, row);
		times[row] = times_of(r, row, kind, pools[row]);
	}
	set_axes(r, pools, &c);
	chart_title(&c, "%.40s: %s", r->plan->programs[k].name, latency_titles[kind]);
	chart_begin(&c);
	times_curves(&c, times, r->plan->row_count);
	chart_end(&c);
	for (unsigned row = 0; row < r->plan->row_count; row++)
		free(pools[row]);
}
