/* SPDX-License-Identifier: MIT
 * One axis: what it costs, and to software cards, at each point of it. */
#include <math.h>

#include "tools/report/html.h"
#include "tools/report/barriers.h"
#include "tools/report/svg.h"

static void widen(struct svg_axis *a, double v)
{
	if (!isfinite(v) || v <= 0)
		return;
	a->low = fmin(a->low, v);
	a->high = fmax(a->high, v);
}

static const char *axis_title(enum barriers_axis axis)
{
	return axis == AXIS_HEAP      ? "heap, multiple of the least"
	       : axis == AXIS_NURSERY ? "nursery, MiB"
				      : "words in an object";
}

static double figure(const struct barriers *b, unsigned point, unsigned row, bool ratio)
{
	if (ratio)
		return row == 0 ? 1 : barriers_ratio(b, point, row, BARRIERS_CPU).mid;
	return barriers_median(b, point, row, BARRIERS_CPU);
}

static void x_ticks(const struct svg *s, const struct barriers_sweep *sweep, const char *name)
{
	for (unsigned i = 0; i < sweep->count; i++) {
		double x = sweep->at[i].x;
		char text[32];

		if (x >= 1024)
			snprintf(text, sizeof text, "%gk", x / 1024);
		else
			snprintf(text, sizeof text, "%g", x);
		svg_tick_x(s, x, text);
	}
	svg_text(s, (s->x.from + s->x.to) / 2, s->y.from + 31, "middle", name);
}

/* What the A/A row differs by, at each point. */
static void noise(const struct svg *s, const struct barriers *b, const struct barriers_sweep *sweep)
{
	char verb = 'M';

	for (unsigned i = 0; i < sweep->count; i++)
		if (!isfinite(barriers_resolution(b, sweep->at[i].point, BARRIERS_CPU)))
			return;
	fputs("<path class=\"band\" d=\"", s->f);
	for (unsigned i = 0; i < 2 * sweep->count; i++) {
		unsigned k = i < sweep->count ? i : 2 * sweep->count - 1 - i;
		double by = 1 + barriers_resolution(b, sweep->at[k].point, BARRIERS_CPU);

		fprintf(s->f, "%c%.1f %.1f", verb, svg_at(&s->x, sweep->at[k].x),
			svg_at(&s->y, i < sweep->count ? by : 1 / by));
		verb = 'L';
	}
	fputs("z\"/>", s->f);
}

static void chart(FILE *f, const struct barriers *b, enum barriers_axis axis, bool ratio)
{
	const struct barriers_sweep *sweep = &b->sweeps[axis];
	struct svg s = {
		.height = 290,
		.left = 44,
		.right = 22,
		.top = 24,
		.bottom = 40,
		.x = { .low = INFINITY, .high = 0, .log = true },
		.y = { .low = ratio ? 0.9 : INFINITY, .high = ratio ? 1.1 : 0, .log = true }
	};
	char id[48], title[120];

	for (unsigned i = 0; i < sweep->count; i++) {
		widen(&s.x, sweep->at[i].x);
		for (unsigned row = 0; row < b->n_rows; row++)
			if (barriers_distinct(b, row))
				widen(&s.y, figure(b, sweep->at[i].point, row, ratio));
	}
	snprintf(id, sizeof id, "barriers-%s-%s", barriers_axis_names[axis],
		 ratio ? "ratio" : "cost");
	snprintf(title, sizeof title, "%.20s: processor time%s", b->sweep_program,
		 ratio ? " to software cards" : ", s");
	fputs("<figure><figcaption>", f);
	html_text(f, title);
	fputs("</figcaption>\n", f);
	if (!(s.y.high > 0) || !(s.x.high > 0)) {
		fputs("<p class=\"lacks\">Nothing ran to its end.</p></figure>\n", f);
		return;
	}
	s.y.low /= 1.05;
	s.y.high *= 1.05;
	if (!(s.x.high > s.x.low))
		s.x.high = s.x.low * 2;
	s.y.log = !ratio || s.y.high / s.y.low > 4;
	svg_begin(
		&s, f, id, title,
		ratio ? "A line for each barrier: its processor time to that of software cards in "
			"the same block; grey is the noise. The table below has the numbers."
		      : "A line for each barrier: its median processor time. The table below has "
			"the numbers.");
	if (ratio)
		noise(&s, b, sweep);
	x_ticks(&s, sweep, axis_title(axis));
	if (s.y.log && s.y.high / s.y.low < 2.5)
		s.y.log = false;
	svg_ticks_y(&s, ratio ? "ratio; below 1 costs less" : "s");
	for (unsigned row = 0; row < b->n_rows; row++) {
		double x[BARRIERS_STOPS], y[BARRIERS_STOPS];
		unsigned series = report_barriers_series(b, row);
		size_t n = 0;

		for (unsigned i = 0; i < sweep->count; i++) {
			y[n] = figure(b, sweep->at[i].point, row, ratio);
			x[n] = sweep->at[i].x;
			n += y[n] > 0;
		}
		if (!barriers_distinct(b, row))
			continue;
		fputs("<g class=\"row\">", f);
		svg_line(&s, series, x, y, n, false);
		for (size_t i = 0; i < n; i++)
			svg_mark(&s, series, svg_at(&s.x, x[i]), svg_at(&s.y, y[i]));
		fputs("</g>\n", f);
	}
	svg_end(&s);
	fputs("</figure>\n", f);
}

static void table(FILE *f, const struct barriers *b, enum barriers_axis axis, const char *caption,
		  enum barriers_metric m, bool ratio)
{
	const struct barriers_sweep *sweep = &b->sweeps[axis];
	const char *heads[BARRIERS_STOPS + 2] = { "barrier" };
	char names[BARRIERS_STOPS][48];

	for (unsigned i = 0; i < sweep->count; i++) {
		barriers_stop_name(b, axis, i, names[i], sizeof names[i]);
		heads[i + 1] = names[i];
	}
	html_folded_table_begin(f, caption, heads);
	for (unsigned row = 0; row < b->n_rows; row++) {
		html_row(f, b->rows[row].label);
		for (unsigned i = 0; i < sweep->count; i++) {
			unsigned p = sweep->at[i].point;
			char text[48];

			if (!ratio)
				html_cell(f, NULL, "%s",
					  html_number(m == BARRIERS_METRICS
							      ? barriers_dirty(b, p, row)
							      : barriers_median(b, p, row, m),
						      text));
			else if (row == 0)
				html_cell(f, "same", "1");
			else
				html_cell(f, NULL, "%s",
					  html_ratio(barriers_ratio(b, p, row, m),
						     barriers_resolution(b, p, m), text));
		}
		html_row_end(f);
	}
	html_folded_table_end(f);
}

void report_barriers_sweep(FILE *f, const struct barriers *b, enum barriers_axis axis)
{
	report_barriers_legend(f, b);
	fputs("<div class=\"charts\">\n", f);
	chart(f, b, axis, false);
	chart(f, b, axis, true);
	fputs("</div>\n", f);
	table(f, b, axis, "Processor time, s", BARRIERS_CPU, false);
	table(f, b, axis, "Processor time to software cards", BARRIERS_CPU, true);
	table(f, b, axis, "Total time to software cards", BARRIERS_TOTAL, true);
	table(f, b, axis, "All pauses together, to software cards", BARRIERS_PAUSED, true);
	table(f, b, axis, "Dirty cards (oracle: objects) in a young collection", BARRIERS_METRICS,
	      false);
}
