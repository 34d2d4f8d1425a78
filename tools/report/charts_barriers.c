/* SPDX-License-Identifier: MIT
 * Charts of the write barriers: what each costs along an axis, and the map of which one costs
 * least where. */
#include <math.h>

#include "tools/report/report.h"

/* ---- Along an axis ---------------------------------------------------------------------- */

void charts_barriers_legend(FILE *f, const struct barriers *b)
{
	const char *labels[BARRIERS_ROWS];
	size_t n = 0;

	for (unsigned row = 0; row < b->n_rows; row++)
		if (barriers_distinct(b, row))
			labels[n++] = b->rows[row].label;
	chart_legend(f, labels, n);
}

static double figure(const struct barriers *b, unsigned point, unsigned row, bool ratio)
{
	if (ratio)
		return row == 0 ? 1 : barriers_ratio(b, point, row, BARRIERS_CPU).mid;
	return barriers_median(b, point, row, BARRIERS_CPU);
}

static void ticks(struct chart *c, const struct barriers_sweep *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		double x = s->at[i].x;
		char text[32];

		snprintf(text, sizeof text, x >= 1024 ? "%gk" : "%g", x >= 1024 ? x / 1024 : x);
		chart_tick_x(c, x, text);
	}
}

/* What the A/A row differs by, at each point. */
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
		 unsigned row, bool ratio)
{
	double x[BARRIERS_STOPS], y[BARRIERS_STOPS];
	size_t n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		x[n] = s->at[i].x;
		y[n] = figure(b, s->at[i].point, row, ratio);
		n += y[n] > 0;
	}
	chart_line(c, b->rows[row].label, x, y, n, n, true);
}

void charts_sweep(FILE *f, const struct barriers *b, enum barriers_axis axis, bool ratio)
{
	static const char *const names[AXES] = {
		[AXIS_HEAP] = "heap, multiple of the least",
		[AXIS_NURSERY] = "nursery, MiB",
		[AXIS_OBJECT] = "words in an object",
	};
	const struct barriers_sweep *s = &b->sweeps[axis];
	struct chart c = chart_of_lines(
		f,
		ratio ? "A line for each barrier: its processor time to that of software cards in "
			"the same block; grey is the noise. The table below has the numbers."
		      : "A line for each barrier: its median processor time. The table below has "
			"the numbers.");
	c.x.name = names[axis];
	c.y.name = ratio ? "ratio; below 1 costs less" : "s";
	c.x.log = c.y.log = true;
	for (unsigned i = 0; i < s->count; i++) {
		chart_reach(&c.x, s->at[i].x);
		for (unsigned row = 0; row < b->n_rows; row++)
			if (barriers_distinct(b, row))
				chart_reach(&c.y, figure(b, s->at[i].point, row, ratio));
	}
	chart_title(&c, "%.20s: processor time%s", b->sweep_program,
		    ratio ? " to software cards" : ", s");
	if (!(c.y.high > 0) || !(c.x.high > 0)) {
		chart_empty(&c, "Nothing ran to its end.");
		return;
	}
	if (ratio) {
		chart_reach(&c.y, 0.9);
		chart_reach(&c.y, 1.1);
	}
	chart_widen(&c.y, 1.05);
	if (!(c.x.high > c.x.low))
		c.x.high = c.x.low * 2;
	chart_begin(&c);
	if (ratio)
		noise(&c, b, s);
	ticks(&c, s);
	chart_ticks_y(&c);
	for (unsigned row = 0; row < b->n_rows; row++)
		if (barriers_distinct(b, row))
			line(&c, b, s, row, ratio);
	chart_end(&c);
}

/* ---- The map ---------------------------------------------------------------------------- */

enum { CELL = 46, MAP_LEFT = 62 };

struct values {
	double v[BARRIERS_STOPS];
	unsigned n;
};

/* In order, each once. */
static void enter(struct values *a, double v)
{
	unsigned at = 0;

	while (at < a->n && a->v[at] < v)
		at++;
	if (at < a->n && !(a->v[at] > v))
		return;
	for (unsigned i = a->n++; i > at; i--)
		a->v[i] = a->v[i - 1];
	a->v[at] = v;
}

static unsigned place(const struct values *a, double v)
{
	unsigned at = 0;

	while (at + 1 < a->n && a->v[at] < v)
		at++;
	return at;
}

/* Which barrier, and by how much. */
static void tile(const struct chart *c, const struct barriers *b, unsigned point,
		 enum barriers_metric m, bool with_cards, double x, double y, double width)
{
	struct barriers_winner w = barriers_winner(b, point, m, with_cards);
	const char *row = w.row < b->n_rows ? b->rows[w.row].label : NULL;
	char first[48] = "-", second[48] = "";

	if (row != NULL)
		snprintf(first, sizeof first, "%s%s", w.ties > 0 ? "~" : "", row);
	if (row != NULL && !with_cards) {
		struct stat_ratio r = barriers_ratio(b, point, w.row, m);
		double resolution = barriers_resolution(b, point, m);

		snprintf(second, sizeof second, "%s%.2f of cards",
			 stat_same(r, resolution) || isinf(r.high) ? "~" : "", r.mid);
	} else if (row != NULL && w.ties > 0) {
		snprintf(second, sizeof second, "%u level", w.ties + 1);
	} else if (row != NULL && !isnan(w.next.mid)) {
		snprintf(second, sizeof second, "next %.2f", w.next.mid);
	}
	chart_tile(c, x, y, width, CELL, row, w.ties > 0, first, second);
}

void charts_map(FILE *f, const struct barriers *b, enum barriers_metric m, bool with_cards)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_MAP];
	struct values x = { .n = 0 }, y = { .n = 0 };
	struct chart c = chart_of_lines(
		f, "A grid: in each cell the barrier that costs least with so much live heap, of "
		   "which "
		   "so much is written between collections. The table below has the same.");
	char text[32];
	double width;

	for (unsigned i = 0; i < s->count; i++) {
		enter(&x, s->at[i].x);
		enter(&y, s->at[i].y);
	}
	c.left = MAP_LEFT;
	c.height = CHART_TOP + CHART_BOTTOM + CELL * (double)y.n;
	c.x.name = "stores between collections, % of the live pages";
	c.y.name = "live heap, MiB";
	chart_title(&c, "Least %s%s", barriers_metric_names[m],
		    with_cards ? "" : ", other than software cards");
	chart_begin(&c);
	width = (c.x.to - c.x.from) / x.n;
	for (unsigned i = 0; i < y.n; i++) {
		snprintf(text, sizeof text, "%.3g", y.v[i]);
		chart_text(&c, c.left - 6, c.y.from - CELL * (i + 0.5) + 4, "end", text);
	}
	for (unsigned i = 0; i < x.n; i++) {
		snprintf(text, sizeof text, "%g %%", x.v[i]);
		chart_text(&c, c.left + width * (i + 0.5), c.y.from + 15, "middle", text);
	}
	for (unsigned i = 0; i < s->count; i++)
		tile(&c, b, s->at[i].point, m, with_cards, c.left + width * place(&x, s->at[i].x),
		     c.y.from - CELL * (place(&y, s->at[i].y) + 1.0), width);
	chart_end(&c);
}
