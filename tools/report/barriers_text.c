/* SPDX-License-Identifier: MIT
 * Where we lose to software cards, for the page, and the summary in Markdown. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/report/html.h"
#include "tools/report/report.h"
#include "tools/report/barriers.h"

enum { SHOWN = 15 };

struct report_barriers_score report_barriers_score(const struct barriers *b, unsigned row,
						   enum barriers_metric m)
{
	struct report_barriers_score s = { 0 };

	for (unsigned p = 0; p < b->n_points; p++) {
		struct stat_ratio r = barriers_ratio(b, p, row, m);
		double resolution = barriers_resolution(b, p, m);

		if (isnan(r.mid) || isinf(r.high) || !isfinite(resolution))
			s.unknown++;
		else if (stat_same(r, resolution))
			s.level++;
		else if (r.mid < 1)
			s.less++;
		else
			s.more++;
	}
	return s;
}

/* ---- The page ------------------------------------------------------------------------- */

static void loss_rows(FILE *f, const struct barriers *b, const struct barriers_losses *l,
		      size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct barriers_loss *loss = &l->list[i];
		char name[96], ratio[48];

		barriers_point_name(&b->points[loss->point], name, sizeof name);
		html_row(f, b->rows[loss->row].label);
		html_cell(f, "words", "%s", name);
		html_cell(f, "name", "%s", barriers_metric_names[loss->metric]);
		html_cell(f, "worse", "%s", html_ratio(loss->ratio, loss->resolution, ratio));
		html_row_end(f);
	}
}

void report_barriers_losses(FILE *f, const struct barriers *b)
{
	static const char *const heads[] = { "our row", "<where", "<what", "to software cards",
					     NULL };
	struct barriers_losses l;
	size_t shown;

	if (!barriers_find_losses(b, &l))
		return;
	fputs("<p>", f);
	if (l.unknown == l.compared)
		fputs("With so few blocks this file cannot say where we lose. ", f);
	html_printf(f,
		    "Of %zu comparisons with software cards (every row of ours at every point: "
		    "processor and total time, all pauses, median and longest pause, memory) we "
		    "are worse in %zu by more than the noise; in %zu nothing can be told.",
		    l.compared, l.count, l.unknown);
	fputs("</p>\n", f);
	shown = l.count < SHOWN ? l.count : SHOWN;
	if (shown > 0) {
		html_table_begin(f, "Worse than software cards, worst first", heads);
		loss_rows(f, b, &l, 0, shown);
		html_table_end(f);
	}
	if (l.count > shown) {
		html_folded_table_begin(f, "All the others", heads);
		loss_rows(f, b, &l, shown, l.count);
		html_folded_table_end(f);
	}
	free(l.list);
}

/* ---- Markdown -------------------------------------------------------------------------- */

static void program_rows(FILE *f, const struct barriers *b)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_PROGRAM];

	fputs("| barrier |", f);
	for (unsigned i = 0; i < s->count; i++) {
		fputc(' ', f);
		report_markdown_text(f, b->points[s->at[i].point].program);
		fputs(" |", f);
	}
	fputs("\n|---|", f);
	for (unsigned i = 0; i < s->count; i++)
		fputs("---|", f);
	fputc('\n', f);
	for (unsigned row = 0; row < b->n_rows; row++) {
		fputs("| ", f);
		report_markdown_text(f, b->rows[row].label);
		fputs(" |", f);
		for (unsigned i = 0; i < s->count; i++) {
			unsigned p = s->at[i].point;
			char text[48];

			fputc(' ', f);
			report_markdown_text(
				f, row == 0 ? "1"
					    : html_ratio(barriers_ratio(b, p, row, BARRIERS_CPU),
							 barriers_resolution(b, p, BARRIERS_CPU),
							 text));
			fputs(" |", f);
		}
		fputc('\n', f);
	}
}

static void map_rows(FILE *f, const struct barriers *b)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_MAP];

	if (s->count == 0)
		return;
	fputs("\n| live heap, written between collections | least processor time | least, other "
	      "than software cards | that to software cards |\n|---|---|---|---|\n",
	      f);
	for (unsigned i = 0; i < s->count; i++) {
		unsigned p = s->at[i].point;
		struct barriers_winner all = barriers_winner(b, p, BARRIERS_CPU, true);
		struct barriers_winner other = barriers_winner(b, p, BARRIERS_CPU, false);
		const struct barriers_winner *w[2] = { &all, &other };
		char text[64];

		barriers_stop_name(b, AXIS_MAP, i, text, sizeof text);
		fprintf(f, "| %s |", text);
		for (unsigned k = 0; k < 2; k++) {
			fputc(' ', f);
			snprintf(text, sizeof text, "%s%s", w[k]->ties > 0 ? "~" : "",
				 w[k]->row < b->n_rows ? b->rows[w[k]->row].label : "-");
			report_markdown_text(f, text);
			fputs(" |", f);
		}
		fputc(' ', f);
		report_markdown_text(
			f, other.row < b->n_rows
				   ? html_ratio(barriers_ratio(b, p, other.row, BARRIERS_CPU),
						barriers_resolution(b, p, BARRIERS_CPU), text)
				   : "-");
		fputs(" |\n", f);
	}
}

static void lost(FILE *f, const struct barriers *b)
{
	struct barriers_losses l;

	if (!barriers_find_losses(b, &l))
		return;
	fprintf(f,
		"\n**Where we lose to software cards:** worse by more than the noise in %zu of %zu "
		"comparisons; nothing can be told in %zu.%s\n",
		l.count, l.compared, l.unknown,
		l.count > SHOWN ? " The worst; the page has all:" : "");
	if (l.count > 0)
		fputc('\n', f);
	for (size_t i = 0; i < l.count && i < SHOWN; i++) {
		char name[96], ratio[48];

		barriers_point_name(&b->points[l.list[i].point], name, sizeof name);
		fputs("- ", f);
		report_markdown_text(f, b->rows[l.list[i].row].label);
		fprintf(f, ": %s ", barriers_metric_names[l.list[i].metric]);
		report_markdown_text(f, html_ratio(l.list[i].ratio, l.list[i].resolution, ratio));
		fputs(" (", f);
		report_markdown_text(f, name);
		fputs(")\n", f);
	}
	free(l.list);
}

void report_barriers_markdown(FILE *f, const struct barriers *b)
{
	unsigned wrong = 0;
	char line[1024];

	for (unsigned p = 0; p < b->n_points; p++)
		wrong += !barriers_results_agree(b, p, false);
	snprintf(line, sizeof line,
		 "%s, %ld CPUs, %s; libcardmark %s; load %s before; %.1f %% stolen; %u blocks, "
		 "%" PRIu64 " %% of the work.",
		 b->env.cpu, b->env.cpus, b->env.kernel, b->env.library, b->env.load,
		 bench_env_steal_percent(&b->env), b->blocks, b->work);
	fputs("**Write barriers of a small collector**: ", f);
	report_markdown_text(f, line);
	fprintf(f, " Results %s. Processor time to software cards:\n\n",
		wrong == 0 ? "agree" : "**DIFFER**");
	program_rows(f, b);
	map_rows(f, b);
	lost(f, b);
	fputs("\n\\~: no difference beyond the noise. `", f);
	/* In code, where only its own mark means anything. */
	for (const char *s = b->env.command; *s != '\0'; s++)
		fputc(*s == '`' || (unsigned char)*s < 0x20 ? ' ' : *s, f);
	fputs("`\n", f);
}
