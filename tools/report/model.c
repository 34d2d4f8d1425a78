/* SPDX-License-Identifier: MIT
 * The data for the templates of the programs: the results file, with summaries computed again from
 * its runs, and the other values that the page shows. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "tools/report/report.h"

/* ---- Values ----------------------------------------------------------------------------- */

static json_t *quantile(const struct times *t, double q)
{
	return bench_latency_knows(t->count, q) ? bench_number_json(times_quantile(t, q))
						: model_cell("same", "too few");
}

static json_t *quantiles(const struct times *t)
{
	return json_pack("[o, o, o, o]", quantile(t, 0.5), quantile(t, 0.9), quantile(t, 0.99),
			 quantile(t, 0.999));
}

/* ---- A row ------------------------------------------------------------------------------ */

/* Names of metrics in templates. */
static const char *const metrics[METRICS] = {
	[METRIC_TOTAL] = "total",
	[METRIC_CPU] = "cpu",
	[METRIC_STOP_P50] = "stop_p50",
	[METRIC_STOP_MAX] = "stop_max",
	[METRIC_STALL_MAX] = "stall_max",
	[METRIC_PAUSED] = "paused",
	[METRIC_RSS] = "rss",
	[METRIC_SERVICE] = "service",
	[METRIC_LATENCY_P50] = "latency_p50",
	[METRIC_LATENCY_P99] = "latency_p99",
	[METRIC_LATENCY_P999] = "latency_p999",
};

static json_t *ratios(const struct report *r, unsigned k, unsigned row, unsigned to)
{
	json_t *o = json_object();

	for (unsigned m = 0; m < METRICS; m++) {
		enum bench_metric metric = (enum bench_metric)m;

		json_object_set_new(o, metrics[m],
				    row == to
					    ? model_cell("", "1")
					    : model_ratio(bench_ratio(r->plan, k, row, to, metric),
							  bench_resolution(r->plan, k, metric),
							  bench_is_ours(&r->plan->rows[row])));
	}
	return o;
}

static json_t *missed(const struct bench_run *verified)
{
	if (!verified->done)
		return model_cell("name", "not checked");
	if (!verified->ok || !verified->has_missed)
		return model_cell("worse name", "the check failed: %s", verified->error);
	return model_cell(verified->missed ? "worse name" : "better name",
			  "%" PRIu64 " missed; %" PRIu64 " pages changed", verified->missed,
			  verified->verify_changed);
}

static json_t *stops(const struct report *r, unsigned k, unsigned row, double stall)
{
	size_t n;
	uint64_t *v = report_stops(r, k, row, &n);
	struct times t = { .count = n, .sorted = v };
	json_t *o = json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)n, "quantiles",
			      quantiles(&t), "longest",
			      bench_number_json(n > 0 ? times_quantile(&t, 1) : NAN), "stall",
			      bench_number_json(n > 0 ? stall : NAN));

	free(v);
	return o;
}

/* The phases of the mean stop in ms, and the rest of it. Returns the sum; 0 without stops. */
static double phase_parts(const struct report *r, unsigned k, unsigned row, double out[PHASES + 1])
{
	struct bench_summary s;
	double sum = 0;

	bench_summarize(r->plan, k, row, &s);
	for (unsigned i = 0; i < PHASES; i++) {
		out[i] = s.stops > 0 ? (double)s.phases[i] / (double)s.stops / 1e6 : NAN;
		sum += out[i];
	}
	out[PHASES] = s.stops > 0 ? fmax((double)s.paused / (double)s.stops / 1e6 - sum, 0) : NAN;
	return s.stops > 0 ? sum + out[PHASES] : 0;
}

static json_t *phases(const struct report *r, unsigned k, unsigned row)
{
	double parts[PHASES + 1], longest = 0;
	json_t *list = json_array();

	for (unsigned i = 0; i < r->plan->row_count; i++)
		longest = fmax(longest, phase_parts(r, k, i, parts));
	phase_parts(r, k, row, parts);
	for (unsigned i = 0; i <= PHASES; i++)
		json_array_append_new(list, json_pack("{s:o, s:o}", "ms",
						      bench_number_json(parts[i]), "width",
						      bench_number_json(parts[i] / longest * 100)));
	return list;
}

static json_t *shares(const struct report *r, unsigned k, unsigned row)
{
	double v[UTILISATION_WINDOWS];
	json_t *list = json_array();

	utilisation(r, k, row, v);
	for (unsigned w = 0; w < UTILISATION_WINDOWS; w++)
		json_array_append_new(list, isnan(v[w]) ? model_cell("same", "-")
							: model_cell("", "%.0f", v[w]));
	return list;
}

