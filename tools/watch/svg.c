/* SPDX-License-Identifier: MIT
 *
 * The heat map as a picture, which needs no script and no other file. It has its own background,
 * light or dark as the viewer's settings are, so that it can be read on any page. */
#include "tools/watch/report.h"

#include "common/utf8.h"

#include <stdlib.h>

enum {
	ROWS = 160,
	LEFT = 250,
	WIDTH = 1400,
	PLOT = WIDTH - LEFT - 30,
	TOP = 76,
	GAP = 4,
	HEIGHT = 640, /* of all rows, if there are enough of them */
};

static const char style[] =
	"<style>svg{--b:#fff;--f:#1b1d21;--s:#565b63;--r:#d5d8dd;--l1:#cfe0f1;--l2:#9cc3e6;"
	"--l3:#5b9bd1;--l4:#1f6bb0;--l5:#0a3463;font:13px system-ui,sans-serif}"
	"@media (prefers-color-scheme:dark){svg{--b:#15171a;--f:#e7e9ec;--s:#a7adb6;--r:#3a3f47;"
	"--l1:#243d58;--l2:#285888;--l3:#2f7cc0;--l4:#6fb7f2;--l5:#d8eeff}}"
	"path{shape-rendering:crispEdges}text{fill:var(--f)}.s{fill:var(--s)}.e{text-anchor:end}.m{"
	"font-family:monospace}"
	".t{font-size:18px;font-weight:600}.b{fill:var(--b)}.r{stroke:var(--r)}"
	".l1{fill:var(--l1)}.l2{fill:var(--l2)}.l3{fill:var(--l3)}.l4{fill:var(--l4)}"
	".l5{fill:var(--l5)}</style>\n";

static void put_text(FILE *f, const char *text)
{
	while (*text != '\0') {
		size_t n = cm_utf8_length(text);

		if (*text == '<' || *text == '&')
			fputs(*text == '<' ? "&lt;" : "&amp;", f);
		else if (n == 0 || (unsigned char)*text < ' ')
			fputc('?', f);
		else
			(void)fwrite(text, 1, n, f);
		text += n > 0 ? n : 1;
	}
}

static double x_of(unsigned bin, unsigned bins)
{
	return LEFT + (double)PLOT * bin / bins;
}

static void ticks(const struct tally *t, unsigned bins, int y, FILE *f)
{
	double all = (double)(t->bin_ns * bins) * 1e-9, step = 1e-3;
	char text[16];

	for (unsigned i = 0; all / step > 10; i++)
		step *= i % 3 == 1 ? 2.5 : 2; /* 1, 2, 5, 10 */
	for (double s = 0; s <= all * 0.97; s += step)
		fprintf(f,
			"<path class=\"r\" d=\"M%.1f %dV%d\"/><text class=\"s\" x=\"%.1f\" "
			"y=\"%d\">%s</text>\n",
			LEFT + PLOT * s / all, y, y + 6, LEFT + PLOT * s / all, y + 22,
			s > 0 ? report_time(s, text) : "0");
}

/* Cells of one level side by side are one piece of the path. */
static void level(const struct tally *t, const struct tally_row *rows, size_t n, size_t pages,
		  const double *y, double height, unsigned of, FILE *f)
{
	unsigned bins = tally_bins(t);

	fprintf(f, "<path class=\"l%u\" d=\"", of);
	for (size_t i = 0; i < n; i++)
		for (unsigned b = 0, from = 0; b <= bins; b++) {
			bool same = b < bins && tally_level(tally_mean(t, rows[i].cell, b, 1) /
							    (double)pages) == of;

			if (!same && from < b)
				fprintf(f, "M%.1f %.1fH%.1fv%.1fH%.1fz", x_of(from, bins), y[i],
					x_of(b, bins), height, x_of(from, bins));
			if (!same)
				from = b + 1;
		}
	fputs("\"/>\n", f);
}

static void legend(double y, FILE *f)
{
	double from = 0;

	fprintf(f,
		"<text class=\"s\" x=\"%d\" y=\"%.0f\">Share of a row's pages written at a "
		"look:</text>",
		LEFT, y + 12);
	for (unsigned l = 1; l <= TALLY_LEVELS; l++) {
		double to = l < TALLY_LEVELS ? 100 * tally_levels[l - 1] : 100;
		unsigned x = LEFT + 120 + 120 * l;

		fprintf(f,
			"<path class=\"l%u\" d=\"M%u %.0fh18v14h-18z\"/><text x=\"%u\" "
			"y=\"%.0f\">%g to %g %%</text>\n",
			l, x, y, x + 24, y + 12, from, to);
		from = to;
	}
}

void report_svg(const struct watch_result *r, FILE *f)
{
	const struct tally *t = r->tally;
	unsigned bins = tally_bins(t);
	size_t n, pages;
	struct tally_row *rows = tally_rows(t, ROWS, &n, &pages);
	double *y = calloc(n + 1, sizeof *y), labelled = -100, at = TOP,
	       height = n > 0 && HEIGHT / (double)n < 24 ? HEIGHT / (double)n : 24;
	char ending[80], a[4][16];

	report_ending(r, ending);
	for (size_t i = 0; y != NULL && i < n; i++, at += height)
		y[i] = at += rows[i].apart ? GAP : 0;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
		"width=\"%d\">\n<title>Where and when ",
		WIDTH, at + 80, WIDTH);
	put_text(f, r->name);
	fputs(" wrote to its memory</title>\n", f);
	fputs(style, f);
	fprintf(f,
		"<path class=\"b\" d=\"M0 0H%dV%.0fH0z\"/>\n<text class=\"t\" x=\"20\" y=\"32\">",
		WIDTH, at + 80);
	put_text(f, r->name);
	fprintf(f,
		" wrote to %s of its private memory</text><text class=\"s\" x=\"20\" y=\"54\">a "
		"row "
		"is %s, a column %s; it was watched for %s and ",
		report_size((double)(t->distinct * t->page), a[0]),
		report_size((double)(pages * t->page), a[1]),
		report_time((double)t->bin_ns * 1e-9, a[2]),
		report_time((double)(t->end_ns - t->begin_ns) * 1e-9, a[3]));
	put_text(f, ending);
	fputs("</text>\n", f);
	for (size_t i = 0; y != NULL && i < n; i++) {
		if (y[i] - labelled < 15 || (i > 0 && !rows[i].apart && y[i] - labelled < 100))
			continue;
		labelled = y[i];
		fprintf(f, "<text class=\"e\" x=\"%d\" y=\"%.1f\">", LEFT - 112, y[i] + 10);
		put_text(f, rows[i].name);
		fprintf(f, "</text><text class=\"s e m\" x=\"%d\" y=\"%.1f\">%zx</text>\n",
			LEFT - 8, y[i] + 10, (size_t)rows[i].start);
	}
	for (unsigned l = 1; y != NULL && l <= TALLY_LEVELS; l++)
		level(t, rows, n, pages, y, height, l, f);
	ticks(t, bins, (int)at + 4, f);
	legend(at + 48, f);
	fputs("</svg>\n", f);
	free(y);
	free(rows);
}
