/* SPDX-License-Identifier: MIT
 * The data for the templates of the write barriers: their results file, and its tables. A
 * table has heads and groups. A group has a name, its noise, and rows; a row has a label and
 * cells. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/report/report.h"

/* ---- Tables ----------------------------------------------------------------------------- */

enum figure { RATIO, MEDIAN, DIRTY };

static json_t *figure_of(const struct barriers *b, unsigned p, unsigned row, enum figure figure,
			 enum barriers_metric m)
{
	const char *error = "";
	unsigned failed = barriers_failed(b, p, row, &error);
	char text[RATIO_TEXT];

	if (failed > 0 && figure == RATIO)
		return model_cell("worse", "%u FAILED: %s", failed, error);
	if (figure == MEDIAN)
		return bench_number_json(barriers_median(b, p, row, m));
	if (figure == DIRTY)
		return bench_number_json(barriers_dirty(b, p, row));
	if (row == 0)
		return model_cell("same", "1 (%s%s)",
				  number_text(barriers_median(b, p, row, m), text),
				  m == BARRIERS_RSS ? " kB" : " s");
	return model_ratio(barriers_ratio(b, p, row, m), barriers_resolution(b, p, m),
			   b->rows[row].role == BARRIERS_OURS);
}

/* noise: a cell for each head, or none. */
static void add_group(json_t *table, const char *name, json_t *noise, json_t *rows)
{
	json_array_append_new(
		json_object_get(table, "groups"),
		json_pack("{s:s, s:o, s:o}", "name", name, "noise", noise, "rows", rows));
}

static void add_row(json_t *rows, const char *label, json_t *cells)
{
	json_array_append_new(rows, json_pack("{s:s, s:o}", "label", label, "cells", cells));
}

/* A row for each barrier, except the repetition of the reference, which is the noise. */
static void add_barriers(json_t *table, const struct barriers *b, enum barriers_axis axis,
			 enum figure figure, enum barriers_metric m, const char *name)
{
	const struct barriers_sweep *s = &b->sweeps[axis];
	json_t *rows = json_array(), *noise = json_array();

	for (unsigned i = 0; i < s->count && figure == RATIO; i++)
		json_array_append_new(noise,
				      model_noise(barriers_resolution(b, s->at[i].point, m)));
	for (unsigned row = 0; row < b->n_rows; row++) {
		json_t *cells = json_array();

		for (unsigned i = 0; i < s->count; i++)
			json_array_append_new(cells, figure_of(b, s->at[i].point, row, figure, m));
		if (b->rows[row].role != BARRIERS_CONTROL)
			add_row(rows, b->rows[row].label, json_incref(cells));
		json_decref(cells);
	}
	add_group(table, name, noise, rows);
}

static json_t *table_of(const struct barriers *b, enum barriers_axis axis)
{
	json_t *table = json_pack("{s:i, s:[], s:[]}", "i", (int)axis, "heads", "groups");

	for (unsigned i = 0; i < b->sweeps[axis].count; i++) {
		char name[48];

		barriers_stop_name(b, axis, i, name, sizeof name);
		json_array_append_new(json_object_get(table, "heads"), json_string(name));
	}
	return table;
}

static json_t *sweep(const struct barriers *b, enum barriers_axis axis)
{
	json_t *table = table_of(b, axis);

	if (b->sweeps[axis].count == 0) {
		json_decref(table);
		return json_null();
	}
	add_barriers(table, b, axis, MEDIAN, BARRIERS_CPU, "processor time, s");
	for (unsigned m = BARRIERS_CPU; m <= BARRIERS_PAUSED; m++)
		add_barriers(table, b, axis, RATIO, m, barriers_metric_names[m]);
	add_barriers(table, b, axis, DIRTY, BARRIERS_CPU,
		     "dirty cards (oracle: objects) in a young collection");
	return table;
}

/* ---- The map ---------------------------------------------------------------------------- */

/* The cheapest barrier at a point, with software cards or without; the ones level with it, and
 * the next. */
