/* SPDX-License-Identifier: MIT
 * The charts of the page: inline SVG that needs no script. Colours are classes that page.css
 * defines, for light and dark. What a row is called decides its colour, dash and mark, so that
 * it looks the same in every chart. */
#ifndef CARDMARK_REPORT_CHART_H
#define CARDMARK_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/stats.h"

struct chart_axis {
	const char *name;
	double low, high; /* of the data; of a logarithmic one above 0 */
	bool log;
	double from, to; /* in the drawing */
};

struct chart {
	FILE *f;
	char title[128];
	const char *what; /* the chart in words, for a reader who does not see it */
	struct chart_axis x, y;
	double height, left;
	double taken; /* texts under the x axis reach to here */
};

/* One whose axes have a scale each, and one with a line for each of n rows. The axes of the
 * first begin empty, and those of the second at 0. */
struct chart chart_of_lines(FILE *f, const char *what);
struct chart chart_of_rows(FILE *f, const char *what, size_t n);
void chart_title(struct chart *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for a value; NaN and, on a logarithmic axis, what is not above 0 need none. */
void chart_reach(struct chart_axis *a, double v);
/* So much room again beyond both ends. */
void chart_widen(struct chart_axis *a, double factor);

/* The figure, its title, and the axes' names. Then the ticks, and what is drawn. */
void chart_begin(struct chart *c);
void chart_end(struct chart *c);
/* Instead of all that, a figure with a sentence. */
void chart_empty(struct chart *c, const char *why);

/* Round values of the axis. */
void chart_ticks_x(struct chart *c);
void chart_ticks_y(struct chart *c);
/* One tick; its text is left out where there is no room. */
void chart_tick_x(struct chart *c, double v, const char *text);

/* A line through n points, from the point number sure on in a faint colour. marked: at every
 * point and not only at the last one. */
void chart_line(const struct chart *c, const char *row, const double *x, const double *y, size_t n,
		size_t sure, bool marked);
/* What lies between two lines through the same n places: the noise. */
void chart_band(const struct chart *c, const double *x, const double *low, const double *high,
		size_t n);
/* In line i of a chart of rows: a ratio with its interval; or parts one after another, each in
 * the colour of its class. */
void chart_ratio(const struct chart *c, size_t i, const char *row, struct stat_ratio r);
void chart_parts(const struct chart *c, size_t i, const char *row, const double *parts,
		 const char *const *classes, size_t n);
/* In a chart of rows of ratios: a line at 1, and the noise around it. */
void chart_noise(const struct chart *c, double resolution);
void chart_text(const struct chart *c, double px, double py, const char *anchor, const char *text);
/* A box with two lines of text, in the colour of a row; NULL: without colour. */
void chart_tile(const struct chart *c, double px, double py, double width, double height,
		const char *row, bool tie, const char *first, const char *second);

/* A legend of rows. */
void chart_legend(FILE *f, const char *const *rows, size_t n);

enum { CHART_WIDTH = 420, CHART_LINE = 34, CHART_TOP = 24, CHART_BOTTOM = 40 };

#endif
