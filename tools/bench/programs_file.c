/* SPDX-License-Identifier: MIT
 * The results file of programs (format "cardmark-bench", docs/bench.schema.json): writes everything
 * that was measured, and reads it back into a plan with all its runs. */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

/* ---- Out ------------------------------------------------------------------------------ */

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
	if (r->libgc != NULL)
		json_object_set_new(o, "libgc", json_string(r->libgc));
	for (unsigned b = 0; b < plan->programs[program].blocks; b++)
		json_array_append_new(runs, bench_run_json(&cell->runs[b], plan->seed + b));
	json_object_set_new(o, "summary", summary_json(&s));
	json_object_set_new(o, "runs", runs);
	json_object_set_new(o, "sampled", bench_run_json(&cell->sampled, plan->seed));
	json_object_set_new(o, "verified", bench_run_json(&cell->verified, plan->seed));
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
	json_t *root = json_pack("{s:s, s:i, s:I, s:s, s:f, s:i, s:I}", "format", "cardmark-bench",
				 "version", BENCH_VERSION, "seed", (json_int_t)plan->seed, "best",
				 plan->best, "pause_target_ms", plan->target_ms, "resumed",
				 (int)plan->resumed, "live_mb", (json_int_t)plan->live_mb);

	bench_put_env(root, env);
	for (unsigned k = 0; k < plan->program_count; k++)
		json_array_append_new(programs, program_json(plan, k));
	json_object_set_new(root, "programs", programs);
	return root;
}

/* ---- In ------------------------------------------------------------------------------- */

void bench_free_plan(struct bench_plan *plan)
{
	for (unsigned k = 0; plan->cells != NULL && k < plan->program_count; k++)
		for (unsigned row = 0; row < plan->row_count; row++) {
			struct bench_cell *cell = bench_cell(plan, k, row);

			bench_free_run(&cell->sampled);
			bench_free_run(&cell->verified);
			for (unsigned b = 0; b < MAX_BLOCKS; b++)
				bench_free_run(&cell->runs[b]);
		}
	free(plan->cells);
	json_decref(plan->source);
	free(plan);
}

/* The rows of the first program that ran; the others must have the same. */
static bool load_rows(const json_t *rows, struct bench_plan *plan)
{
	unsigned seen = 0;

	if (json_array_size(rows) == 0 || json_array_size(rows) > MAX_ROWS)
		return false;
	plan->row_count = (unsigned)json_array_size(rows);
	for (unsigned i = 0; i < plan->row_count; i++) {
		const json_t *o = json_array_get(rows, i);
		struct bench_row *row = &plan->rows[i];
		const char *role = bench_string_of(o, "role");

		bench_text_of(o, "label", row->label, sizeof row->label);
		row->backend = bench_string_of(o, "backend");
		row->libgc = json_string_value(json_object_get(o, "libgc"));
		row->target_ms = bench_number_of(o, "pause_target_ms");
		row->control = strcmp(role, "control") == 0;
		row->peer = strncmp(row->backend, "libgc-", 6) == 0;
		if (strcmp(role, "reference") == 0)
			plan->ref = i, seen |= 1;
		if (strcmp(role, "stop-the-world") == 0)
			plan->stw = i, seen |= 2;
		if (row->control)
			plan->control = i, seen |= 4;
	}
	return seen == 7;
}

static bool load_cell(const json_t *o, const struct bench_row *row, unsigned blocks,
		      struct bench_cell *cell)
{
	const json_t *runs = json_object_get(o, "runs");
	const json_t *sampled = json_object_get(o, "sampled");
	const json_t *verified = json_object_get(o, "verified");

	if (strcmp(bench_string_of(o, "label"), row->label) != 0 || json_array_size(runs) != blocks)
		return false;
	for (unsigned b = 0; b < blocks; b++)
		if (!bench_parse_run(json_array_get(runs, b), &cell->runs[b]))
			return false;
	return (!json_is_object(sampled) || bench_parse_run(sampled, &cell->sampled)) &&
	       (!json_is_object(verified) || bench_parse_run(verified, &cell->verified));
}

/* What is wrong, or NULL. */
static const char *load_programs(const json_t *programs, struct bench_plan *plan)
{
	size_t n = json_array_size(programs);

	if (n == 0 || n > MAX_PROGRAMS)
		return "it has no programs, or too many";
	plan->program_count = (unsigned)n;
	for (size_t k = 0; k < n; k++) {
		const json_t *o = json_array_get(programs, k);
		struct bench_program *p = &plan->programs[k];

		p->name = bench_string_of(o, "name");
		p->what = bench_string_of(o, "what");
		bench_text_of(o, "left_out", p->left_out, sizeof p->left_out);
		p->work = bench_count_of(o, "work_percent");
		p->rate = bench_count_of(o, "rate_per_s");
		p->closed_rate = bench_count_of(o, "closed_loop_per_s");
		p->open_loop = p->rate > 0;
		if (bench_count_of(o, "blocks") > MAX_BLOCKS)
			return "it has too many blocks";
		p->blocks = (unsigned)bench_count_of(o, "blocks");
		if (p->left_out[0] == '\0' && plan->row_count == 0 &&
		    !load_rows(json_object_get(o, "rows"), plan))
			return "its rows are incomplete";
	}
	plan->cells = calloc(n * (plan->row_count + 1), sizeof *plan->cells);
	if (plan->cells == NULL)
		return "out of memory";
	for (unsigned k = 0; k < n; k++) {
		const json_t *rows = json_object_get(json_array_get(programs, k), "rows");

		if (plan->programs[k].left_out[0] != '\0')
			continue;
		if (json_array_size(rows) != plan->row_count)
			return "its programs have different rows";
		for (unsigned row = 0; row < plan->row_count; row++)
			if (!load_cell(json_array_get(rows, row), &plan->rows[row],
				       plan->programs[k].blocks, bench_cell(plan, k, row)))
				return "a row or a run has values of a wrong kind";
	}
	return NULL;
}

bool bench_load(const char *sub, const char *file, struct bench_plan *plan, struct bench_env *env)
{
	json_t *root = bench_read_results(sub, file, "cardmark-bench", BENCH_VERSION);
	const char *why;

	if (root == NULL)
		return false;
	plan->source = root;
	bench_get_env(root, env);
	plan->seed = bench_count_of(root, "seed");
	plan->live_mb = bench_count_of(root, "live_mb");
	plan->best = bench_string_of(root, "best");
	plan->target_ms = bench_number_of(root, "pause_target_ms");
	plan->resumed = (unsigned)bench_count_of(root, "resumed");
	why = load_programs(json_object_get(root, "programs"), plan);
	if (why != NULL)
		tool_message(sub, "%s: %s", file, why);
	return why == NULL;
}
