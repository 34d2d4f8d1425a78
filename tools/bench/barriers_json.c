/* SPDX-License-Identifier: MIT
 * The results file of --barriers. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/bench/barriers.h"

static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *count(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *ratio_json(struct stat_ratio r)
{
	return json_pack("{s:o, s:o, s:o}", "mid", number(r.mid), "low", number(r.low), "high",
			 number(r.high));
}

/* [full, start, end, phases..., dirty, scanned] */
static json_t *pause_json(const struct barriers_pause *p)
{
	json_t *list = json_array();

	json_array_append_new(list, count(p->full));
	json_array_append_new(list, count(p->start));
	json_array_append_new(list, count(p->end));
	for (unsigned i = 0; i < BARRIERS_PHASES; i++)
		json_array_append_new(list, count(p->phase[i]));
	json_array_append_new(list, count(p->dirty));
	json_array_append_new(list, count(p->scanned));
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
	json_object_set_new(o, "peak_rss_kb", count(run->peak_rss_kb));
	json_object_set_new(o, "pauses_cpu_ns", count(run->pauses_cpu_ns));
	json_object_set_new(o, "allocated_bytes", count(run->allocated));
	json_object_set_new(o, "live_bytes", count(run->live));
	json_object_set_new(o, "all_dirty", count(run->all_dirty));
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

	json_object_set_new(o, "size", count(p->size));
	json_object_set_new(o, "words", count(p->words));
	json_object_set_new(o, "objects", count(p->objects));
	json_object_set_new(o, "churn", count(p->churn));
	json_object_set_new(o, "heap_limit_bytes", count(p->heap_limit));
	json_object_set_new(o, "nursery_bytes", count(p->nursery));
	json_object_set_new(o, "resolution", number(barriers_resolution(b, point, BARRIERS_CPU)));
	json_object_set_new(o, "results_agree",
			    json_boolean(barriers_results_agree(b, point, false)));
	for (unsigned row = 0; row < b->n_rows; row++) {
		json_t *runs = json_array();

		for (unsigned i = 0; i < begun; i++)
			json_array_append_new(runs, run_json(barriers_run(b, point, row, i)));
		json_array_append_new(
			rows, json_pack("{s:s, s:o, s:o, s:o}", "label", b->rows[row].label,
					"cpu_to_cards",
					ratio_json(barriers_ratio(b, point, row, BARRIERS_CPU)),
					"total_to_cards",
					ratio_json(barriers_ratio(b, point, row, BARRIERS_TOTAL)),
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

static json_t *barriers_json(const struct barriers *b)
{
	static const char *const presets[] = {
		[PRESET_QUICK] = "quick", [PRESET_STANDARD] = "standard", [PRESET_FULL] = "full"
	};
	json_t *root =
		json_pack("{s:s, s:i, s:s, s:s, s:b, s:s, s:f}", "format", "cardmark-barriers",
			  "version", BARRIERS_VERSION, "command", b->env.command, "preset",
			  presets[b->preset], "interrupted", b->interrupted, "sweep_program",
			  b->sweep_program, "live_mb", b->live_mb);
	json_t *rows = json_array(), *phases = json_array(), *points = json_array();
	json_t *sweeps = json_object();
	unsigned begun = barriers_begun(b);

	json_object_set_new(root, "seed", count(b->seed));
	json_object_set_new(root, "work_percent", count(b->work));
	json_object_set_new(root, "blocks", count(begun));
	json_object_set_new(root, "least_heap_bytes",
			    b->least_heap > 0 ? count(b->least_heap) : json_null());
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
	size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
	json_t *root = barriers_json(b);
	char beside[TOOL_PATH];
	bool good;

	errno = 0;
	if (strcmp(file, "-") == 0) {
		good = json_dumpf(root, stdout, flags) == 0;
	} else {
		/* Never half a file, whatever ends us. */
		int n = snprintf(beside, sizeof beside, "%s.new", file);

		good = n > 0 && n < TOOL_PATH && json_dump_file(root, beside, flags) == 0 &&
		       rename(beside, file) == 0;
	}
	json_decref(root);
	if (!good)
		tool_message("bench", "cannot write %s: %s", file,
			     errno != 0 ? strerror(errno) : "out of memory");
	return good;
}
