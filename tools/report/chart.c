/* SPDX-License-Identifier: MIT */
#include "tools/report/chart.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "tools/report/html.h"

enum { WIDTH = 420, RIGHT = 22, LEFT = 44 };
enum { CHARACTER = 7, SPACE = 8 }; /* at most, of the text under the axis */

/* ---- Names and colours ------------------------------------------------------------------ */

/* The possible names of a row, and their marks. "pagemap, 5 ms" and "cards (A/A)" are
 * variants. */
static const struct look {
	const char *name, *shape;
} looks[] = {
	{ "other", "m-4-4l8 8m0-8l-8 8m4-9v10" },
	{ "stop-the-world", "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0" },
	{ "libgc-mprotect", "m-3.5-3.5h7v7h-7z" },
	{ "pagemap", "m0-5l5 5l-5 5l-5-5z" },
	{ "softdirty", "m0 4.5l4-7.5h-8z" },
	{ "uffd", "m-4-4l8 8m0-8l-8 8" },
	{ "mprotect", "m-5 0h10m-5-5v10" },
	{ "alldirty", "m-4-2h8v4h-8z" },
	{ "cards", "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0" },
	{ "oracle", "m0-4.5l4 7.5h-8z" },
	{ "dirty", "m-4-2h8v4h-8z" },
	{ "none", "m-2-4h4v8h-4z" },
};

static const struct look *look_of(const char *row)
{
	size_t n = strcspn(row, ",("); /* where the variant begins */

	while (n > 0 && row[n - 1] == ' ')
		n--;
	for (size_t i = 1; i < sizeof looks / sizeof *looks; i++)
		if (strlen(looks[i].name) == n && strncmp(looks[i].name, row, n) == 0)
			return &looks[i];
	return &looks[0];
}

const char *chart_look(const char *row)
{
	static char class[48];

	snprintf(class, sizeof class, "of-%s%s", look_of(row)->name,
		 strchr(row, ',') != NULL ? " target" : "");
	return class;
}

/* The colour and the dash apply to everything inside. */
static void begin(FILE *f, const char *tag, const char *class, const char *row)
{
	fprintf(f, "<%s class=\"%s %s\">", tag, class, chart_look(row));
}

static void mark(FILE *f, const char *class, const char *row, double x, double y)
{
	fprintf(f, "<path class=\"%s\" d=\"M%.1f %.1f%s\"/>", class, x, y, look_of(row)->shape);
}

void chart_legend(FILE *f, const char *const *rows, size_t n, double target_ms)
{
	static const char swatch[] =
		"<svg class=\"swatch\" viewBox=\"0 0 34 12\" aria-hidden=\"true\">"
		"<path class=\"%s\" d=\"M1 6H33\"/>";

	fputs("<ul class=\"legend\">", f);
	for (size_t i = 0; i < n; i++) {
		begin(f, "li", "way", rows[i]);
		fprintf(f, swatch, "line");
		mark(f, "mark", rows[i], 17, 6);
		fputs("</svg>", f);
		html_text(f, rows[i]);
		fputs("</li>", f);
	}
	if (target_ms > 0) {
		fputs("<li>", f);
		fprintf(f, swatch, "goal");
		fprintf(f, "</svg>the target, %g ms</li>", target_ms);
	}
	fputs("</ul>\n", f);
}

/* ---- The frame ---------------------------------------------------------------------------- */

struct chart chart_of(FILE *f, const char *what)
{
	struct chart c = { .f = f,
			   .what = what,
			   .height = 290,
			   .x = { .low = INFINITY, .high = -INFINITY },
			   .y = { .low = INFINITY, .high = -INFINITY, .to = CHART_TOP } };

	return c;
}

void chart_title(struct chart *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->title, sizeof c->title, format, args);
	va_end(args);
}

void chart_reach(struct chart_axis *a, double v)
{
	if (!isfinite(v) || (a->log && v <= 0))
		return;
	a->low = fmin(a->low, v);
	a->high = fmax(a->high, v);
}

void chart_widen(struct chart_axis *a, double factor)
{
	a->low /= factor;
	a->high *= factor;
}

/* Where a value is; values beyond the ends are put at them. */
static double at(const struct chart_axis *a, double v)
{
	double low = a->log ? log10(a->low) : a->low, high = a->log ? log10(a->high) : a->high;
	double t;

	if (a->log)
		v = v > 0 ? log10(v) : low;
	t = high > low ? (v - low) / (high - low) : 0;
	return a->from + (a->to - a->from) * fmin(fmax(t, 0), 1);
}