/* The median number of faults that the kernel resolved by itself. */
static double minor_faults(const struct report *r, unsigned k, unsigned row)
{
	const struct bench_cell *cell = bench_cell(r->plan, k, row);
	double v[MAX_BLOCKS];
	unsigned n = 0;

	for (unsigned b = 0; b < r->plan->programs[k].blocks; b++)
		if (cell->runs[b].ok)
			v[n++] = (double)cell->runs[b].minor_faults;
	return sample_median(v, n);
}

static void add_to_row(const struct report *r, unsigned k, unsigned row, json_t *o)
{
	const struct bench_cell *cell = bench_cell(r->plan, k, row);
	bool ours = bench_is_ours(&r->plan->rows[row]);
	struct bench_summary s;

	bench_summarize(r->plan, k, row, &s);
	for (unsigned i = 0; i < r->plan->programs[k].blocks; i++)
		json_object_set_new(json_array_get(json_object_get(o, "runs"), i), "n_stops",
				    json_integer((json_int_t)cell->runs[i].stop_count));
	json_object_set_new(o, "i", json_integer(row));
	json_object_set_new(o, "look", json_string(chart_look(r->plan->rows[row].label)));
	json_object_set_new(o, "error", json_string(s.error != NULL ? s.error : ""));
	json_object_set_new(o, "to_ref", ratios(r, k, row, r->plan->ref));
	json_object_set_new(o, "to_stw", ratios(r, k, row, r->plan->stw));
	json_object_set_new(o, "stops_a_run", bench_number_json((double)s.stops / s.good));
	json_object_set_new(o, "rss_mib", bench_number_json(s.rss_kb / 1024));
	json_object_set_new(o, "dirty", bench_number_json(ours ? s.dirty : NAN));
	json_object_set_new(o, "faults", bench_number_json(ours ? s.faults : NAN));
	json_object_set_new(o, "minor_faults", bench_number_json(minor_faults(r, k, row)));
	json_object_set_new(o, "kernel_calls", bench_number_json(ours ? s.kernel_calls : NAN));
	json_object_set_new(o, "stops", stops(r, k, row, s.stall));
	json_object_set_new(o, "phases", phases(r, k, row));
	json_object_set_new(o, "utilisation", shares(r, k, row));
}

/* ---- Latency ---------------------------------------------------------------------------- */

static json_t *latency_row(const char *label, const struct bench_latency *pool,
			   enum latency_kind kind)
{
	struct times t = times_of(label, pool, kind);

	return json_pack("{s:s, s:I, s:o, s:o, s:o}", "label", label, "count", (json_int_t)t.count,
			 "mean",
			 bench_number_json(t.count > 0 ? hist_mean(t.histogram) / 1e6 : NAN),
			 "quantiles", quantiles(&t), "longest",
			 bench_number_json(t.count > 0 ? times_quantile(&t, 1) : NAN));
}

/* The rows of each kind. Also puts all kinds into each row, as "latency". */
static json_t *latency(const struct report *r, unsigned k, json_t *rows)
{
	json_t *kinds = json_array(), *all;

	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		json_array_append_new(kinds, json_pack("{s:i, s:s, s:[]}", "i", (int)kind, "title",
						       latency_titles[kind], "rows"));
	for (unsigned row = 0; report_next(r, &row); row++) {
		struct bench_latency *pool = bench_pool_latency(r->plan, k, row);

		all = json_array();
		for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
			json_t *o = latency_row(r->plan->rows[row].label, pool,
						(enum latency_kind)kind);

			json_array_append(json_object_get(json_array_get(kinds, kind), "rows"), o);
			json_array_append_new(all, o);
		}
		json_object_set_new(json_array_get(rows, row), "latency", all);
		free(pool);
	}
	return kinds;
}

/* ---- A program, and a file -------------------------------------------------------------- */

/* The main result: our row with a pause target, or our first row. */
static json_t *headline(const struct report *r, unsigned k)
{
	const struct bench_row *rows = r->plan->rows, *best = NULL;
	struct bench_summary s, stw;
	unsigned row;

	for (unsigned i = 0; i < r->plan->row_count; i++)
		if (bench_is_ours(&rows[i]) &&
		    (best == NULL || (rows[i].target_ms > 0 && best->target_ms <= 0)))
			best = &rows[i];
	if (best == NULL)
		return json_null();
	row = (unsigned)(best - rows);
	bench_summarize(r->plan, k, row, &s);
	bench_summarize(r->plan, k, r->plan->stw, &stw);
	return json_pack("{s:o, s:o, s:o, s:o}", "way",
			 best->target_ms > 0 ? model_cell("", "%s with a %g ms target",
							  best->backend, best->target_ms)
					     : model_cell("", "%s", best->label),
			 "longest", bench_number_json(s.good > 0 ? s.max : NAN), "instead",
			 bench_number_json(stw.good > 0 ? stw.max : NAN), "total",
			 model_ratio(s.to_stw, bench_resolution(r->plan, k, METRIC_TOTAL), true));
}

