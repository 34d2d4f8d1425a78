/* SPDX-License-Identifier: MIT
 * A results file back into a plan with all its runs. */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

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
	size_t i;
	json_t *o;

	if (json_array_size(rows) == 0 || json_array_size(rows) > MAX_ROWS)
		return false;
	plan->row_count = (unsigned)json_array_size(rows);
	json_array_foreach((json_t *)(uintptr_t)rows, i, o)
	{
		struct bench_row *row = &plan->rows[i];
		const char *role = bench_string_of(o, "role");

		bench_text_of(o, "label", row->label, sizeof row->label);
		row->backend = bench_string_of(o, "backend");
		row->target_ms = bench_number_of(o, "pause_target_ms");
		row->control = strcmp(role, "control") == 0;
		row->peer = strcmp(row->backend, "libgc-mprotect") == 0;
		if (strcmp(role, "reference") == 0)
			plan->ref = (unsigned)i, seen |= 1;
		if (strcmp(role, "stop-the-world") == 0)
			plan->stw = (unsigned)i, seen |= 2;
		if (row->control)
			plan->control = (unsigned)i, seen |= 4;
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
				return "a row or a run is not what it should be";
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
	bench_load_env(json_object_get(root, "environment"), env);
	bench_text_of(root, "command", env->command, sizeof env->command);
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
