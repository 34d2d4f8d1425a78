/* SPDX-License-Identifier: MIT
 * Where one of our rows is worse than libgc's own by more than the noise. Every
 * comparison is made for every row and program, and none is left out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

static const char *const names[METRICS] = {
	[METRIC_TOTAL] = "total time",
	[METRIC_CPU] = "processor time",
	[METRIC_STOP_P50] = "median stop",
	[METRIC_STOP_MAX] = "longest stop",
	[METRIC_STALL_MAX] = "longest stall",
	[METRIC_PAUSED] = "all stops together",
	[METRIC_RSS] = "peak memory",
	[METRIC_SERVICE] = "mean service time",
	[METRIC_LATENCY_P50] = "median latency",
	[METRIC_LATENCY_P99] = "99 % latency",
	[METRIC_LATENCY_P999] = "99.9 % latency",
};

static int worst_first(const void *a, const void *b)
{
	const struct report_loss *x = a, *y = b;

	return (x->ratio.mid < y->ratio.mid) - (x->ratio.mid > y->ratio.mid);
}

static void consider(const struct bench_plan *plan, unsigned program, unsigned row, unsigned to,
		     enum bench_metric metric, struct report_losses *out)
{
	struct report_loss *loss = &out->list[out->count];

	loss->program = plan->programs[program].name;
	loss->row = plan->rows[row].label;
	loss->metric = names[metric];
	loss->to = plan->rows[to].label;
	loss->ratio = bench_ratio(plan, program, row, to, metric);
	loss->resolution = bench_resolution(plan, program, metric);
	out->compared++;
	if (isnan(loss->ratio.mid) || isinf(loss->ratio.high) || !isfinite(loss->resolution))
		out->unknown++;
	else if (loss->ratio.mid > 1 && !stat_same(loss->ratio, loss->resolution))
		out->count++;
}

/* With a pause target, against libgc with the same one too. */
static int same_target(const struct bench_plan *plan, unsigned row)
{
	for (unsigned i = 0; i < plan->row_count; i++) {
		const struct bench_row *r = &plan->rows[i];

		if (r->peer && r->target_ms > 0 && !(r->target_ms < plan->rows[row].target_ms) &&
		    !(r->target_ms > plan->rows[row].target_ms))
			return (int)i;
	}
	return -1;
}

bool report_find_losses(const struct bench_plan *plan, struct report_losses *out)
{
	size_t most = (size_t)plan->program_count * plan->row_count * METRICS * 3;

	memset(out, 0, sizeof *out);
	/* One more, where the last one that is no loss is made up. */
	out->list = calloc(most + 1, sizeof *out->list);
	if (out->list == NULL)
		return false;
	for (unsigned k = 0; k < plan->program_count; k++)
		for (unsigned row = 0; row < plan->row_count; row++) {
			int peer = same_target(plan, row);

			if (plan->programs[k].left_out[0] != '\0' ||
			    !bench_is_ours(&plan->rows[row]))
				continue;
			for (unsigned m = 0; m < METRICS; m++) {
				if (m >= METRIC_SERVICE && !bench_has_latency(plan, k))
					break;
				consider(plan, k, row, plan->ref, (enum bench_metric)m, out);
				consider(plan, k, row, plan->stw, (enum bench_metric)m, out);
				if (peer >= 0)
					consider(plan, k, row, (unsigned)peer, (enum bench_metric)m,
						 out);
			}
		}
	qsort(out->list, out->count, sizeof *out->list, worst_first);
	return true;
}