static json_t *noise(const struct report *r, unsigned k)
{
	json_t *o = json_object();

	for (unsigned m = 0; m < METRICS; m++)
		json_object_set_new(
			o, metrics[m],
			model_noise(bench_resolution(r->plan, k, (enum bench_metric)m)));
	return o;
}

/* Counts the runs of all rows, and adds the results of the checked ones. */
static void add_checks(const struct report *r, unsigned k, json_t *o)
{
	json_t *checks = json_array();
	unsigned good = 0, failed = 0;

	for (unsigned row = 0; row < r->plan->row_count; row++) {
		struct bench_summary s;

		bench_summarize(r->plan, k, row, &s);
		good += s.good;
		failed += s.failed;
		if (bench_is_ours(&r->plan->rows[row]))
			json_array_append_new(checks,
					      missed(&bench_cell(r->plan, k, row)->verified));
	}
	json_object_set_new(o, "good", json_integer(good));
	json_object_set_new(o, "failed", model_cell(failed > 0 ? "worse" : "", "%u", failed));
	json_object_set_new(o, "checks", checks);
	json_object_set_new(o, "results",
			    json_is_true(json_object_get(o, "hashes_agree"))
				    ? model_cell("better name", "one result in each block")
				    : model_cell("worse name", "WRONG RESULT: runs of one block "
							       "have different results"));
}

/* A program that ran. */
static void add_to_program(const struct report *r, unsigned k, json_t *o)
{
	double resolution = bench_resolution(r->plan, k, METRIC_TOTAL);
	json_t *rows = json_object_get(o, "rows");
	bool open_loop = bench_has_latency(r->plan, k);

	json_object_set_new(o, "k", json_integer(k));
	json_object_set_new(o, "headline", headline(r, k));
	json_object_set_new(o, "noise", noise(r, k));
	json_object_set_new(
		o, "resolution",
		isfinite(resolution) ? model_cell("", "noise %.1f %%", 100 * resolution)
		: isnan(resolution)
			? model_cell("", "the noise is not known, because the reference "
					 "or its repetition failed: no times can be "
					 "compared")
			: model_cell("", "the noise is not known, because there are too "
					 "few blocks: no times can be compared"));
	for (unsigned row = 0; row < json_array_size(rows); row++)
		add_to_row(r, k, row, json_array_get(rows, row));
	add_checks(r, k, o);
	json_object_set_new(o, "open_loop", json_boolean(open_loop));
	if (open_loop)
		json_object_set_new(o, "kinds", latency(r, k, rows));
	/* The repetition has runs, but is not a way of collecting. */
	json_object_set_new(o, "every", json_copy(rows));
	for (unsigned row = r->plan->row_count; row-- > 0;)
		if (r->plan->rows[row].control)
			json_array_remove(rows, row);
}

json_t *model_file(const struct report *r)
{
	json_t *root = bench_results_json(r->plan, &r->env), *ran = json_array();
	json_t *windows = json_array(), *ours = json_array();
	bool has_latency = false, verified = false;

	for (unsigned k = 0; k < r->plan->program_count; k++) {
		json_t *program = json_array_get(json_object_get(root, "programs"), k);

		if (!report_ran(r, k))
			continue;
		add_to_program(r, k, program);
		json_array_append(ran, program);
		has_latency = has_latency || bench_has_latency(r->plan, k);
		for (unsigned row = 0; row < r->plan->row_count; row++)
			verified = verified || bench_cell(r->plan, k, row)->verified.done;
	}
	for (unsigned w = 0; w < UTILISATION_WINDOWS; w++)
		json_array_append_new(windows, json_sprintf("%g ms", utilisation_ms[w]));
	for (unsigned row = 0; row < r->plan->row_count; row++)
		if (bench_is_ours(&r->plan->rows[row]))
			json_array_append_new(
				ours, json_sprintf("<writes missed, %s", r->plan->rows[row].label));
	model_environment(root, &r->env);
	json_object_set_new(root, "index", json_integer(r->index));
	json_object_set_new(root, "file", json_string(r->file));
	json_object_set_new(root, "ran", ran);
	json_object_set_new(root, "has_latency", json_boolean(has_latency));
	json_object_set_new(root, "verified", json_boolean(verified));
	json_object_set_new(root, "busy", json_boolean(strtod(r->env.load, NULL) > 0.5));
	json_object_set_new(root, "windows", windows);
	json_object_set_new(root, "ours", ours);
	json_object_set_new(root, "losses", model_losses(r->plan));
	return root;
}
