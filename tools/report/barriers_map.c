/* SPDX-License-Identifier: MIT
 * The crossover map: live heap by how much of it is written, and what costs least there. */
#include <math.h>

#include "tools/report/html.h"
#include "tools/report/barriers.h"
#include "tools/report/svg.h"

enum { CELL = 46 };

struct axis_values {
	double v[BARRIERS_STOPS];
	unsigned n;
};

/* In order, each once. */
static void enter(struct axis_values *a, double v)
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

static unsigned place(const struct axis_values *a, double v)
{
	unsigned at = 0;

	while (at + 1 < a->n && a->v[at] < v)
		at++;
	return at;
}

/* Two lines: which barrier, and by how much. */
static void words_of(const struct barriers *b, unsigned point, enum barriers_metric m,
		     bool with_cards, const struct barriers_winner *w, char first[48],
		     char second[48])
{
	double resolution = barriers_resolution(b, point, m);

	if (w->row == b->n_rows) {
		snprintf(first, 48, "-");
		second[0] = '\0';
		return;
	}
	snprintf(first, 48, "%s%s", w->ties > 0 ? "~" : "", b->rows[w->row].label);
	if (!with_cards) {
		struct stat_ratio r = barriers_ratio(b, point, w->row, m);

		snprintf(second, 48, "%s%.2f of cards",
			 stat_same(r, resolution) || isinf(r.high) ? "~" : "", r.mid);
	} else if (w->ties > 0) {
		snprintf(second, 48, "%u level", w->ties + 1);
	} else if (!isnan(w->next.mid)) {
		snprintf(second, 48, "next %.2f", w->next.mid);
	} else {
		second[0] = '\0';
	}
}

static void cell(const struct svg *s, const struct barriers *b, unsigned point,
		 enum barriers_metric m, bool with_cards, double x, double y, double width)
{
	struct barriers_winner w = barriers_winner(b, point, m, with_cards);
	char first[48], second[48];

	words_of(b, point, m, with_cards, &w, first, second);
	if (w.row < b->n_rows)
		fprintf(s->f,
			"<rect class=\"w%u%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%d\"/>",
			report_barriers_series(b, w.row), w.ties > 0 ? " tie" : "", x, y, width,
			CELL);
	fputs("<g class=\"in\">", s->f);
	svg_text(s, x + width / 2, y + 19, "middle", first);
	svg_text(s, x + width / 2, y + 36, "middle", second);
	fputs("</g>\n", s->f);
}

static void grid(FILE *f, const struct barriers *b, enum barriers_metric m, bool with_cards)
{
	const struct barriers_sweep *sweep = &b->sweeps[AXIS_MAP];
	struct axis_values x = { .n = 0 }, y = { .n = 0 };
	struct svg s = { .left = 62, .right = 8, .top = 24, .bottom = 40 };
	char id[48], title[120], text[32];
	double width;

	for (unsigned i = 0; i < sweep->count; i++) {
		enter(&x, sweep->at[i].x);
		enter(&y, sweep->at[i].y);
	}
	s.height = s.top + s.bottom + CELL * (double)y.n;
	width = (SVG_WIDTH - s.left - s.right) / (double)x.n;
	snprintf(id, sizeof id, "barriers-map-%u-%s", (unsigned)m, with_cards ? "all" : "other");
	snprintf(title, sizeof title, "Least %s%s", barriers_metric_names[m],
		 with_cards ? "" : ", other than software cards");
	fputs("<figure><figcaption>", f);
	html_text(f, title);
	fputs("</figcaption>\n", f);
	svg_begin(&s, f, id, title,
		  "A grid: in each cell the barrier that costs least with so much live heap, of "
		  "which so much is written between collections. The table below says the same.");
	svg_text(&s, 2, 14, "start", "live heap, MiB");
	for (unsigned i = 0; i < y.n; i++) {
		snprintf(text, sizeof text, "%.3g", y.v[i]);
		svg_text(&s, s.left - 6, s.y.from - CELL * ((double)i + 0.5) + 4, "end", text);
	}
	for (unsigned i = 0; i < x.n; i++) {
		snprintf(text, sizeof text, "%g %%", x.v[i]);
		svg_text(&s, s.left + width * ((double)i + 0.5), s.y.from + 15, "middle", text);
	}
	svg_text(&s, (s.x.from + s.x.to) / 2, s.y.from + 31, "middle",
		 "stores between collections, % of the live pages");
	for (unsigned i = 0; i < sweep->count; i++)
		cell(&s, b, sweep->at[i].point, m, with_cards,
		     s.left + width * place(&x, sweep->at[i].x),
		     s.y.from - CELL * ((double)place(&y, sweep->at[i].y) + 1), width);
	svg_end(&s);
	fputs("</figure>\n", f);
}

static void level_with(FILE *f, const struct barriers *b, const struct barriers_winner *w)
{
	char text[256] = "";
	size_t used = 0;

	for (unsigned row = 0; w->row < b->n_rows && row < b->n_rows && used < sizeof text; row++)
		if (w->tied[row])
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
						 used > 0 ? ", " : "", b->rows[row].label);
	html_cell(f, "words", "%s", used > 0 ? text : "-");
}

static void table(FILE *f, const struct barriers *b, enum barriers_metric m, bool with_cards)
{
	static const char *const heads[] = { "live heap and written",
					     "written, as it came out, %",
					     "<least",
					     "<level with it",
					     "<next",
					     "next / least",
					     "least / software cards",
					     NULL };
	const struct barriers_sweep *sweep = &b->sweeps[AXIS_MAP];
	char caption[96];

	snprintf(caption, sizeof caption, "Least %s%s", barriers_metric_names[m],
		 with_cards ? "" : ", other than software cards");
	html_folded_table_begin(f, caption, heads);
	for (unsigned i = 0; i < sweep->count; i++) {
		unsigned p = sweep->at[i].point;
		struct barriers_winner w = barriers_winner(b, p, m, with_cards);
		double resolution = barriers_resolution(b, p, m);
		bool known = w.row < b->n_rows, next = known && !isnan(w.next.mid);
		char text[64];

		barriers_stop_name(b, AXIS_MAP, i, text, sizeof text);
		html_row(f, text);
		html_cell(f, NULL, "%.3g", b->points[p].written);
		html_cell(f, "name", "%s", known ? b->rows[w.row].label : "-");
		level_with(f, b, &w);
		html_cell(f, "name", "%s", next ? b->rows[w.next_row].label : "-");
		html_cell(f, NULL, "%s", next ? html_ratio(w.next, resolution, text) : "-");
		html_cell(f, NULL, "%s",
			  !known ? "-"
			  : w.row == 0
				  ? "1"
				  : html_ratio(barriers_ratio(b, p, w.row, m), resolution, text));
		html_row_end(f);
	}
	html_folded_table_end(f);
}

void report_barriers_map(FILE *f, const struct barriers *b)
{
	static const enum barriers_metric metrics[] = { BARRIERS_CPU, BARRIERS_TOTAL };

	fputs("<p>stores with old vectors of 32 words. ~: others are level with the one named, in "
	      "a 95&#160;% interval over blocks or within the noise, and the cell is pale; their "
	      "number stands below, and the table names them. next: what the best of the others "
	      "costs, to the one named.</p>\n",
	      f);
	for (unsigned i = 0; i < 2; i++) {
		fputs("<div class=\"charts\">\n", f);
		grid(f, b, metrics[i], true);
		grid(f, b, metrics[i], false);
		fputs("</div>\n", f);
		table(f, b, metrics[i], true);
		table(f, b, metrics[i], false);
	}
}
