/* SPDX-License-Identifier: MIT
 * Everything that was measured, for other tools (format "cardmark-bench"). */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tools/bench.h"

/* JSON has no NaN. */
static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *ratio_json(struct stat_ratio r)
{
	return json_pack("{s:o, s:o, s:o}", "mid", number(r.mid), "low", number(r.low), "high",
			 number(r.high));
}

static json_t *run_json(const struct bench_run *r, uint64_t seed)
{
	json_t *o = json_pack("{s:I, s:b, s:f, s:f}", "seed", (json_int_t)seed, "ok", (int)r->ok,
			      "wall_s", r->wall_s, "cpu_s", r->cpu_s);
	json_t *stops;
	char hash[24];

	if (o == NULL || !r->ok) {
		json_object_set_new(o, "error", json_string(r->error));
		return o;
	}
	snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
	stops = json_array();
	for (size_t i = 0; i < r->stop_count; i++)
		json_array_append_new(stops, json_integer((json_int_t)r->stops[i]));
	json_object_set_new(o, "hash", json_string(hash));
	json_object_set_new(o, "mode", json_string(r->mode));
	json_object_set_new(o, "backend", json_string(r->backend));
	json_object_set_new(o, "collections", json_integer((json_int_t)r->collections));
	json_object_set_new(o, "dirty_cards", json_integer((json_int_t)r->dirty_cards));
	json_object_set_new(o, "faults", json_integer((json_int_t)r->faults));
	json_object_set_new(o, "guessed_ranges", json_integer((json_int_t)r->guessed));
	json_object_set_new(o, "all_dirty", json_integer((json_int_t)r->all_dirty));
	json_object_set_new(o, "stop_max_ns", json_integer((json_int_t)r->stop_max));
	json_object_set_new(o, "stop_total_ns", json_integer((json_int_t)r->stop_total));
	json_object_set_new(o, "stall_max_ns", json_integer((json_int_t)r->stall_max));
	json_object_set_new(o, "stops_ns", stops);
	return o;
}

static json_t *row_json(const struct bench_plan *plan, unsigned program, unsigned row)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);
	const struct bench_row *r = &plan->rows[row];
	struct bench_summary s;
	json_t *runs = json_array(), *o;

	bench_summarize(plan, program, row, &s);
	o = json_pack("{s:s, s:s, s:f, s:b, s:i, s:i}", "label", r->label, "backend", r->backend,
		      "pause_target_ms", r->target_ms, "control", (int)r->control, "good",
		      (int)s.good, "failed", (int)s.failed);
	json_object_set_new(o, "total_s", number(s.wall));
	json_object_set_new(o, "cpu_s", number(s.cpu));
	json_object_set_new(o, "stops", json_integer((json_int_t)s.stops));
	json_object_set_new(o, "stop_p50_ms", number(s.p50));
	json_object_set_new(o, "stop_p99_ms", number(s.p99));
	json_object_set_new(o, "stop_max_ms", number(s.max));
	json_object_set_new(o, "stall_max_ms", number(s.stall));
	json_object_set_new(o, "peak_vmas", number(s.vmas));
	json_object_set_new(o, "dirty_cards", number(s.dirty));
	json_object_set_new(o, "collections", number(s.collections));
	json_object_set_new(o, "to_libgc_mprotect", ratio_json(s.to_ref));
	json_object_set_new(o, "to_stop_the_world", ratio_json(s.to_stw));
	for (unsigned b = 0; b < plan->programs[program].blocks; b++)
		json_array_append_new(runs, run_json(&cell->runs[b], plan->seed + b));
	json_object_set_new(o, "runs", runs);
	return o;
}

bool bench_write_json(const struct bench_plan *plan, const struct bench_env *env, const char *file)
{
	json_t *programs = json_array();
	json_t *root =
		json_pack("{s:s, s:i, s:s, s:s, s:s, s:i, s:s, s:s, s:f, s:s, s:I, s:s}", "format",
			  "cardmark-bench", "version", 1, "library", cardmark_version(), "kernel",
			  env->kernel, "cpu", env->cpu, "cpus", (int)env->cpus, "thp", env->thp,
			  "load", env->load, "steal_percent", env->steal_percent, "libgc",
			  env->libgc, "seed", (json_int_t)plan->seed, "command", env->command);
	int err;

	for (unsigned k = 0; k < plan->program_count; k++) {
		const struct bench_program *p = &plan->programs[k];
		json_t *o = json_pack("{s:s}", "name", p->name);

		if (p->left_out[0] != '\0') {
			json_object_set_new(o, "left_out", json_string(p->left_out));
		} else {
			json_t *rows = json_array();

			for (unsigned row = 0; row < plan->row_count; row++)
				json_array_append_new(rows, row_json(plan, k, row));
			json_object_set_new(o, "blocks", json_integer((json_int_t)p->blocks));
			json_object_set_new(o, "work_percent", json_integer((json_int_t)p->work));
			json_object_set_new(o, "resolution", number(bench_resolution(plan, k)));
			json_object_set_new(o, "rows", rows);
		}
		json_array_append_new(programs, o);
	}
	json_object_set_new(root, "programs", programs);
	errno = 0;
	if (strcmp(file, "-") == 0)
		err = json_dumpf(root, stdout, JSON_INDENT(1));
	else
		err = json_dump_file(root, file, JSON_INDENT(1));
	json_decref(root);
	if (err != 0)
		tool_message("bench", "cannot write %s: %s", file,
			     errno ? strerror(errno) : "out of memory");
	return err == 0;
}
