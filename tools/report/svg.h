/* SPDX-License-Identifier: MIT
 * Charts as inline SVG. Colours are classes (s0 to s7, p0 to p4) that the page's style
 * defines for light and dark; a series also has a dash and a mark of its own. */
#ifndef CARDMARK_TOOL_SVG_H
#define CARDMARK_TOOL_SVG_H

#include <stdbool.h>
#include <stdio.h>

enum { SVG_SERIES = 8, SVG_WIDTH = 420 };

struct svg_axis {
	double low, high; /* of the data; the logarithmic one above 0 */
	bool log;
	double from, to; /* on the page */
};

struct svg {
	FILE *f;
	struct svg_axis x, y;
	double height, left, right, top, bottom; /* margins */
};

/* Where a value is; values beyond the ends are put at them. */
double svg_at(const struct svg_axis *a, double v);

/* id is of the page. The axes' low and high are set before. */
void svg_begin(struct svg *s, FILE *f, const char *id, const char *title, const char *what);
void svg_end(struct svg *s);

/* Grid, ticks and a name. Ticks of logarithmic axes are 1, 2, 5 or 1 of each decade. */
void svg_ticks_x(const struct svg *s, const char *name);
void svg_ticks_y(const struct svg *s, const char *name);
void svg_tick_x(const struct svg *s, double v, const char *text);

/* A line through n points, with a mark at its last. faint: fewer than so much was
 * measured. */
void svg_line(const struct svg *s, unsigned series, const double *x, const double *y, size_t n,
	      bool faint);
void svg_mark(const struct svg *s, unsigned series, double px, double py);
/* A text at a place of the page. anchor: start, middle, end. */
void svg_text(const struct svg *s, double px, double py, const char *anchor, const char *text);

/* The sample of a series for a legend in the text. */
void svg_swatch(FILE *f, unsigned series);

#endif
