/* SPDX-License-Identifier: MIT
 * What the templates of the write barriers see: their results file, and its tables. A table is
 * a caption, heads, and rows of a label and cells. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/report/report.h"

static json_t *table_of(const char *caption)
{
	return json_pack("{s:s, s:[], s:[]}", "caption", caption, "heads", "rows");
}

static void add_row(json_t *table, const char *label, json_t *cells)
{
	json_array_append_new(json_object_get(table, "rows"),
			      json_pack("{s:s, s:o}", "label", label, "cells", cells));
}

/* ---- Along an axis ---------------------------------------------------------------------- */

enum figure { RATIO, MEDIAN, DIRTY };

static json_t *figure_of(const struct barriers *b, unsigned p, unsigned row, enum figure figure,
			 enum barriers_metric m)
{
	const char *error = "";
	unsigned failed = barriers_failed(b, p, row, &error);
	char text[STAT_TEXT];

	if (failed > 0 && figure == RATIO)
		return model_cell("worse", "%u FAILED: %s", failed, error);
	if (figure == MEDIAN)
		return bench_number_json(barriers_median(b, p, row, m));
	if (figure == DIRTY)
		return bench_number_json(barriers_dirty(b, p, row));
	if (row == 0)
		return model_cell("same", "1 (%s%s)",
				  stat_number_text(barriers_median(b, p, row, m), text),
				  m == BARRIERS_RSS ? " kB" : " s");
	return model_ratio(barriers_ratio(b, p, row, m), barriers_resolution(b, p, m));
}

static json_t *axis_table(const struct barriers *b, enum barriers_axis axis, enum figure figure,
			  enum barriers_metric m, const char *caption)
{
	const struct barriers_sweep *s = &b->sweeps[axis];
	json_t *table = table_of(caption);

	for (unsigned i = 0; i < s->count; i++) {
		char name[48];

		barriers_stop_name(b, axis, i, name, sizeof name);
		json_array_append_new(json_object_get(table, "heads"), json_string(name));
	}
	for (unsigned row = 0; row < b->n_rows; row++) {
		json_t *cells = json_array();

		for (unsigned i = 0; i < s->count; i++)
			json_array_append_new(cells, figure_of(b, s->at[i].point, row, figure, m));
		add_row(table, b->rows[row].label, cells);
	}
	return table;
}

static json_t *program_table(const struct barriers *b, enum barriers_metric m)
{
	char caption[96];

	snprintf(caption, sizeof caption, "Each program: %s, to software cards",
		 barriers_metric_names[m]);
	return axis_table(b, AXIS_PROGRAM, RATIO, m, caption);
}

static json_t *sweep(const struct barriers *b, enum barriers_axis axis)
{
	if (b->sweeps[axis].count == 0)
		return json_null();
	return json_pack(
		"{s:i, s:[o, o, o, o, o]}", "i", (int)axis, "tables",
		axis_table(b, axis, MEDIAN, BARRIERS_CPU, "Processor time, s"),
		axis_table(b, axis, RATIO, BARRIERS_CPU, "Processor time to software cards"),
		axis_table(b, axis, RATIO, BARRIERS_TOTAL, "Total time to software cards"),
		axis_table(b, axis, RATIO, BARRIERS_PAUSED,
			   "All pauses together, to software cards"),
		axis_table(b, axis, DIRTY, BARRIERS_CPU,
			   "Dirty cards (oracle: objects) in a young collection"));
}

/* ---- Less or more ----------------------------------------------------------------------- */

/* In how many points a row of ours costs less than software cards, more, or neither. */
static json_t *score(const struct barriers *b, unsigned row, enum barriers_metric m)
{
	int less = 0, more = 0, level = 0, unknown = 0;

	for (unsigned p = 0; p < b->n_points; p++) {
		struct stat_ratio r = barriers_ratio(b, p, row, m);
		double resolution = barriers_resolution(b, p, m);

		if (!stat_known(r, resolution))
			unknown++;
		else if (stat_same(r, resolution))
			level++;
		else if (r.mid < 1)
			less++;
		else
			more++;
	}
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i}", "label", b->rows[row].label, "measure",
			 barriers_metric_names[m], "less", less, "more", more, "level", level,
			 "unknown", unknown);
}

