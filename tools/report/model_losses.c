/* SPDX-License-Identifier: MIT
 * Where a row of ours is worse than what it is compared with by more than the noise: libgc's
 * own modes, or software cards. Every comparison is made, and none is left out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report/report.h"

enum { SHOWN = 20 }; /* the others are folded away */

struct loss {
	const char *row, *what, *to;
	char where[96];
	struct stat_ratio ratio;
	double resolution;
};

struct losses {
	struct loss *list; /* has room for all comparisons and one more */
	size_t count, compared, unknown;
};

static const char *const metric_names[METRICS] = {
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

/* ---- Finding ---------------------------------------------------------------------------- */

static bool losses_begin(struct losses *l, size_t comparisons)
{
	memset(l, 0, sizeof *l);
	l->list = calloc(comparisons + 1, sizeof *l->list);
	return l->list != NULL;
}

/* Its ratio and resolution are set. The caller fills the rest of the last one in the list, which
 * the next comparison takes if this is no loss. */
static struct loss *consider(struct losses *l, struct stat_ratio ratio, double resolution)
{
	struct loss *loss = &l->list[l->count];

	loss->ratio = ratio;
	loss->resolution = resolution;
	l->compared++;
	if (!stat_known(ratio, resolution))
		l->unknown++;
	else if (ratio.mid > 1 && !stat_same(ratio, resolution))
		l->count++;
	return loss;
}

static int worst_first(const void *a, const void *b)
{
	const struct loss *x = a, *y = b;

	return (x->ratio.mid < y->ratio.mid) - (x->ratio.mid > y->ratio.mid);
}

static json_t *as_json(struct losses *l)
{
	json_t *o =
		json_pack("{s:I, s:I, s:I, s:b, s:[], s:[]}", "count", (json_int_t)l->count,
			  "compared", (json_int_t)l->compared, "unknown", (json_int_t)l->unknown,
			  "nothing_known", l->unknown == l->compared, "worst", "others");

	qsort(l->list, l->count, sizeof *l->list, worst_first);
	for (size_t i = 0; i < l->count; i++) {
		const struct loss *loss = &l->list[i];

		json_array_append_new(
			json_object_get(o, i < SHOWN ? "worst" : "others"),
			json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "row", loss->row, "where",
				  loss->where, "what", loss->what, "to", loss->to, "ratio",
				  model_ratio(loss->ratio, loss->resolution), "resolution",
				  model_cell("", "%.1f %%", 100 * loss->resolution)));
	}
	free(l->list);
	return o;
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

static void compare_row(const struct bench_plan *plan, unsigned k, unsigned row, struct losses *l)
{
	const int others[] = { (int)plan->ref, (int)plan->stw, same_target(plan, row) };
	unsigned metrics = bench_has_latency(plan, k) ? METRICS : METRIC_SERVICE;

	for (unsigned m = 0; m < metrics; m++)
		for (size_t i = 0; i < 3 && others[i] >= 0; i++) {
			enum bench_metric metric = (enum bench_metric)m;
			struct loss *loss =
				consider(l, bench_ratio(plan, k, row, (unsigned)others[i], metric),
					 bench_resolution(plan, k, metric));

			loss->row = plan->rows[row].label;
			loss->what = metric_names[m];
			loss->to = plan->rows[others[i]].label;
			snprintf(loss->where, sizeof loss->where, "%.95s", plan->programs[k].name);
		}
}

json_t *model_losses(const struct bench_plan *plan)
{
	struct losses l;

	if (!losses_begin(&l, (size_t)plan->program_count * plan->row_count * METRICS * 3))
		return json_null();
	for (unsigned k = 0; k < plan->program_count; k++)
		for (unsigned row = 0; row < plan->row_count; row++)
			if (plan->programs[k].left_out[0] == '\0' &&
			    bench_is_ours(&plan->rows[row]))
				compare_row(plan, k, row, &l);
	return as_json(&l);
}

json_t *model_barriers_losses(const struct barriers *b)
{
	struct losses l;

	if (!losses_begin(&l, (size_t)b->n_points * b->n_rows * BARRIERS_METRICS))
		return json_null();
	for (unsigned p = 0; p < b->n_points; p++)
		for (unsigned row = 0; row < b->n_rows; row++)
			for (unsigned m = 0;
			     b->rows[row].role == BARRIERS_OURS && m < BARRIERS_METRICS; m++) {
				enum barriers_metric metric = (enum barriers_metric)m;
				struct loss *loss = consider(&l, barriers_ratio(b, p, row, metric),
							     barriers_resolution(b, p, metric));

				loss->row = b->rows[row].label;
				loss->what = barriers_metric_names[m];
				loss->to = "software cards";
				barriers_point_name(&b->points[p], loss->where, sizeof loss->where);
			}
	return as_json(&l);
}
