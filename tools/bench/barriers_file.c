/* SPDX-License-Identifier: MIT
 * The results file of barriers, and back into memory. Nothing in a file is believed. */
#include <inttypes.h>
#include <stdlib.h>

#include "tools/bench/barriers.h"

const struct bench_field barriers_run_fields[BARRIERS_RUN_FIELDS] = {
	{ "peak_rss_kb", offsetof(struct barriers_run, peak_rss_kb) },
	{ "pauses_cpu_ns", offsetof(struct barriers_run, pauses_cpu_ns) },
	{ "allocated_bytes", offsetof(struct barriers_run, allocated) },
	{ "live_bytes", offsetof(struct barriers_run, live) },
	{ "all_dirty", offsetof(struct barriers_run, all_dirty) },
};

enum { POINT_FIELDS = 6 };
static const struct bench_field point_fields[POINT_FIELDS] = {
	{ "size", offsetof(struct barriers_point, size) },
	{ "words", offsetof(struct barriers_point, words) },
	{ "objects", offsetof(struct barriers_point, objects) },
	{ "churn", offsetof(struct barriers_point, churn) },
	{ "heap_limit_bytes", offsetof(struct barriers_point, heap_limit) },
	{ "nursery_bytes", offsetof(struct barriers_point, nursery) },
};

/* ---- Out ------------------------------------------------------------------------------ */

/* [full, start, end, phases..., dirty, scanned] */
static json_t *pause_json(const struct barriers_pause *p)
{
	json_t *list = json_array();

	json_array_append_new(list, bench_count_json(p->full));
	json_array_append_new(list, bench_count_json(p->start));
	json_array_append_new(list, bench_count_json(p->end));
	for (unsigned i = 0; i < BARRIERS_PHASES; i++)
		json_array_append_new(list, bench_count_json(p->phase[i]));
	json_array_append_new(list, bench_count_json(p->dirty));
	json_array_append_new(list, bench_count_json(p->scanned));
	return list;
}

static json_t *run_json(const struct barriers_run *run)
{
	json_t *o, *pauses;
	char hash[20];

	if (!run->done)
		return json_null();
	o = json_pack("{s:b, s:f, s:f}", "ok", run->ok, "wall_s", run->wall_s, "cpu_s", run->cpu_s);
	if (!run->ok) {
		json_object_set_new(o, "error", json_string(run->error));
		return o;
	}
	snprintf(hash, sizeof hash, "%016" PRIx64, run->hash);
	json_object_set_new(o, "hash", json_string(hash));
	bench_put_counts(o, barriers_run_fields, BARRIERS_RUN_FIELDS, run);
	pauses = json_array();
	for (size_t i = 0; i < run->n_pauses; i++)
		json_array_append_new(pauses, pause_json(&run->pauses[i]));
	json_object_set_new(o, "pauses_ns", pauses);
	return o;
}

static json_t *point_json(const struct barriers *b, unsigned point, unsigned begun)
{
	const struct barriers_point *p = &b->points[point];
	json_t *o = json_pack("{s:s, s:f}", "program", p->program, "written_percent", p->written);
	json_t *rows = json_array();

	bench_put_counts(o, point_fields, POINT_FIELDS, p);
	json_object_set_new(o, "resolution",
			    bench_number_json(barriers_resolution(b, point, BARRIERS_CPU)));
	json_object_set_new(o, "results_agree",
			    json_boolean(barriers_results_agree(b, point, false)));
	for (unsigned row = 0; row < b->n_rows; row++) {
		json_t *runs = json_array();

		for (unsigned i = 0; i < begun; i++)
			json_array_append_new(runs, run_json(barriers_run(b, point, row, i)));
		json_array_append_new(
			rows,
			json_pack("{s:s, s:o, s:o, s:o}", "label", b->rows[row].label,
				  "cpu_to_cards",
				  bench_ratio_json(barriers_ratio(b, point, row, BARRIERS_CPU)),
				  "total_to_cards",
				  bench_ratio_json(barriers_ratio(b, point, row, BARRIERS_TOTAL)),
				  "runs", runs));
	}
	json_object_set_new(o, "rows", rows);
	return o;
}

static json_t *sweep_json(const struct barriers_sweep *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < s->count; i++)
		json_array_append_new(list, json_pack("{s:f, s:f, s:i}", "x", s->at[i].x, "y",
						      s->at[i].y, "point", (int)s->at[i].point));
	return list;
}

