/* SPDX-License-Identifier: MIT */
#include "tools/report/chart.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "tools/report/html.h"

enum { RIGHT = 22, LEFT = 44, ROW_LEFT = 14, ROW_TOP = 10, ROW_TEXT = 14 };
enum { CHARACTER = 7, SPACE = 8 }; /* at most, of the text under the axis */

/* ---- Names and colours ------------------------------------------------------------------ */

/* What a row may be called, and its mark. "pagemap, 5 ms" and "cards (A/A)" are variants. */
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

static void class_of(FILE *f, const char *class, const char *row)
{
	const char *variant = strstr(row, "(A/A)") != NULL ? " again"
			      : strchr(row, ',') != NULL   ? " target"
							   : "";

	fprintf(f, "class=\"%s of-%s%s\"", class, look_of(row)->name, variant);
}

static void mark(FILE *f, const char *row, double x, double y)
{
	fputs("<path ", f);
	class_of(f, "mark", row);
	fprintf(f, " d=\"M%.1f %.1f%s\"/>", x, y, look_of(row)->shape);
}

void chart_legend(FILE *f, const char *const *rows, size_t n)
{
	fputs("<ul class=\"legend\">", f);
	for (size_t i = 0; i < n; i++) {
		fputs("<li><svg class=\"swatch\" viewBox=\"0 0 34 12\" aria-hidden=\"true\"><path ",
		      f);
		class_of(f, "line", rows[i]);
		fputs(" d=\"M1 6H33\"/>", f);
		mark(f, rows[i], 17, 6);
		fputs("</svg>", f);
		html_text(f, rows[i]);
		fputs("</li>", f);
	}
	fputs("</ul>\n", f);
}

/* ---- The frame ---------------------------------------------------------------------------- */

struct chart chart_of_lines(FILE *f, const char *what)
{
	struct chart c = { .f = f,
			   .what = what,
			   .height = 290,
			   .left = LEFT,
			   .x = { .low = INFINITY, .high = -INFINITY },
			   .y = { .low = INFINITY, .high = -INFINITY, .to = CHART_TOP } };

	return c;
}

struct chart chart_of_rows(FILE *f, const char *what, size_t n)
{
	struct chart c = { .f = f,
			   .what = what,
			   .height = ROW_TOP + CHART_LINE * (double)n + 8 + CHART_BOTTOM,
			   .left = ROW_LEFT,
			   .y = { .to = ROW_TOP } };

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
	c->x.from = c->left;
	c->x.to = CHART_WIDTH - RIGHT;
	c->y.from = c->height - CHART_BOTTOM;
	caption(c);
	fprintf(c->f,
		"<svg class=\"chart\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
		"aria-labelledby=\"chart-%u-t chart-%u-d\"><title id=\"chart-%u-t\">",
		CHART_WIDTH, c->height, count, count, count);
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
	if (x - half < c->taken || x + half > CHART_WIDTH)
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

static void line(const struct chart *c, const char *class, const char *row, const double *x,
		 const double *y, size_t n)
{
	if (n == 0)
		return;
	fputs("<path ", c->f);
	class_of(c->f, class, row);
	fputs(" d=\"", c->f);
	path(c, x, y, n);
	fputs("\"/>", c->f);
}

void chart_line(const struct chart *c, const char *row, const double *x, const double *y, size_t n,
		size_t sure, bool marked)
{
	size_t from = sure > 0 ? sure - 1 : 0;

	fputs("<g class=\"row\">", c->f);
	line(c, "line", row, x, y, sure);
	if (sure < n)
		line(c, "line faint", row, x + from, y + from, n - from);
	/* A row of marks along the bottom would hide one another. */
	for (size_t i = marked || n == 0 ? 0 : n - 1; i < n; i++)
		if (y[i] > c->y.low || i + 1 == n)
			mark(c->f, row, at(&c->x, x[i]), at(&c->y, y[i]));
	fputs("</g>\n", c->f);
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

/* Its name, and where the line under it is. */
static double row_begin(const struct chart *c, size_t i, const char *row)
{
	double y = c->y.to + CHART_LINE * (double)i + ROW_TEXT;

	fputs("<g class=\"row\">", c->f);
	chart_text(c, c->left, y, "start", row);
	return y;
}

void chart_ratio(const struct chart *c, size_t i, const char *row, struct stat_ratio r)
{
	double y = row_begin(c, i, row) + 12;

	if (isnan(r.mid)) {
		chart_text(c, c->left, y + 4, "start", "no ratio: a run failed");
	} else {
		if (isfinite(r.high)) {
			fputs("<path ", c->f);
			class_of(c->f, "line", row);
			fprintf(c->f, " d=\"M%.1f %.1fH%.1f\"/>", at(&c->x, r.low), y,
				at(&c->x, r.high));
		}
		mark(c->f, row, at(&c->x, r.mid), y);
	}
	fputs("</g>\n", c->f);
}

void chart_parts(const struct chart *c, size_t i, const char *row, const double *parts,
		 const char *const *classes, size_t n)
{
	double y = row_begin(c, i, row) + 5, sum = 0;

	for (size_t k = 0; k < n; k++) {
		double from = at(&c->x, sum), to = at(&c->x, sum + parts[k]);

		if (to - from >= 0.1)
			fprintf(c->f,
				"<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
				"height=\"12\"/>",
				classes[k], from, y, to - from);
		sum += parts[k];
	}
	if (sum <= 0)
		chart_text(c, c->left, y + 9, "start", "no stops recorded");
	fputs("</g>\n", c->f);
}

void chart_noise(const struct chart *c, double resolution)
{
	if (isfinite(resolution))
		fprintf(c->f, "<path class=\"band\" d=\"M%.1f %.1fH%.1fV%.1fH%.1fz\"/>",
			at(&c->x, 1 / (1 + resolution)), c->y.from, at(&c->x, 1 + resolution),
			c->y.to, at(&c->x, 1 / (1 + resolution)));
	fprintf(c->f, "<path class=\"one\" d=\"M%.1f %.1fV%.1f\"/>\n", at(&c->x, 1), c->y.from,
		c->y.to);
}

void chart_tile(const struct chart *c, double px, double py, double width, double height,
		const char *row, bool tie, const char *first, const char *second)
{
	fputs("<g ", c->f);
	class_of(c->f, tie ? "tile tie" : "tile", row != NULL ? row : "");
	fputc('>', c->f);
	if (row != NULL)
		fprintf(c->f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", px,
			py, width, height);
	chart_text(c, px + width / 2, py + 19, "middle", first);
	chart_text(c, px + width / 2, py + 36, "middle", second);
	fputs("</g>\n", c->f);
}
