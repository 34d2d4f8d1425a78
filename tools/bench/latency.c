/* SPDX-License-Identifier: MIT
 * Latency of the open-loop program: its rate, and its histograms in files. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

/* ---- Files ------------------------------------------------------------------------ */

static json_t *percentile_json(const struct histogram *h, double q)
{
	return bench_latency_knows(h->count, q) ? json_integer((json_int_t)hist_quantile(h, q))
						: json_null();
}

static json_t *kind_json(const struct histogram *h)
{
	json_t *o = json_object(), *buckets = json_array();

	json_object_set_new(o, "count", bench_count_json(h->count));
	json_object_set_new(o, "sum_ns", json_integer((json_int_t)h->sum));
	json_object_set_new(o, "p50_ns", percentile_json(h, 0.5));
	json_object_set_new(o, "p90_ns", percentile_json(h, 0.9));
	json_object_set_new(o, "p99_ns", percentile_json(h, 0.99));
	json_object_set_new(o, "p999_ns", percentile_json(h, 0.999));
	json_object_set_new(o, "max_ns", json_integer((json_int_t)h->max));
	for (unsigned i = 0; i < HIST_SIZE; i++)
		if (h->bucket[i] > 0)
			json_array_append_new(buckets, json_pack("[I, I]", (json_int_t)hist_end(i),
								 (json_int_t)h->bucket[i]));
	json_object_set_new(o, "buckets", buckets);
	return o;
}

json_t *bench_latency_json(const struct bench_latency *l)
{
	json_t *kinds = json_object();

	for (unsigned k = 0; k < LATENCY_KINDS; k++)
		json_object_set_new(kinds, latency_names[k], kind_json(&l->kinds[k]));
	return json_pack("{s:I, s:I, s:o}", "rate_per_s", (json_int_t)l->rate, "served_ns",
			 (json_int_t)l->served_ns, "kinds", kinds);
}

static bool parse_kind(const json_t *o, struct histogram *h)
{
	const json_t *buckets = json_object_get(o, "buckets");
	uint64_t max = bench_count_of(o, "max_ns"), last = 0;

	if (!json_is_array(buckets) || !json_is_integer(json_object_get(o, "count")))
		return false;
	for (size_t i = 0; i < json_array_size(buckets); i++) {
		const json_t *pair = json_array_get(buckets, i);
		uint64_t end, times;

		if (!bench_count_at(pair, 0, &end) || !bench_count_at(pair, 1, &times) ||
		    times == 0)
			return false;
		/* In order, and each at the end of its bucket, or it is of another histogram. */
		if ((i > 0 && end <= last) || hist_bound(end) != end)
			return false;
		last = end;
		hist_add_many(h, end, times);
	}
	if (h->count != bench_count_of(o, "count") || hist_bound(max) != last)
		return false;
	h->max = max;
	h->sum = (double)bench_count_of(o, "sum_ns");
	return true;
}

struct bench_latency *bench_parse_latency(const json_t *o)
{
	const json_t *kinds = json_object_get(o, "kinds");
	struct bench_latency *l = calloc(1, sizeof *l);
	bool good = l != NULL && json_is_object(kinds);

	for (unsigned k = 0; good && k < LATENCY_KINDS; k++)
		good = parse_kind(json_object_get(kinds, latency_names[k]), &l->kinds[k]);
	/* One request, one latency of each kind. */
	for (unsigned k = 0; good && k < LATENCY_KINDS; k++)
		good = k == LATENCY_HICCUP ? l->kinds[k].count <= l->kinds[LATENCY_SIMPLE].count
					   : l->kinds[k].count == l->kinds[LATENCY_SIMPLE].count;
	if (!good) {
		free(l);
		return NULL;
	}
	l->rate = bench_count_of(o, "rate_per_s");
	l->served_ns = bench_count_of(o, "served_ns");
	return l;
}

bool bench_read_latency(const char *path, struct bench_run *out)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (root == NULL) {
		snprintf(out->error, sizeof out->error, "no latency: %.150s", error.text);
		return false;
	}
	out->latency = bench_parse_latency(root);
	if (out->latency == NULL)
		snprintf(out->error, sizeof out->error, "the latency that it wrote is damaged");
	json_decref(root);
	return out->latency != NULL;
}

/* ---- Numbers ------------------------------------------------------------------------ */

static double percentile(const struct histogram *h, double q)
{
	return bench_latency_knows(h->count, q) ? (double)hist_quantile(h, q) : 0;
}

double bench_latency_metric(const struct bench_run *run, enum bench_metric metric)
{
	const struct histogram *open, *simple;

	if (run->latency == NULL)
		return 0;
	simple = &run->latency->kinds[LATENCY_SIMPLE];
	open = &run->latency->kinds[LATENCY_OPEN];
	switch (metric) {
	case METRIC_LATENCY_P50:
		return percentile(open, 0.5);
	case METRIC_LATENCY_P99:
		return percentile(open, 0.99);
	case METRIC_LATENCY_P999:
		return percentile(open, 0.999);
	default:
		return simple->count ? hist_mean(simple) : 0;
	}
}

bool bench_has_latency(const struct bench_plan *plan, unsigned program)
{
	for (unsigned row = 0; row < plan->row_count; row++)
		for (unsigned b = 0; b < plan->programs[program].blocks; b++)
			if (bench_cell(plan, program, row)->runs[b].latency != NULL)
				return true;
	return false;
}

struct bench_latency *bench_pool_latency(const struct bench_plan *plan, unsigned program,
					 unsigned row)
{
	const struct bench_cell *cell = bench_cell(plan, program, row);
	struct bench_latency *pool = NULL;

	for (unsigned b = 0; b < plan->programs[program].blocks; b++) {
		const struct bench_run *r = &cell->runs[b];

		if (!r->ok || r->latency == NULL)
			continue;
		if (pool == NULL)
			pool = calloc(1, sizeof *pool);
		if (pool == NULL)
			return NULL;
		pool->rate = r->latency->rate;
		pool->served_ns += r->latency->served_ns;
		for (unsigned k = 0; k < LATENCY_KINDS; k++)
			hist_merge(&pool->kinds[k], &r->latency->kinds[k]);
	}
	return pool;
}

/* ---- Rate --------------------------------------------------------------------------- */

bool bench_rate_from(struct bench_program *p, const struct bench_run *run)
{
	const struct bench_latency *l = run->ok ? run->latency : NULL;
	double rate, unit;

	if (l == NULL || l->served_ns == 0 || l->kinds[LATENCY_SIMPLE].count == 0)
		return false;
	rate = (double)l->kinds[LATENCY_SIMPLE].count / (double)l->served_ns * 1e9;
	p->closed_rate = (uint64_t)rate;
	/* Half of it, in three digits: a rate to give again. */
	unit = pow(10, floor(log10(rate / 2)) - 2);
	p->rate = (uint64_t)fmax(1, round(rate / 2 / unit) * unit);
	return true;
}