static json_t *scores(const struct barriers *b)
{
	static const enum barriers_metric metrics[] = { BARRIERS_CPU, BARRIERS_TOTAL,
							BARRIERS_PAUSED };
	json_t *list = json_array();

	for (unsigned row = 0; row < b->n_rows; row++)
		for (unsigned i = 0; b->rows[row].role == BARRIERS_OURS && i < 3; i++)
			json_array_append_new(list, score(b, row, metrics[i]));
	return list;
}

/* ---- The map ---------------------------------------------------------------------------- */

static json_t *level_with(const struct barriers *b, const struct barriers_winner *w)
{
	char text[256] = "-";
	size_t used = 0;

	for (unsigned row = 0; w->row < b->n_rows && row < b->n_rows && used < sizeof text; row++)
		if (w->tied[row])
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%s",
						 used > 0 ? ", " : "", b->rows[row].label);
	return model_cell("words", "%s", text);
}

/* The least at a stop: with software cards or without. */
static json_t *least(const struct barriers *b, unsigned p, enum barriers_metric m, bool with_cards)
{
	struct barriers_winner w = barriers_winner(b, p, m, with_cards);
	double resolution = barriers_resolution(b, p, m);
	bool known = w.row < b->n_rows, next = known && !isnan(w.next.mid);
	char ratio[STAT_TEXT];

	return json_pack(
		"{s:o, s:o, s:o, s:o, s:o}", "least",
		model_cell("name", "%s%s", w.ties > 0 ? "~" : "",
			   known ? b->rows[w.row].label : "-"),
		"level", level_with(b, &w), "next",
		model_cell("name", "%s", next ? b->rows[w.next_row].label : "-"), "next_ratio",
		model_cell("", "%s", next ? stat_ratio_text(w.next, resolution, 2, ratio) : "-"),
		"ratio",
		!known       ? model_cell("same", "-")
		: w.row == 0 ? model_cell("same", "1")
			     : model_ratio(barriers_ratio(b, p, w.row, m), resolution));
}

static json_t *map(const struct barriers *b)
{
	static const enum barriers_metric metrics[] = { BARRIERS_CPU, BARRIERS_TOTAL };
	const struct barriers_sweep *s = &b->sweeps[AXIS_MAP];
	json_t *list = json_array();

	for (unsigned i = 0; s->count > 0 && i < 2; i++) {
		json_t *stops = json_array();

		for (unsigned at = 0; at < s->count; at++) {
			unsigned p = s->at[at].point;
			char name[64];

			barriers_stop_name(b, AXIS_MAP, at, name, sizeof name);
			json_array_append_new(
				stops, json_pack("{s:s, s:o, s:o, s:o}", "label", name, "written",
						 bench_number_json(b->points[p].written), "all",
						 least(b, p, metrics[i], true), "other",
						 least(b, p, metrics[i], false)));
		}
		json_array_append_new(
			list,
			json_pack("{s:i, s:o, s:o, s:o}", "i", (int)metrics[i], "all_caption",
				  model_cell("", "Least %s", barriers_metric_names[metrics[i]]),
				  "other_caption",
				  model_cell("", "Least %s, other than software cards",
					     barriers_metric_names[metrics[i]]),
				  "stops", stops));
	}
	return list;
}

/* ---- All of it -------------------------------------------------------------------------- */

static void count_runs(const struct barriers *b, json_t *root)
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
	json_object_set_new(root, "n_points", json_integer(b->n_points));
	json_object_set_new(root, "wrong", json_integer(wrong));
	json_object_set_new(root, "right", json_integer(b->n_points - wrong));
	json_object_set_new(root, "failed", json_integer(failed));
	json_object_set_new(root, "good_runs", json_integer(runs));
}

