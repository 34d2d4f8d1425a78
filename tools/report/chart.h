/* SPDX-License-Identifier: MIT
 * The charts of the page: inline SVG that needs no script. Colours are classes that page.css
 * defines, for light and dark. The name of a row decides its colour, dash and mark, so that it
 * looks the same in every chart. */
#ifndef CARDMARK_REPORT_CHART_H
#define CARDMARK_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/ratio.h"

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
	double height;
	double taken; /* texts under the x axis reach to here */
};

/* The class for a row of this name, and so its colour. Valid until the next call. */
const char *chart_look(const char *row);

/* Its axes begin empty. */
struct chart chart_of(FILE *f, const char *what);
void chart_title(struct chart *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for a value, except NaN and, on a logarithmic axis, values of 0 and below. */
void chart_reach(struct chart_axis *a, double v);
/* Adds this share of room beyond both ends. */
void chart_widen(struct chart_axis *a, double factor);

/* The figure, its title, and the axes' names. Draw the ticks and the data after it. */
void chart_begin(struct chart *c);
void chart_end(struct chart *c);
/* Instead of all that, a figure with a sentence. */
void chart_empty(struct chart *c, const char *why);

/* Round values of the axis. */
void chart_ticks_x(struct chart *c);
void chart_ticks_y(struct chart *c);
/* One tick; its text is left out where there is no room. */
void chart_tick_x(struct chart *c, double v, const char *text);

/* A line through n points, in a faint colour from point number sure on. marked: with a mark
 * and a tip at every point, otherwise with a mark at the last one. */
void chart_line(const struct chart *c, const char *row, const double *x, const double *y, size_t n,
		size_t sure, bool marked);
/* The text that a pointer at this place of a row shows. */
void chart_tip(const struct chart *c, const char *row, double x, double y, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* A ratio with its interval, at the height y; bold: as one of ours. */
void chart_ratio(const struct chart *c, const char *row, struct ratio r, double y, bool bold);
/* Fills the area between two lines through the same n places: the noise. */
void chart_band(const struct chart *c, const double *x, const double *low, const double *high,
		size_t n);
/* The pause target: a line at this height, unless it is 0. */
void chart_goal(const struct chart *c, double y);
void chart_text(const struct chart *c, double px, double py, const char *anchor, const char *text);
/* A legend of rows, and of the pause target if there is one. */
void chart_legend(FILE *f, const char *const *rows, size_t n, double target_ms);

enum { CHART_TOP = 24, CHART_BOTTOM = 40 };

#endif