static json_t *least(const struct barriers *b, unsigned p, enum barriers_metric m, bool with_cards)
{
	struct barriers_winner w = barriers_winner(b, p, m, with_cards);
	double resolution = barriers_resolution(b, p, m);
	char level[160] = "", next[80] = "", of[80] = "", ratio[RATIO_TEXT];
	size_t used = 0;

	if (w.row >= b->n_rows)
		return model_cell("same", "-");
	for (unsigned row = 0; row < b->n_rows && used < sizeof level; row++)
		if (w.tied[row])
			used += (size_t)snprintf(level + used, sizeof level - used, "%s%s",
						 used > 0 ? ", " : "; level: ", b->rows[row].label);
	if (!isnan(w.next.mid))
		snprintf(next, sizeof next, "; next: %s %s", b->rows[w.next_row].label,
			 ratio_text(w.next, resolution, 2, ratio));
	if (w.row != 0)
		snprintf(of, sizeof of, " %s of cards",
			 ratio_text(barriers_ratio(b, p, w.row, m), resolution, 2, ratio));
	snprintf(ratio, sizeof ratio, "tile %s", chart_look(b->rows[w.row].label));
	return model_cell(ratio, "%s%s%s%s%s", w.ties > 0 ? "~" : "", b->rows[w.row].label, of,
			  level, next);
}

/* A row for each size of the heap; the points are in this order. */
static void add_map(json_t *table, const struct barriers *b, enum barriers_metric m, bool cards)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_MAP];
	json_t *rows = json_array(), *cells = NULL;
	char text[80];

	for (unsigned i = 0; i < s->count; i++) {
		if (i == 0 || s->at[i].y > s->at[i - 1].y) {
			snprintf(text, sizeof text, "%g MiB live", s->at[i].y);
			cells = json_array();
			add_row(rows, text, cells);
		}
		json_array_append_new(cells, least(b, s->at[i].point, m, cards));
	}
	snprintf(text, sizeof text, "%s%s", barriers_metric_names[m],
		 cards ? "" : ", other than software cards");
	add_group(table, text, json_array(), rows);
}

static json_t *map(const struct barriers *b)
{
	const struct barriers_sweep *s = &b->sweeps[AXIS_MAP];
	json_t *table = s->count > 0 ? json_pack("{s:[], s:[]}", "heads", "groups") : json_null();

	for (unsigned i = 0; i < s->count && s->at[i].y <= s->at[0].y; i++)
		json_array_append_new(json_object_get(table, "heads"),
				      json_sprintf("%g %% written", s->at[i].x));
	for (unsigned i = 0; s->count > 0 && i < 4; i++)
		add_map(table, b, i < 2 ? BARRIERS_CPU : BARRIERS_TOTAL, i % 2 == 0);
	return table;
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
	json_t *root = barriers_results_json(b);
	json_t *verdict = table_of(b, AXIS_PROGRAM), *others = table_of(b, AXIS_PROGRAM);
	unsigned base = barriers_base(b);
	char name[96];

	barriers_point_name(&b->points[base], name, sizeof name);
	model_environment(root, &b->env);
	json_object_set_new(root, "file", json_string(file));
	json_object_set_new(root, "base", json_string(name));
	json_object_set_new(root, "least_heap",
			    model_cell("", "%.1f MiB", (double)b->least_heap / 1048576));
	json_object_set_new(root, "no_intervals",
			    json_boolean(barriers_whole_blocks(b, base) < RATIO_MIN_BLOCKS));
	count_runs(b, root);
	for (unsigned m = 0; m < BARRIERS_METRICS; m++)
		add_barriers(m == BARRIERS_CPU ? verdict : others, b, AXIS_PROGRAM, RATIO,
			     (enum barriers_metric)m, barriers_metric_names[m]);
	json_object_set_new(root, "verdict", verdict);
	json_object_set_new(root, "others", others);
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
	/* Left empty: the phases of the barriers are different ones. */
	to->phases = calloc(from->n_pauses + 1, sizeof *to->phases);
	if (to->stops == NULL || to->pauses == NULL || to->phases == NULL)
		return false;
	to->stop_count = barriers_stops(from, to->pauses);
	for (size_t i = 0; i < to->stop_count; i++)
		to->stops[i] = to->pauses[i].end - to->pauses[i].start;
	sample_sort(to->stops, to->stop_count);
	to->stop_max = sample_rank(to->stops, to->stop_count, 1);
	/* A collection runs completely inside an allocation. */
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
