/* SPDX-License-Identifier: MIT
 * Everything that was measured, for other tools (format "cardmark-bench",
 * docs/bench.schema.json). */
#include "tools/bench/programs.h"

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

	json_object_set_new(o, "total_s", bench_number_json(s->wall));
	json_object_set_new(o, "cpu_s", bench_number_json(s->cpu));
	json_object_set_new(o, "stops", bench_count_json(s->stops));
	json_object_set_new(o, "stop_p50_ms", bench_number_json(s->p50));
	json_object_set_new(o, "stop_p99_ms", bench_number_json(s->p99));
	json_object_set_new(o, "stop_max_ms", bench_number_json(s->max));
	json_object_set_new(o, "stall_max_ms", bench_number_json(s->stall));
	json_object_set_new(o, "peak_vmas", bench_number_json(s->vmas));
	json_object_set_new(o, "peak_page_table_kb", bench_number_json(s->table_kb));
	json_object_set_new(o, "peak_rss_kb", bench_number_json(s->rss_kb));
	json_object_set_new(o, "dirty_cards", bench_number_json(s->dirty));
	json_object_set_new(o, "collections", bench_number_json(s->collections));
	json_object_set_new(o, "to_libgc_mprotect", bench_ratio_json(s->to_ref));
	json_object_set_new(o, "to_stop_the_world", bench_ratio_json(s->to_stw));
	json_object_set_new(o, "cpu_to_libgc_mprotect", bench_ratio_json(s->cpu_to_ref));
	json_object_set_new(o, "cpu_to_stop_the_world", bench_ratio_json(s->cpu_to_stw));
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
	json_object_set_new(o, "blocks", bench_count_json(p->blocks));
	json_object_set_new(o, "work_percent", bench_count_json(p->work));
	if (p->rate > 0)
		json_object_set_new(o, "rate_per_s", bench_count_json(p->rate));
	if (p->closed_rate > 0)
		json_object_set_new(o, "closed_loop_per_s", bench_count_json(p->closed_rate));
	json_object_set_new(o, "resolution",
			    bench_number_json(bench_resolution(plan, k, METRIC_TOTAL)));
	json_object_set_new(o, "hashes_agree", json_boolean(bench_hashes_agree(plan, k, false)));
	json_object_set_new(o, "rows", rows);
	return o;
}

json_t *bench_results_json(const struct bench_plan *plan, const struct bench_env *env)
{
	json_t *programs = json_array();
	json_t *root = json_pack("{s:s, s:i, s:s, s:I, s:s, s:f, s:i}", "format", "cardmark-bench",
				 "version", BENCH_VERSION, "command", env->command, "seed",
				 (json_int_t)plan->seed, "best", plan->best, "pause_target_ms",
				 plan->target_ms, "resumed", (int)plan->resumed);

	json_object_set_new(root, "live_mb", bench_count_json(plan->live_mb));
	json_object_set_new(root, "environment", bench_env_json(env));
	for (unsigned k = 0; k < plan->program_count; k++)
		json_array_append_new(programs, program_json(plan, k));
	json_object_set_new(root, "programs", programs);
	return root;
}

bool bench_write_json(const struct bench_plan *plan, const struct bench_env *env, const char *file)
{
	return bench_write_results(bench_results_json(plan, env), file,
				   JSON_COMPACT | JSON_REAL_PRECISION(9));
}