void chart_text(const struct chart *c, double px, double py, const char *anchor, const char *text)
{
	fprintf(c->f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", px, py, anchor);
	html_text(c->f, text);
	fputs("</text>", c->f);
}

static void caption(const struct chart *c)
{
	fputs("<figure><figcaption>", c->f);
	html_text(c->f, c->title);
	fputs("</figcaption>\n", c->f);
}

void chart_empty(struct chart *c, const char *why)
{
	caption(c);
	fprintf(c->f, "<p class=\"lacks\">%s</p></figure>\n", why);
}

void chart_begin(struct chart *c)
{
	static unsigned count; /* for ids of the page */

	count++;
	c->x.from = LEFT;
	c->x.to = WIDTH - RIGHT;
	c->y.from = c->height - CHART_BOTTOM;
	caption(c);
	fprintf(c->f,
		"<svg class=\"chart\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
		"aria-labelledby=\"chart-%u-t chart-%u-d\"><title id=\"chart-%u-t\">",
		WIDTH, c->height, count, count, count);
	html_text(c->f, c->title);
	fprintf(c->f, "</title><desc id=\"chart-%u-d\">", count);
	html_text(c->f, c->what);
	fputs("</desc>\n", c->f);
	if (c->x.name != NULL)
		chart_text(c, (c->x.from + c->x.to) / 2, c->y.from + 31, "middle", c->x.name);
	if (c->y.name != NULL)
		chart_text(c, 2, c->y.to - 9, "start", c->y.name);
	fputc('\n', c->f);
}

void chart_end(struct chart *c)
{
	fputs("</svg>\n</figure>\n", c->f);
}

/* ---- Ticks --------------------------------------------------------------------------------- */

void chart_tick_x(struct chart *c, double v, const char *text)
{
	double x = at(&c->x, v), half = CHARACTER * (double)strlen(text) / 2;

	fprintf(c->f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, c->y.from, c->y.to);
	if (x - half < c->taken || x + half > WIDTH)
		return;
	chart_text(c, x, c->y.from + 15, "middle", text);
	c->taken = x + half + SPACE;
}

static void tick_y(struct chart *c, double v, const char *text)
{
	double y = at(&c->y, v);

	fprintf(c->f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", c->x.from, y, c->x.to);
	chart_text(c, c->x.from - 8, y + 4, "end", text);
}

/* room: so many ticks at most. */
static void ticks(struct chart *c, const struct chart_axis *a, double room,
		  void (*tick)(struct chart *, double, const char *))
{
	static const double steps[] = { 1, 2, 5 };
	double decades = a->log ? log10(a->high / a->low) : 0, step;
	char text[32];

	if (decades > 0.8) {
		for (int e = (int)floor(log10(a->low)); e <= (int)ceil(log10(a->high)); e++)
			for (size_t i = 0; i < 3; i++) {
				double v = steps[i] * pow(10, e);

				snprintf(text, sizeof text, "%.6g", v);
				if ((i == 0 || decades * 3 < room) && v >= a->low * 0.999 &&
				    v <= a->high * 1.001)
					tick(c, v, text);
			}
		return;
	}
	step = pow(10, floor(log10((a->high - a->low) / room)));
	for (size_t i = 0; (a->high - a->low) / step > room; i++)
		step *= i % 3 == 1 ? 2.5 : 2;
	for (double v = ceil(a->low / step - 1e-9) * step; v <= a->high + step * 1e-9; v += step) {
		snprintf(text, sizeof text, "%.6g", fabs(v) < step * 1e-9 ? 0 : v);
		tick(c, v, text);
	}
}

void chart_ticks_x(struct chart *c)
{
	ticks(c, &c->x, (c->x.to - c->x.from) / 45, chart_tick_x);
	fputc('\n', c->f);
}

void chart_ticks_y(struct chart *c)
{
	ticks(c, &c->y, (c->y.from - c->y.to) / 40, tick_y);
	fputc('\n', c->f);
}

/* ---- What is drawn --------------------------------------------------------------------------- */

static void path(const struct chart *c, const double *x, const double *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(c->f, "%c%.1f %.1f", i > 0 ? 'L' : 'M', at(&c->x, x[i]), at(&c->y, y[i]));
}

static void line(const struct chart *c, const char *class, const double *x, const double *y,
		 size_t n)
{
	if (n == 0)
		return;
	fprintf(c->f, "<path class=\"%s\" d=\"", class);
	path(c, x, y, n);
	fputs("\"/>", c->f);
}

void chart_tip(const struct chart *c, const char *row, double x, double y, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	begin(c->f, "g", "tip", row);
	fprintf(c->f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"8\"/><title>", at(&c->x, x),
		at(&c->y, y));
	html_text(c->f, row);
	fputs(": ", c->f);
	html_text(c->f, text);
	fputs("</title></g>\n", c->f);
}

void chart_line(const struct chart *c, const char *row, const double *x, const double *y, size_t n,
		size_t sure, bool marked)
{
	size_t from = sure > 0 ? sure - 1 : 0;

	begin(c->f, "g", "row", row);
	line(c, "line", x, y, sure);
	if (sure < n)
		line(c, "line faint", x + from, y + from, n - from);
	/* A row of marks along the bottom would hide one another. */
	for (size_t i = marked || n == 0 ? 0 : n - 1; i < n; i++)
		if (y[i] > c->y.low || i + 1 == n)
			mark(c->f, "mark", row, at(&c->x, x[i]), at(&c->y, y[i]));
	fputs("</g>\n", c->f);
	for (size_t i = 0; marked && i < n; i++)
		chart_tip(c, row, x[i], y[i], "%.3g at %.6g", y[i], x[i]);
}

void chart_band(const struct chart *c, const double *x, const double *low, const double *high,
		size_t n)
{
	fputs("<path class=\"band\" d=\"", c->f);
	path(c, x, low, n);
	for (size_t i = n; i-- > 0;)
		fprintf(c->f, "L%.1f %.1f", at(&c->x, x[i]), at(&c->y, high[i]));
	fputs("z\"/>\n", c->f);
}

void chart_goal(const struct chart *c, double y)
{
	if (y > 0)
		fprintf(c->f, "<path class=\"goal\" d=\"M%.1f %.1fH%.1f\"/>\n", c->x.from,
			at(&c->y, y), c->x.to);
}

void chart_ratio(const struct chart *c, const char *row, struct ratio r, double y, bool bold)
{
	const double ends[] = { r.low, r.high }, heights[] = { y, y };

	begin(c->f, "g", "row", row);
	if (isfinite(r.high))
		line(c, "line", ends, heights, 2);
	mark(c->f, bold ? "mark bold" : "mark", row, at(&c->x, r.mid), at(&c->y, y));
	fputs("</g>", c->f);
}
