/* SPDX-License-Identifier: MIT
 * The results file of barriers. */
#include <inttypes.h>

#include "tools/bench/barriers.h"

const struct bench_field barriers_run_fields[BARRIERS_RUN_FIELDS] = {
	{ "peak_rss_kb", offsetof(struct barriers_run, peak_rss_kb) },
	{ "pauses_cpu_ns", offsetof(struct barriers_run, pauses_cpu_ns) },
	{ "allocated_bytes", offsetof(struct barriers_run, allocated) },
	{ "live_bytes", offsetof(struct barriers_run, live) },
	{ "all_dirty", offsetof(struct barriers_run, all_dirty) },
};

const struct bench_field barriers_point_fields[BARRIERS_POINT_FIELDS] = {
	{ "size", offsetof(struct barriers_point, size) },
	{ "words", offsetof(struct barriers_point, words) },
	{ "objects", offsetof(struct barriers_point, objects) },
	{ "churn", offsetof(struct barriers_point, churn) },
	{ "heap_limit_bytes", offsetof(struct barriers_point, heap_limit) },
	{ "nursery_bytes", offsetof(struct barriers_point, nursery) },
};

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

	bench_put_counts(o, barriers_point_fields, BARRIERS_POINT_FIELDS, p);
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
	json_t *root =
		json_pack("{s:s, s:i, s:s, s:s, s:b, s:s, s:f}", "format", "cardmark-barriers",
			  "version", BARRIERS_VERSION, "command", b->env.command, "preset",
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
	json_object_set_new(root, "environment", bench_env_json(&b->env));
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

bool barriers_write(const struct barriers *b, const char *file)
{
	return bench_write_results(barriers_results_json(b), file,
				   JSON_COMPACT | JSON_REAL_PRECISION(9));
}
