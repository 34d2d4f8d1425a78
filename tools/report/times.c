/* SPDX-License-Identifier: MIT */
#include "tools/report/times.h"

#include <math.h>

#include "tools/bench/programs.h"

enum { POINTS = 160 };

/* Halving distances from 100 %: 0, 50, 75 %... */
static double place(double q)
{
	return -log10(1 - q);
}

static double last_place(const struct times *t)
{
	return place(1 - 1 / ((double)t->count + 1));
}

double times_quantile(const struct times *t, double q)
{
	uint64_t ns = 0;

	if (t->histogram != NULL)
		ns = q < 1 ? hist_quantile(t->histogram, q) : t->histogram->max;
	else if (t->sorted != NULL)
		ns = stat_rank(t->sorted, t->count, q);
	return (double)ns / 1e6;
}

void times_reach(const struct times *t, struct chart *c)
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
}

void times_curves(struct chart *c, const struct times *t, size_t n)
{
	static const struct {
		double q;
		const char *text;
	} ticks[] = { { 0, "0" },
		      { 0.5, "50 %" },
		      { 0.9, "90 %" },
		      { 0.99, "99 %" },
		      { 0.999, "99.9 %" },
		      { 0.9999, "99.99 %" },
		      { 0.99999, "99.999 %" } };

	for (size_t i = 0; i < sizeof ticks / sizeof *ticks; i++)
		if (place(ticks[i].q) <= c->x.high)
			chart_tick_x(c, place(ticks[i].q), ticks[i].text);
	chart_ticks_y(c);
	for (size_t i = 0; i < n; i++)
		if (t[i].count > 0)
			curve(c, &t[i]);
}
