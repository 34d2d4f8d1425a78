/* SPDX-License-Identifier: MIT
 * Charts of the write barriers: what each costs along an axis. */
#include <math.h>

#include "tools/report/report.h"

void charts_barriers_legend(FILE *f, const struct barriers *b)
{
	const char *labels[BARRIERS_ROWS];
	size_t n = 0;

	for (unsigned row = 0; row < b->n_rows; row++)
		if (barriers_distinct(b, row))
			labels[n++] = b->rows[row].label;
	chart_legend(f, labels, n, 0);
}

static double figure(const struct barriers *b, unsigned point, unsigned row)
{
	return row == 0 ? 1 : barriers_ratio(b, point, row, BARRIERS_CPU).mid;
}

/* The difference of the reference from itself, at each point. */
static void noise(const struct chart *c, const struct barriers *b, const struct barriers_sweep *s)
{
	double x[BARRIERS_STOPS], low[BARRIERS_STOPS], high[BARRIERS_STOPS];

	for (unsigned i = 0; i < s->count; i++) {
		double by = barriers_resolution(b, s->at[i].point, BARRIERS_CPU);

		if (!isfinite(by))
			return;
		x[i] = s->at[i].x;
		high[i] = 1 + by;
		low[i] = 1 / (1 + by);
	}
	chart_band(c, x, low, high, s->count);
}

static void line(const struct chart *c, const struct barriers *b, const struct barriers_sweep *s,
		 unsigned row)
{
	double x[BARRIERS_STOPS], y[BARRIERS_STOPS];
	size_t n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		x[n] = s->at[i].x;
		y[n] = figure(b, s->at[i].point, row);
		n += y[n] > 0;
	}
	chart_line(c, b->rows[row].label, x, y, n, n, true);
}

void charts_sweep(FILE *f, const struct barriers *b, enum barriers_axis axis)
{
	static const char *const names[AXES] = {
		[AXIS_HEAP] = "heap, multiple of the least",
		[AXIS_NURSERY] = "nursery, MiB",
		[AXIS_OBJECT] = "words in an object",
	};
	const struct barriers_sweep *s = &b->sweeps[axis];
	struct chart c = chart_of(
		f, "A line for each barrier: its processor time to that of software cards in the "
		   "same block; grey is the noise. The table below has the numbers.");

	c.x.name = names[axis];
	c.y.name = "ratio; below 1 costs less";
	c.x.log = c.y.log = true;
	for (unsigned i = 0; i < s->count; i++) {
		chart_reach(&c.x, s->at[i].x);
		for (unsigned row = 1; row < b->n_rows; row++)
			if (barriers_distinct(b, row))
				chart_reach(&c.y, figure(b, s->at[i].point, row));
	}
	chart_title(&c, "%.20s: processor time to software cards", b->sweep_program);
	if (!(c.y.high > 0)) {
		chart_empty(&c, "Nothing ran to its end.");
		return;
	}
	chart_reach(&c.y, 0.9);
	chart_reach(&c.y, 1.1);
	chart_widen(&c.y, 1.05);
	if (!(c.x.high > c.x.low))
		c.x.high = c.x.low * 2;
	chart_begin(&c);
	noise(&c, b, s);
	for (unsigned i = 0; i < s->count; i++) {
		double x = s->at[i].x;
		char text[32];

		snprintf(text, sizeof text, x >= 1024 ? "%gk" : "%g", x >= 1024 ? x / 1024 : x);
		chart_tick_x(&c, x, text);
	}
	chart_ticks_y(&c);
	for (unsigned row = 0; row < b->n_rows; row++)
		if (barriers_distinct(b, row))
			line(&c, b, s, row);
	chart_end(&c);
}