json_t *barriers_results_json(const struct barriers *b)
{
	json_t *root = json_pack("{s:s, s:i, s:s, s:b, s:s, s:f}", "format", "cardmark-barriers",
				 "version", BARRIERS_VERSION, "preset",
				 bench_preset_names[b->preset], "interrupted", b->interrupted,
				 "sweep_program", b->sweep_program, "live_mb", b->live_mb);
	json_t *rows = json_array(), *phases = json_array(), *points = json_array();
	json_t *sweeps = json_object();
	unsigned begun = barriers_begun(b);

	json_object_set_new(root, "seed", bench_count_json(b->seed));
	json_object_set_new(root, "work_percent", bench_count_json(b->work));
	json_object_set_new(root, "blocks", bench_count_json(begun));
	json_object_set_new(root, "least_heap_bytes",
			    b->least_heap > 0 ? bench_count_json(b->least_heap) : json_null());
	bench_put_env(root, &b->env);
	for (unsigned row = 0; row < b->n_rows; row++)
		json_array_append_new(rows,
				      json_pack("{s:s, s:s, s:s, s:s}", "label", b->rows[row].label,
						"barrier", b->rows[row].barrier, "backend",
						b->rows[row].backend, "role",
						barriers_role_names[b->rows[row].role]));
	json_object_set_new(root, "barriers", rows);
	for (unsigned i = 0; i < BARRIERS_PHASES; i++)
		json_array_append_new(phases, json_string(barriers_phase_names[i]));
	json_object_set_new(root, "phases", phases);
	for (unsigned p = 0; p < b->n_points; p++)
		json_array_append_new(points, point_json(b, p, begun));
	json_object_set_new(root, "points", points);
	for (unsigned axis = 0; axis < AXES; axis++)
		json_object_set_new(sweeps, barriers_axis_names[axis],
				    sweep_json(&b->sweeps[axis]));
	json_object_set_new(root, "sweeps", sweeps);
	return root;
}

/* ---- In ------------------------------------------------------------------------------- */

static bool load_pause(const json_t *list, struct barriers_pause *p)
{
	uint64_t v[BARRIERS_PHASES + 5];
	size_t n = sizeof v / sizeof *v;

	if (json_array_size(list) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!bench_count_at(list, i, &v[i]))
			return false;
	p->full = v[0] != 0;
	p->start = v[1];
	p->end = v[2];
	memcpy(p->phase, v + 3, sizeof p->phase);
	p->dirty = v[3 + BARRIERS_PHASES];
	p->scanned = v[4 + BARRIERS_PHASES];
	return p->start <= p->end;
}

static bool load_run(const json_t *o, struct barriers_run *run)
{
	const json_t *pauses = json_object_get(o, "pauses_ns");
	char hash[24];

	if (json_is_null(o))
		return true;
	if (!json_is_boolean(json_object_get(o, "ok")) ||
	    !json_is_number(json_object_get(o, "wall_s")) ||
	    !json_is_number(json_object_get(o, "cpu_s")))
		return false;
	run->done = true;
	run->wall_s = bench_number_of(o, "wall_s");
	run->cpu_s = bench_number_of(o, "cpu_s");
	bench_text_of(o, "error", run->error, sizeof run->error);
	if (!json_is_true(json_object_get(o, "ok")))
		return true;
	bench_text_of(o, "hash", hash, sizeof hash);
	bench_get_counts(o, barriers_run_fields, BARRIERS_RUN_FIELDS, run);
	if (!json_is_array(pauses) || sscanf(hash, "%16" SCNx64, &run->hash) != 1)
		return false;
	run->pauses = calloc(json_array_size(pauses) + 1, sizeof *run->pauses);
	for (size_t i = 0; run->pauses != NULL && i < json_array_size(pauses); i++) {
		if (!load_pause(json_array_get(pauses, i), &run->pauses[i]) ||
		    (i > 0 && run->pauses[i].start < run->pauses[i - 1].end))
			return false;
		run->n_pauses++;
	}
	run->ok = run->pauses != NULL;
	return run->ok;
}

