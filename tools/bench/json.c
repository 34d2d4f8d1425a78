/* SPDX-License-Identifier: MIT
 * Everything that was measured, for other tools (format "cardmark-bench",
 * docs/bench.schema.json). */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "tools/bench/bench.h"

/* JSON has no NaN. */
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

static const char *role(const struct bench_plan *plan, unsigned row)
{
	return plan->rows[row].control           ? "control"
	       : row == plan->ref                ? "reference"
	       : row == plan->stw                ? "stop-the-world"
	       : bench_is_ours(&plan->rows[row]) ? "ours"
						 : "peer";
}

static json_t *summary_json(const struct bench_summary *s)
{
	json_t *o = json_pack("{s:i, s:i}", "good", (int)s->good, "failed", (int)s->failed);

	json_object_set_new(o, "total_s", number(s->wall));
	json_object_set_new(o, "cpu_s", number(s->cpu));
	json_object_set_new(o, "stops", count(s->stops));
	json_object_set_new(o, "stop_p50_ms", number(s->p50));
	json_object_set_new(o, "stop_p99_ms", number(s->p99));
	json_object_set_new(o, "stop_max_ms", number(s->max));
	json_object_set_new(o, "stall_max_ms", number(s->stall));
	json_object_set_new(o, "peak_vmas", number(s->vmas));
	json_object_set_new(o, "peak_page_table_kb", number(s->table_kb));
	json_object_set_new(o, "peak_rss_kb", number(s->rss_kb));
	json_object_set_new(o, "dirty_cards", number(s->dirty));
	json_object_set_new(o, "collections", number(s->collections));
	json_object_set_new(o, "to_libgc_mprotect", ratio_json(s->to_ref));
	json_object_set_new(o, "to_stop_the_world", ratio_json(s->to_stw));
	json_object_set_new(o, "cpu_to_libgc_mprotect", ratio_json(s->cpu_to_ref));
	json_object_set_new(o, "cpu_to_stop_the_world", ratio_json(s->cpu_to_stw));
	return o;
}

static json_t *row_json(const struct bench_plan *plan, unsigned program, unsigned row)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);
	const struct bench_row *r = &plan->rows[row];
	json_t *runs = json_array(), *o;
	struct bench_summary s;

	bench_summarize(plan, program, row, &s);
	o = json_pack("{s:s, s:s, s:f, s:s}", "label", r->label, "backend", r->backend,
		      "pause_target_ms", r->target_ms, "role", role(plan, row));
	json_object_set_new(o, "summary", summary_json(&s));
	for (unsigned b = 0; b < plan->programs[program].blocks; b++)
		json_array_append_new(runs, bench_run_json(&cell->runs[b], plan->seed + b));
	json_object_set_new(o, "runs", runs);
	json_object_set_new(o, "sampled",
			    cell->sampled.done ? bench_run_json(&cell->sampled, plan->seed)
					       : json_null());
	json_object_set_new(o, "verified",
			    cell->verified.done ? bench_run_json(&cell->verified, plan->seed)
						: json_null());
	return o;
}

static json_t *program_json(const struct bench_plan *plan, unsigned k)
{
	const struct bench_program *p = &plan->programs[k];
	json_t *o = json_pack("{s:s, s:s}", "name", p->name, "what", p->what);
	json_t *rows = json_array();

	if (p->left_out[0] != '\0') {
		json_object_set_new(o, "left_out", json_string(p->left_out));
		json_decref(rows);
		return o;
	}
	for (unsigned row = 0; row < plan->row_count; row++)
		json_array_append_new(rows, row_json(plan, k, row));
	json_object_set_new(o, "blocks", count(p->blocks));
	json_object_set_new(o, "work_percent", count(p->work));
	if (p->rate > 0)
		json_object_set_new(o, "rate_per_s", count(p->rate));
	if (p->closed_rate > 0)
		json_object_set_new(o, "closed_loop_per_s", count(p->closed_rate));
	json_object_set_new(o, "resolution", number(bench_resolution(plan, k, METRIC_TOTAL)));
	json_object_set_new(o, "hashes_agree", json_boolean(bench_hashes_agree(plan, k, false)));
	json_object_set_new(o, "rows", rows);
	return o;
}

json_t *bench_env_json(const struct bench_env *env)
{
	json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kernel",
			      env->kernel, "cpu", env->cpu, "cpus", (int)env->cpus, "thp", env->thp,
			      "libgc", env->libgc, "library", env->library, "load_before",
			      env->load, "load_after", env->load_after, "started", env->started,
			      "finished", env->finished);

	json_object_set_new(o, "steal_ticks_before", count(env->steal_before));
	json_object_set_new(o, "steal_ticks_after", count(env->steal_after));
	json_object_set_new(o, "steal_ticks", count(env->steal));
	json_object_set_new(o, "total_ticks", count(env->total));
	json_object_set_new(o, "steal_percent", number(bench_env_steal_percent(env)));
	return o;
}

bool bench_write_json(const struct bench_plan *plan, const struct bench_env *env, const char *file)
{
	json_t *programs = json_array();
	json_t *root = json_pack("{s:s, s:i, s:s, s:I, s:s, s:f, s:i}", "format", "cardmark-bench",
				 "version", BENCH_VERSION, "command", env->command, "seed",
				 (json_int_t)plan->seed, "best", plan->best, "pause_target_ms",
				 plan->target_ms, "resumed", (int)plan->resumed);
	size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
	int err;

	json_object_set_new(root, "live_mb", count(plan->live_mb));
	json_object_set_new(root, "environment", bench_env_json(env));
	for (unsigned k = 0; k < plan->program_count; k++)
		json_array_append_new(programs, program_json(plan, k));
	json_object_set_new(root, "programs", programs);
	errno = 0;
	if (strcmp(file, "-") == 0)
		err = json_dumpf(root, stdout, flags);
	else
		err = json_dump_file(root, file, flags);
	json_decref(root);
	if (err != 0)
		tool_message("bench", "cannot write %s: %s", file,
			     errno ? strerror(errno) : "out of memory");
	return err == 0;
}
