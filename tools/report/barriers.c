/* SPDX-License-Identifier: MIT
 * Write barriers of a small collector, as a section: the verdict and what stands around. */
#include "tools/report/barriers.h"

#include <inttypes.h>
#include <math.h>

#include "tools/report/html.h"
#include "tools/report/svg.h"

unsigned report_barriers_series(const struct barriers *b, unsigned row)
{
	unsigned n = 0;

	for (unsigned i = 0; i < row; i++)
		n += barriers_distinct(b, i);
	return n % SVG_SERIES;
}

void report_barriers_legend(FILE *f, const struct barriers *b)
{
	fputs("<ul class=\"legend\">", f);
	for (unsigned row = 0; row < b->n_rows; row++) {
		if (!barriers_distinct(b, row))
			continue;
		fputs("<li>", f);
		svg_swatch(f, report_barriers_series(b, row));
		html_text(f, b->rows[row].label);
		fputs("</li>", f);
	}
	fputs("</ul>\n", f);
}

/* ---- Verdict -------------------------------------------------------------------------- */

static void ratio_cell(FILE *f, struct stat_ratio r, double resolution)
{
	char text[48];
	const char *class = "better";

	if (isnan(r.mid) || isinf(r.high) || stat_same(r, resolution))
		class = "same";
	else if (r.mid > 1)
		class = "worse";
	html_cell(f, class, "%s", html_ratio(r, resolution, text));
}

static void program_table(FILE *f, const struct barriers *b, enum barriers_metric m, bool folded)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_PROGRAM];
	const char *heads[BARRIERS_STOPS + 2] = { "barrier" };
	char caption[96];

	for (unsigned i = 0; i < s->count; i++)
		heads[i + 1] = b->points[s->at[i].point].program;
	snprintf(caption, sizeof caption, "Each program: %s, to software cards",
		 barriers_metric_names[m]);
	if (folded)
		html_folded_table_begin(f, caption, heads);
	else
		html_table_begin(f, caption, heads);
	for (unsigned row = 0; row < b->n_rows; row++) {
		html_row(f, b->rows[row].label);
		for (unsigned i = 0; i < s->count; i++) {
			unsigned p = s->at[i].point;
			const char *error = "";
			unsigned failed = barriers_failed(b, p, row, &error);
			char text[32];

			if (failed > 0)
				html_cell(f, "worse", "%u FAILED: %s", failed, error);
			else if (row == 0)
				html_cell(f, "same", "1 (%s%s)",
					  html_number(barriers_median(b, p, row, m), text),
					  m == BARRIERS_RSS ? " kB" : " s");
			else
				ratio_cell(f, barriers_ratio(b, p, row, m),
					   barriers_resolution(b, p, m));
		}
		html_row_end(f);
	}
	if (folded)
		html_folded_table_end(f);
	else
		html_table_end(f);
}

static void score_table(FILE *f, const struct barriers *b)
{
	static const char *const heads[] = {
		"ours to software cards",         "<measure",  "less", "more",
		"no difference beyond the noise", "not known", NULL
	};
	static const enum barriers_metric metrics[] = { BARRIERS_CPU, BARRIERS_TOTAL,
							BARRIERS_PAUSED };

	html_table_begin(f, "Of all points: in how many is it less or more?", heads);
	for (unsigned row = 0; row < b->n_rows; row++)
		for (unsigned k = 0; b->rows[row].role == BARRIERS_OURS && k < 3; k++) {
			struct report_barriers_score s = report_barriers_score(b, row, metrics[k]);

			html_row(f, b->rows[row].label);
			html_cell(f, "name", "%s", barriers_metric_names[metrics[k]]);
			html_cell(f, NULL, "%u", s.less);
			html_cell(f, NULL, "%u", s.more);
			html_cell(f, NULL, "%u", s.level);
			html_cell(f, NULL, "%u", s.unknown);
			html_row_end(f);
		}
	html_table_end(f);
}

static void verdict(FILE *f, const struct barriers *b)
{
	fputs("<p>Ratios to software cards (a byte for 512 bytes of heap, set by each store) in "
	      "the "
	      "same block, with 95&#160;% intervals; ~: no difference beyond the noise, which "
	      "the row cards (A/A) shows. pagemap, softdirty, uffd, mprotect and alldirty are this "
	      "library's backends. oracle: an exact list of the objects written, whose store is "
	      "not free. dirty: nothing is known, so all old objects are looked at; the "
	      "same code as alldirty. none: every collection is a full one, and no store is "
	      "watched.</p>\n",
	      f);
	if (barriers_whole_blocks(b, barriers_base(b)) < STAT_MIN_BLOCKS)
		fputs("<p class=\"lacks\">Fewer than three blocks: there are no intervals, and "
		      "nothing here is a difference.</p>\n",
		      f);
	program_table(f, b, BARRIERS_CPU, false);
	score_table(f, b);
	for (unsigned m = 1; m < BARRIERS_METRICS; m++)
		program_table(f, b, (enum barriers_metric)m, true);
}

/* ---- What stands around ------------------------------------------------------------------ */

