/* SPDX-License-Identifier: MIT
 * From runs to the numbers of a table row. Nothing is dropped as an outlier. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

double bench_metric_of(const struct bench_run *r, enum bench_metric metric)
{
	if (!r->done || !r->ok)
		return 0;
	switch (metric) {
	case METRIC_TOTAL:
		return r->wall_s;
	case METRIC_CPU:
		return r->cpu_s;
	case METRIC_STOP_P50:
		return (double)r->stop_p50;
	case METRIC_STOP_MAX:
		return (double)r->stop_max;
	case METRIC_STALL_MAX:
		return (double)r->stall_max;
	case METRIC_PAUSED:
		return (double)r->stop_total;
	case METRIC_RSS:
		return (double)r->peak_rss_kb;
	case METRIC_SERVICE:
	case METRIC_LATENCY_P50:
	case METRIC_LATENCY_P99:
	case METRIC_LATENCY_P999:
		return bench_latency_metric(r, metric);
	case METRICS:
		break;
	}
	return 0;
}

struct ratio bench_ratio(const struct bench_plan *plan, unsigned program, unsigned row, unsigned to,
			 enum bench_metric metric)
{
	double a[MAX_BLOCKS], b[MAX_BLOCKS];

	for (unsigned i = 0; i < plan->programs[program].blocks; i++) {
		a[i] = bench_metric_of(&bench_cell(plan, program, row)->runs[i], metric);
		b[i] = bench_metric_of(&bench_cell(plan, program, to)->runs[i], metric);
	}
	return ratio_paired(a, b, plan->programs[program].blocks);
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
	out->p50 = sample_median(p50, n);
	out->p99 = sample_median(p99, n);
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
	sample_sort(all, used);
	out->p50 = (double)sample_rank(all, used, 0.50) / 1e6;
	out->p99 = (double)sample_rank(all, used, 0.99) / 1e6;
	free(all);
}

static void add_phases(const struct bench_run *r, struct bench_summary *out)
{
	for (size_t i = 0; i < r->stop_count; i++) {
		for (size_t ph = 0; ph < PHASES; ph++)
			out->phases[ph] += r->phases[i][ph];
		out->paused += r->stops[i];
	}
}

void bench_summarize(const struct bench_plan *plan, unsigned program, unsigned row,
		     struct bench_summary *out)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);
	unsigned blocks = plan->programs[program].blocks;
	double wall[MAX_BLOCKS], cpu[MAX_BLOCKS], dirty[MAX_BLOCKS], gcs[MAX_BLOCKS];
	double rss[MAX_BLOCKS], faults[MAX_BLOCKS], calls[MAX_BLOCKS];
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
		rss[n] = (double)r->peak_rss_kb;
		faults[n] = (double)r->faults;
		calls[n] = (double)r->kernel_calls;
		add_phases(r, out);
		gcs[n++] = (double)r->collections;
	}
	out->good = n;
	if (out->error == NULL && !cell->sampled.ok && cell->sampled.error[0] != '\0')
		out->error = cell->sampled.error;
	out->wall = sample_median(wall, n);
	out->cpu = sample_median(cpu, n);
	out->dirty = sample_median(dirty, n);
	out->collections = sample_median(gcs, n);
	out->rss_kb = sample_median(rss, n);
	out->faults = sample_median(faults, n);
	out->kernel_calls = sample_median(calls, n);
	out->table_kb = cell->sampled.ok ? (double)cell->sampled.peak_table_kb : NAN;
	out->vmas = cell->sampled.ok ? (double)cell->sampled.peak_vmas : NAN;
	pool_stops(cell, blocks, out);
	out->to_ref = bench_ratio(plan, program, row, plan->ref, METRIC_TOTAL);
	out->to_stw = bench_ratio(plan, program, row, plan->stw, METRIC_TOTAL);
	out->cpu_to_ref = bench_ratio(plan, program, row, plan->ref, METRIC_CPU);
	out->cpu_to_stw = bench_ratio(plan, program, row, plan->stw, METRIC_CPU);
}

double bench_resolution(const struct bench_plan *plan, unsigned program, enum bench_metric metric)
{
	return ratio_resolution(bench_ratio(plan, program, plan->control, plan->ref, metric));
}

bool bench_hashes_agree(const struct bench_plan *plan, unsigned program, bool print)
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
			if (!print)
				continue;
			fprintf(stderr,
				"cardmark bench: WRONG RESULT: %s, block %u, %s: hash %016" PRIx64
				", but the block's first is %016" PRIx64 "\n",
				p->name, b + 1, plan->rows[row].label, r->hash, first->hash);
		}
	}
	return agree;
}
