/* SPDX-License-Identifier: MIT
 * From runs to the numbers of a table row. Nothing is dropped as an outlier. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench.h"

/* Wall times by block; 0 where a run failed, which takes the block out of
 * ratios with this row. */
static void walls(const struct bench_plan *plan, unsigned program, unsigned row, double *out)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);

	for (unsigned b = 0; b < plan->programs[program].blocks; b++)
		out[b] = cell->runs[b].ok ? cell->runs[b].wall_s : 0;
}

static struct stat_ratio ratio(const struct bench_plan *plan, unsigned program, unsigned row,
			       unsigned to)
{
	double a[MAX_BLOCKS], b[MAX_BLOCKS];

	walls(plan, program, row, a);
	walls(plan, program, to, b);
	return stat_paired_ratio(a, b, plan->programs[program].blocks, plan->seed);
}

/* Stops of all runs together, where every run has its raw list; else the
 * median of the runs' own percentiles. */
static void pool_stops(const struct bench_cell *cell, unsigned blocks, struct bench_summary *out)
{
	double p50[MAX_BLOCKS], p99[MAX_BLOCKS];
	size_t total = 0, used = 0, n = 0;
	uint64_t *all;

	for (unsigned b = 0; b < blocks; b++) {
		const struct bench_run *r = &cell->runs[b];

		if (!r->ok)
			continue;
		total += r->stop_count;
		p50[n] = (double)r->stop_p50 / 1e6;
		p99[n++] = (double)r->stop_p99 / 1e6;
		if ((double)r->stop_max / 1e6 > out->max)
			out->max = (double)r->stop_max / 1e6;
		if ((double)r->stall_max / 1e6 > out->stall)
			out->stall = (double)r->stall_max / 1e6;
	}
	out->p50 = stat_median(p50, n);
	out->p99 = stat_median(p99, n);
	out->stops = total;
	all = total ? malloc(total * sizeof *all) : NULL;
	if (all == NULL)
		return;
	for (unsigned b = 0; b < blocks; b++) {
		const struct bench_run *r = &cell->runs[b];

		if (!r->ok || r->stop_count == 0)
			continue;
		memcpy(all + used, r->stops, r->stop_count * sizeof *all);
		used += r->stop_count;
	}
	stat_sort(all, used);
	out->p50 = (double)stat_rank(all, used, 0.50) / 1e6;
	out->p99 = (double)stat_rank(all, used, 0.99) / 1e6;
	free(all);
}

void bench_summarize(const struct bench_plan *plan, unsigned program, unsigned row,
		     struct bench_summary *out)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);
	unsigned blocks = plan->programs[program].blocks;
	double wall[MAX_BLOCKS], cpu[MAX_BLOCKS], dirty[MAX_BLOCKS], gcs[MAX_BLOCKS];
	unsigned n = 0;

	memset(out, 0, sizeof *out);
	for (unsigned b = 0; b < blocks; b++) {
		const struct bench_run *r = &cell->runs[b];

		if (!r->ok) {
			out->failed++;
			if (out->error == NULL)
				out->error = r->error;
			continue;
		}
		wall[n] = r->wall_s;
		cpu[n] = r->cpu_s;
		dirty[n] = (double)r->dirty_cards;
		gcs[n++] = (double)r->collections;
	}
	out->good = n;
	if (out->error == NULL && !cell->sampled.ok && cell->sampled.error[0] != '\0')
		out->error = cell->sampled.error;
	out->wall = stat_median(wall, n);
	out->cpu = stat_median(cpu, n);
	out->dirty = stat_median(dirty, n);
	out->collections = stat_median(gcs, n);
	out->vmas = cell->sampled.ok ? (double)cell->sampled.peak_vmas : NAN;
	pool_stops(cell, blocks, out);
	out->to_ref = ratio(plan, program, row, plan->ref);
	out->to_stw = ratio(plan, program, row, plan->stw);
}

double bench_resolution(const struct bench_plan *plan, unsigned program)
{
	return stat_resolution(ratio(plan, program, plan->control, plan->ref));
}

bool bench_hashes_agree(const struct bench_plan *plan, unsigned program)
{
	const struct bench_program *p = &plan->programs[program];
	bool agree = true;

	for (unsigned b = 0; b < p->blocks; b++) {
		const struct bench_run *first = NULL;

		for (unsigned row = 0; row < plan->row_count; row++) {
			const struct bench_run *r = &bench_cell(plan, program, row)->runs[b];

			if (!r->has_hash)
				continue;
			if (first == NULL)
				first = r;
			if (r->hash == first->hash)
				continue;
			agree = false;
			fprintf(stderr,
				"cardmark bench: WRONG RESULT: %s, block %u, %s: hash %016" PRIx64
				", but the block's first is %016" PRIx64 "\n",
				p->name, b + 1, plan->rows[row].label, r->hash, first->hash);
		}
	}
	return agree;
}