json_t *model_barriers(const struct barriers *b, const char *file, const struct report *pauses)
{
	json_t *root = barriers_results_json(b), *others = json_array();
	unsigned base = barriers_base(b);
	char name[96];

	barriers_point_name(&b->points[base], name, sizeof name);
	model_environment(root, &b->env);
	json_object_set_new(root, "file", json_string(file));
	json_object_set_new(root, "base", json_string(name));
	json_object_set_new(root, "least_heap",
			    model_cell("", "%.1f MiB", (double)b->least_heap / 1048576));
	json_object_set_new(root, "no_intervals",
			    json_boolean(barriers_whole_blocks(b, base) < STAT_MIN_BLOCKS));
	count_runs(b, root);
	json_object_set_new(root, "verdict", program_table(b, BARRIERS_CPU));
	for (unsigned m = 0; m < BARRIERS_METRICS; m++)
		if (m != BARRIERS_CPU)
			json_array_append_new(others, program_table(b, (enum barriers_metric)m));
	json_object_set_new(root, "others", others);
	json_object_set_new(root, "scores", scores(b));
	json_object_set_new(root, "losses", model_barriers_losses(b));
	json_object_set_new(root, "heap", sweep(b, AXIS_HEAP));
	json_object_set_new(root, "nursery", sweep(b, AXIS_NURSERY));
	json_object_set_new(root, "object", sweep(b, AXIS_OBJECT));
	json_object_set_new(root, "map", map(b));
	json_object_set_new(root, "pauses",
			    pauses->plan != NULL ? model_file(pauses) : json_null());
	return root;
}

/* ---- Pauses ----------------------------------------------------------------------------- */

static bool fill_run(const struct barriers_run *from, struct bench_run *to)
{
	to->done = from->done;
	to->ok = from->ok;
	to->wall_s = from->wall_s;
	to->cpu_s = from->cpu_s;
	if (!from->ok)
		return true;
	to->stops = calloc(from->n_pauses + 1, sizeof *to->stops);
	to->pauses = calloc(from->n_pauses + 1, sizeof *to->pauses);
	/* Not asked for: its phases are others. */
	to->phases = calloc(from->n_pauses + 1, sizeof *to->phases);
	if (to->stops == NULL || to->pauses == NULL || to->phases == NULL)
		return false;
	to->stop_count = barriers_stops(from, to->pauses);
	for (size_t i = 0; i < to->stop_count; i++)
		to->stops[i] = to->pauses[i].end - to->pauses[i].start;
	stat_sort(to->stops, to->stop_count);
	to->stop_max = stat_rank(to->stops, to->stop_count, 1);
	/* A collection happens inside an allocation, and the whole of it does. */
	to->stall_max = to->stop_max;
	return true;
}

static bool fill_plan(const struct barriers *b, struct bench_plan *plan)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_PROGRAM];
	unsigned rows[BARRIERS_ROWS];

	for (unsigned row = 0; row < b->n_rows; row++)
		if (barriers_distinct(b, row)) {
			rows[plan->row_count] = row;
			snprintf(plan->rows[plan->row_count].label, sizeof plan->rows[0].label,
				 "%s", b->rows[row].label);
			plan->rows[plan->row_count++].backend = "";
		}
	plan->program_count = s->count < MAX_PROGRAMS ? s->count : MAX_PROGRAMS;
	plan->cells =
		calloc((size_t)plan->program_count * plan->row_count + 1, sizeof *plan->cells);
	if (plan->cells == NULL)
		return false;
	for (unsigned k = 0; k < plan->program_count; k++) {
		plan->programs[k].name = b->points[s->at[k].point].program;
		plan->programs[k].what = "";
		plan->programs[k].blocks = b->blocks;
		for (unsigned row = 0; row < plan->row_count; row++)
			for (unsigned i = 0; i < b->blocks; i++)
				if (!fill_run(barriers_run(b, s->at[k].point, rows[row], i),
					      &bench_cell(plan, k, row)->runs[i]))
					return false;
	}
	return true;
}

bool barriers_as_file(const struct barriers *b, struct report *out)
{
	out->file = "";
	out->plan = calloc(1, sizeof *out->plan);
	if (out->plan == NULL)
		return false;
	out->plan->best = "";
	return fill_plan(b, out->plan);
}
