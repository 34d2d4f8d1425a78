/* SPDX-License-Identifier: MIT
 * Pauses of each program with each barrier: as if they were runs of the other bench, so
 * that its charts draw them. */
#include <stdlib.h>

#include "tools/report/report.h"
#include "tools/report/barriers.h"

/* Ids of the page's files are below. */
enum { INDEX = 1000 };

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

static bool fill(const struct barriers *b, struct bench_plan *plan)
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
		plan->programs[k].blocks = b->blocks;
		for (unsigned row = 0; row < plan->row_count; row++)
			for (unsigned i = 0; i < b->blocks; i++)
				if (!fill_run(barriers_run(b, s->at[k].point, rows[row], i),
					      &bench_cell(plan, k, row)->runs[i]))
					return false;
	}
	return true;
}

void report_barriers_pauses(FILE *f, const struct barriers *b)
{
	struct report r = { .f = f, .index = INDEX, .plan = calloc(1, sizeof *r.plan) };

	if (r.plan != NULL && fill(b, r.plan)) {
		report_percentiles(&r);
		fputs("<h3>What is left for the program</h3>\n", f);
		report_utilisation(&r);
	}
	if (r.plan != NULL)
		bench_free_plan(r.plan);
}