static void correctness(FILE *f, const struct barriers *b)
{
	unsigned wrong = 0, failed = 0, runs = 0;

	for (unsigned p = 0; p < b->n_points; p++) {
		wrong += !barriers_results_agree(b, p, false);
		for (unsigned row = 0; row < b->n_rows; row++) {
			const char *error;

			failed += barriers_failed(b, p, row, &error);
			for (unsigned i = 0; i < b->blocks; i++)
				runs += barriers_run(b, p, row, i)->ok;
		}
	}
	if (wrong > 0)
		fprintf(f,
			"<p class=\"worse\">WRONG RESULT: in %u of %u points not all barriers "
			"have the same result.</p>\n",
			wrong, b->n_points);
	if (failed > 0)
		fprintf(f, "<p class=\"worse\">%u runs FAILED.</p>\n", failed);
	if (b->interrupted)
		fputs("<p class=\"lacks\">The bench was interrupted; what was done by then is "
		      "here.</p>\n",
		      f);
	fprintf(f,
		"<p>%u points, %u blocks begun, %u runs; the result of each program is the "
		"same with every barrier in %u points.</p>\n",
		b->n_points, b->blocks, runs, b->n_points - wrong);
}

static void raw(FILE *f, const struct barriers *b, const char *file)
{
	fputs("<dl>", f);
	fputs("<dt>Command</dt><dd>", f);
	html_text(f, b->env.command);
	html_printf(f, " (seed %" PRIu64 ")", b->seed);
	fputs("</dd><dt>File</dt><dd>", f);
	html_text(f, file);
	fputs("</dd><dt>Kernel</dt><dd>", f);
	html_text(f, b->env.kernel);
	fputs("</dd><dt>Processor</dt><dd>", f);
	html_printf(f, "%s, %ld online", b->env.cpu, b->env.cpus);
	fputs("</dd><dt>Huge pages</dt><dd>", f);
	html_text(f, b->env.thp);
	fputs("</dd><dt>Load</dt><dd>", f);
	html_printf(f, "%s before, %s after; %.1f %% stolen by the host", b->env.load,
		    b->env.load_after, bench_env_steal_percent(&b->env));
	fputs("</dd><dt>Library</dt><dd>", f);
	html_text(f, b->env.library);
	fputs("</dd><dt>When</dt><dd>", f);
	html_printf(f, "%s to %s", b->env.started, b->env.finished);
	fputs("</dd><dt>Work</dt><dd>", f);
	html_printf(f, "%" PRIu64 " %%", b->work);
	fputs("</dd></dl>\n", f);
}

static void sweeps(FILE *f, const struct barriers *b)
{
	static const struct {
		enum barriers_axis axis;
		const char *title, *what;
	} all[] = {
		{ AXIS_HEAP, "By the size of the heap",
		  "The heap's limit as a multiple of the least with which the program completes." },
		{ AXIS_NURSERY, "By how often it collects",
		  "Bytes allocated between two collections. Stores come as often per byte, so a "
		  "larger nursery also has more of them between two." },
		{ AXIS_OBJECT, "By the size of objects",
		  "As many stores into as much old heap, each into a random word of a random "
		  "object: small ones lie close together, and young ones come to lie beside "
		  "them; of a large one only the written cards are looked at, but by the oracle "
		  "all of it. Making the old objects is part of the cost, and is most of it where "
		  "they are small." },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (b->sweeps[all[i].axis].count == 0)
			continue;
		fprintf(f, "<h3 id=\"barriers-%s\">%s</h3>\n<p>%s ",
			barriers_axis_names[all[i].axis], all[i].title, all[i].what);
		if (all[i].axis == AXIS_HEAP)
			html_printf(f,
				    "That is %.1f MiB for %s, found with software cards to 2 %%; "
				    "it cannot be less than two nurseries.",
				    (double)b->least_heap / 1048576, b->sweep_program);
		fputs("</p>\n", f);
		report_barriers_sweep(f, b, all[i].axis);
	}
}

void report_barriers(FILE *f, const struct barriers *b, const char *file)
{
	char name[96];

	fputs("<section id=\"barriers\"><h2>Write barriers of a small collector</h2>\n<p>", f);
	barriers_point_name(&b->points[barriers_base(b)], name, sizeof name);
	html_printf(f,
		    "minigc, a generational mark-sweep collector for a Lisp, with every barrier. "
		    "Sweeps go through one point: %s.",
		    name);
	fputs("</p>\n<nav aria-label=\"Barriers\"><ul>"
	      "<li><a href=\"#barriers-verdict\">Verdict</a></li>"
	      "<li><a href=\"#barriers-losses\">Where we lose</a></li>",
	      f);
	for (unsigned axis = AXIS_HEAP; axis < AXES; axis++)
		if (b->sweeps[axis].count > 0)
			fprintf(f, "<li><a href=\"#barriers-%s\">%s</a></li>",
				barriers_axis_names[axis],
				axis == AXIS_HEAP      ? "Heap"
				: axis == AXIS_NURSERY ? "Nursery"
				: axis == AXIS_OBJECT  ? "Object size"
						       : "Crossover map");
	fputs("<li><a href=\"#barriers-pauses\">Pauses</a></li>"
	      "<li><a href=\"#barriers-raw\">Machine and raw data</a></li></ul></nav>\n",
	      f);
	fputs("<h3 id=\"barriers-verdict\">Verdict</h3>\n", f);
	correctness(f, b);
	verdict(f, b);
	fputs("<h3 id=\"barriers-losses\">Where we lose</h3>\n", f);
	report_barriers_losses(f, b);
	sweeps(f, b);
	if (b->sweeps[AXIS_MAP].count > 0) {
		fputs("<h3 id=\"barriers-map\">Crossover map</h3>\n", f);
		report_barriers_map(f, b);
	}
	fputs("<h3 id=\"barriers-pauses\">Pauses</h3>\n", f);
	report_barriers_pauses(f, b);
	fputs("<h3 id=\"barriers-raw\">Machine and raw data</h3>\n", f);
	raw(f, b, file);
	fputs("</section>\n", f);
}