static bool load_rows(const json_t *list, struct barriers *b)
{
	b->n_rows = (unsigned)json_array_size(list);
	if (b->n_rows < 2 || json_array_size(list) > BARRIERS_ROWS)
		return false;
	for (unsigned i = 0; i < b->n_rows; i++) {
		const json_t *o = json_array_get(list, i);
		struct barriers_row *r = &b->rows[i];
		char role[16];

		bench_text_of(o, "label", r->label, sizeof r->label);
		bench_text_of(o, "barrier", r->barrier, sizeof r->barrier);
		bench_text_of(o, "backend", r->backend, sizeof r->backend);
		bench_text_of(o, "role", role, sizeof role);
		r->role = BARRIERS_ROLES;
		for (unsigned k = 0; k < BARRIERS_ROLES; k++)
			if (strcmp(role, barriers_role_names[k]) == 0)
				r->role = (enum barriers_role)k;
		/* The first two are what all is compared with. */
		if (r->role == BARRIERS_ROLES || (i == 0) != (r->role == BARRIERS_REFERENCE) ||
		    (i == 1) != (r->role == BARRIERS_CONTROL))
			return false;
	}
	return true;
}

static bool load_point(const json_t *o, struct barriers *b, unsigned point)
{
	struct barriers_point *p = &b->points[point];
	const json_t *rows = json_object_get(o, "rows");

	bench_text_of(o, "program", p->program, sizeof p->program);
	bench_get_counts(o, point_fields, POINT_FIELDS, p);
	p->written = bench_number_of(o, "written_percent");
	if (json_array_size(rows) != b->n_rows)
		return false;
	for (unsigned row = 0; row < b->n_rows; row++) {
		const json_t *runs = json_object_get(json_array_get(rows, row), "runs");

		if (json_array_size(runs) != b->blocks)
			return false;
		for (unsigned i = 0; i < b->blocks; i++)
			if (!load_run(json_array_get(runs, i), barriers_run(b, point, row, i)))
				return false;
	}
	return true;
}

static bool load_sweep(const json_t *list, const struct barriers *b, struct barriers_sweep *s)
{
	if (!json_is_array(list) || json_array_size(list) > BARRIERS_STOPS)
		return false;
	s->count = (unsigned)json_array_size(list);
	for (unsigned i = 0; i < s->count; i++) {
		const json_t *o = json_array_get(list, i);
		uint64_t point = bench_count_of(o, "point");

		if (!json_is_integer(json_object_get(o, "point")) || point >= b->n_points ||
		    !json_is_number(json_object_get(o, "x")) ||
		    !json_is_number(json_object_get(o, "y")) || bench_number_of(o, "x") < 0 ||
		    bench_number_of(o, "y") < 0)
			return false;
		s->at[i].x = bench_number_of(o, "x");
		s->at[i].y = bench_number_of(o, "y");
		s->at[i].point = (unsigned)point;
	}
	return true;
}

static bool load_root(const json_t *root, struct barriers *b)
{
	const json_t *points = json_object_get(root, "points");
	uint64_t blocks = bench_count_of(root, "blocks");

	if (json_array_size(points) == 0 || json_array_size(points) > BARRIERS_POINTS ||
	    blocks > MAX_BLOCKS || !load_rows(json_object_get(root, "barriers"), b))
		return false;
	b->n_points = (unsigned)json_array_size(points);
	b->blocks = (unsigned)blocks;
	b->seed = bench_count_of(root, "seed");
	b->work = bench_count_of(root, "work_percent");
	b->least_heap = bench_count_of(root, "least_heap_bytes");
	b->live_mb = bench_number_of(root, "live_mb");
	b->interrupted = json_is_true(json_object_get(root, "interrupted"));
	bench_text_of(root, "sweep_program", b->sweep_program, sizeof b->sweep_program);
	bench_get_env(root, &b->env);
	b->runs = calloc((size_t)b->n_points * b->n_rows * b->blocks + 1, sizeof *b->runs);
	if (b->runs == NULL)
		return false;
	for (unsigned p = 0; p < b->n_points; p++)
		if (!load_point(json_array_get(points, p), b, p))
			return false;
	for (unsigned axis = 0; axis < AXES; axis++)
		if (!load_sweep(json_object_get(json_object_get(root, "sweeps"),
						barriers_axis_names[axis]),
				b, &b->sweeps[axis]))
			return false;
	return true;
}

bool barriers_load(const char *file, struct barriers *b)
{
	json_t *root = bench_read_results("report", file, "cardmark-barriers", BARRIERS_VERSION);
	bool good;

	memset(b, 0, sizeof *b);
	if (root == NULL)
		return false;
	good = load_root(root, b);
	if (!good)
		tool_message("report", "%s is damaged: its parts do not fit together", file);
	json_decref(root);
	return good;
}
