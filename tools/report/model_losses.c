/* SPDX-License-Identifier: MIT
 * Finds where a row of ours is worse, by more than the noise, than libgc's own modes or software
 * cards. It makes every comparison. */
#include <math.h>
#include <stdlib.h>

#include "tools/report/report.h"

/* Results of some comparisons. */
struct counts {
	unsigned compared, less, more, level, unknown;
	struct ratio worst;
	double resolution; /* of the worst */
};

/* True: it is the worst up to now. A ratio beyond the noise is worse than one within it. */
static bool compare(struct counts *c, struct ratio ratio, double resolution)
{
	bool known = ratio_known(ratio, resolution), same = ratio_same(ratio, resolution);
	bool more = known && !same && ratio.mid > 1, lost = c->more > 0;

	c->unknown += !known;
	c->level += known && same;
	c->more += more;
	c->less += known && !same && !more;
	if (c->compared++ > 0 && !isnan(c->worst.mid) &&
	    (more == lost ? !(ratio.mid > c->worst.mid) : lost))
		return false;
	c->worst = ratio;
	c->resolution = resolution;
	return true;
}

static json_t *losses_of(const struct counts *c, json_t *list)
{
	return json_pack("{s:i, s:i, s:i, s:b, s:o}", "count", c->more, "compared", c->compared,
			 "unknown", c->unknown, "nothing_known", c->unknown == c->compared, "list",
			 list);
}

/* ---- Of the programs ---------------------------------------------------------------------- */

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

/* A row with a pause target is also compared with libgc with the same target. */
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

/* A line if one of the three is a loss, or NULL. */
static json_t *compare_row(const struct bench_plan *plan, unsigned k, unsigned row, unsigned m,
			   struct counts *all)
{
	const int others[] = { (int)plan->stw, (int)plan->ref, same_target(plan, row) };
	double resolution = bench_resolution(plan, k, (enum bench_metric)m);
	struct counts here = { .compared = 0 };
	json_t *ratios = json_array(), *line = NULL;

	for (size_t i = 0; i < 3; i++) {
		struct ratio r;

		if (others[i] < 0) {
			json_array_append_new(ratios, json_null());
			continue;
		}
		r = bench_ratio(plan, k, row, (unsigned)others[i], (enum bench_metric)m);
		compare(&here, r, resolution);
		compare(all, r, resolution);
		json_array_append_new(ratios, model_ratio(r, resolution, true));
	}
	if (here.more > 0)
		line = json_pack("{s:s, s:s, s:s, s:O, s:f}", "row", plan->rows[row].label, "where",
				 plan->programs[k].name, "what", metric_names[m], "ratios", ratios,
				 "worst", here.worst.mid);
	json_decref(ratios);
	return line;
}

static int worst_first(const void *a, const void *b)
{
	double x = json_real_value(json_object_get(*(json_t *const *)a, "worst"));
	double y = json_real_value(json_object_get(*(json_t *const *)b, "worst"));

	return (x < y) - (x > y);
}

json_t *model_losses(const struct bench_plan *plan)
{
	json_t *lines[MAX_PROGRAMS * MAX_ROWS * METRICS] = { NULL }, *list = json_array();
	struct counts all = { .compared = 0 };
	size_t n = 0;

	for (unsigned k = 0; k < plan->program_count; k++) {
		unsigned metrics = bench_has_latency(plan, k) ? METRICS : METRIC_SERVICE;

		for (unsigned row = 0; row < plan->row_count; row++)
			for (unsigned m = 0; plan->programs[k].left_out[0] == '\0' &&
					     bench_is_ours(&plan->rows[row]) && m < metrics;
			     m++) {
				lines[n] = compare_row(plan, k, row, m, &all);
				n += lines[n] != NULL;
			}
	}
	qsort(lines, n, sizeof *lines, worst_first);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, lines[i]);
	return losses_of(&all, list);
}

/* ---- Of the barriers ---------------------------------------------------------------------- */

/* Every point, and the worst one. */
static json_t *compare_barrier(const struct barriers *b, unsigned row, enum barriers_metric m,
			       struct counts *all)
{
	struct counts here = { .compared = 0 };
	char where[96] = "";

	for (unsigned p = 0; p < b->n_points; p++) {
		struct ratio r = barriers_ratio(b, p, row, m);
		double resolution = barriers_resolution(b, p, m);

		compare(all, r, resolution);
		if (compare(&here, r, resolution))
			barriers_point_name(&b->points[p], where, sizeof where);
	}
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:s}", "row", b->rows[row].label,
			 "what", barriers_metric_names[m], "less", here.less, "more", here.more,
			 "level", here.level, "unknown", here.unknown, "worst",
			 model_ratio(here.worst, here.resolution, true), "where", where);
}

json_t *model_barriers_losses(const struct barriers *b)
{
	struct counts all = { .compared = 0 };
	json_t *list = json_array();

	for (unsigned row = 0; row < b->n_rows; row++)
		for (unsigned m = 0; b->rows[row].role == BARRIERS_OURS && m < BARRIERS_METRICS;
		     m++)
			json_array_append_new(
				list, compare_barrier(b, row, (enum barriers_metric)m, &all));
	return losses_of(&all, list);
}
