/* SPDX-License-Identifier: MIT */
#include "tools/report/svg.h"

#include <math.h>
#include <string.h>

#include "tools/report/html.h"

double svg_at(const struct svg_axis *a, double v)
{
	double low = a->log ? log10(a->low) : a->low, high = a->log ? log10(a->high) : a->high;
	double t;

	if (a->log)
		v = v > 0 ? log10(v) : low;
	t = high > low ? (v - low) / (high - low) : 0;
	return a->from + (a->to - a->from) * fmin(fmax(t, 0), 1);
}

void svg_begin(struct svg *s, FILE *f, const char *id, const char *title, const char *what)
{
	s->f = f;
	s->x.from = s->left;
	s->x.to = SVG_WIDTH - s->right;
	s->y.from = s->height - s->bottom;
	s->y.to = s->top;
	fprintf(f,
		"<svg class=\"chart\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
		"aria-labelledby=\"%s-t %s-d\"><title id=\"%s-t\">",
		SVG_WIDTH, s->height, id, id, id);
	html_text(f, title);
	fprintf(f, "</title><desc id=\"%s-d\">", id);
	html_text(f, what);
	fputs("</desc>\n", f);
}

void svg_end(struct svg *s)
{
	fputs("</svg>\n", s->f);
}

void svg_text(const struct svg *s, double px, double py, const char *anchor, const char *text)
{
	fprintf(s->f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", px, py, anchor);
	html_text(s->f, text);
	fputs("</text>", s->f);
}

static const char *tick_text(double v, char out[32])
{
	snprintf(out, 32, "%.6g", v);
	return out;
}

void svg_tick_x(const struct svg *s, double v, const char *text)
{
	double x = svg_at(&s->x, v);

	fprintf(s->f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, s->y.from, s->y.to);
	svg_text(s, x, s->y.from + 15, "middle", text);
}

static void tick_y(const struct svg *s, double v, const char *text)
{
	double y = svg_at(&s->y, v);

	fprintf(s->f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", s->x.from, y, s->x.to);
	svg_text(s, s->x.from - 5, y + 4, "end", text);
}

static void each_tick(const struct svg *s, const struct svg_axis *a, double room,
		      void (*tick)(const struct svg *, double, const char *))
{
	static const double steps[] = { 1, 2, 5 };
	double decades = log10(a->high / a->low), raw, step;
	char text[32];

	if (a->log) {
		for (int e = (int)floor(log10(a->low)); e <= (int)ceil(log10(a->high)); e++)
			for (size_t i = 0; i < 3; i++) {
				double v = steps[i] * pow(10, e);

				if ((i == 0 || decades * 3 * 40 < room) && v >= a->low * 0.999 &&
				    v <= a->high * 1.001)
					tick(s, v, tick_text(v, text));
			}
		return;
	}
	raw = (a->high - a->low) / fmax(2, room / 45);
	step = pow(10, floor(log10(raw)));
	step *= raw / step > 5 ? 10 : raw / step > 2 ? 5 : raw / step > 1 ? 2 : 1;
	for (double v = ceil(a->low / step - 1e-9) * step; v <= a->high + step * 1e-9; v += step)
		tick(s, v, tick_text(fabs(v) < step * 1e-9 ? 0 : v, text));
}

void svg_ticks_x(const struct svg *s, const char *name)
{
	each_tick(s, &s->x, s->x.to - s->x.from, svg_tick_x);
	svg_text(s, (s->x.from + s->x.to) / 2, s->y.from + 31, "middle", name);
	fputc('\n', s->f);
}

void svg_ticks_y(const struct svg *s, const char *name)
{
	each_tick(s, &s->y, s->y.from - s->y.to, tick_y);
	svg_text(s, 2, s->y.to - 9, "start", name);
	fputc('\n', s->f);
}

void svg_mark(const struct svg *s, unsigned series, double x, double y)
{
	static const char *const shapes[] = {
		"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
		"m-3.5-3.5h7v7h-7z",
		"m0-4.5l4 7.5h-8z",
		"m0-5l5 5l-5 5l-5-5z",
		"m0 4.5l4-7.5h-8z",
		"m-4-4l8 8m0-8l-8 8",
		"m-5 0h10m-5-5v10",
		"m-4-2h8v4h-8z",
	};

	fprintf(s->f, "<path class=\"mark s%u\" d=\"M%.1f %.1f%s\"/>", series % SVG_SERIES, x, y,
		shapes[series % SVG_SERIES]);
}

void svg_line(const struct svg *s, unsigned series, const double *x, const double *y, size_t n,
	      bool faint)
{
	if (n == 0)
		return;
	fprintf(s->f, "<path class=\"line s%u%s\" d=\"", series % SVG_SERIES,
		faint ? " faint" : "");
	for (size_t i = 0; i < n; i++)
		fprintf(s->f, "%c%.1f %.1f", i ? 'L' : 'M', svg_at(&s->x, x[i]),
			svg_at(&s->y, y[i]));
	fputs("\"/>", s->f);
}

void svg_swatch(FILE *f, unsigned series)
{
	struct svg s = { .f = f };

	fprintf(f,
		"<svg class=\"swatch\" viewBox=\"0 0 34 12\" aria-hidden=\"true\"><path "
		"class=\"line s%u\" d=\"M1 6H33\"/>",
		series % SVG_SERIES);
	svg_mark(&s, series, 17, 6);
	fputs("</svg>", f);
}
