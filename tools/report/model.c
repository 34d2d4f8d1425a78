/* SPDX-License-Identifier: MIT
 * What the templates of the programs see: the results file, whose summaries are computed again
 * from its runs, and what the page shows besides. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "tools/report/report.h"
#include "tools/report/times.h"

/* ---- Values ----------------------------------------------------------------------------- */

json_t *model_cell(const char *class, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	tool_make_utf8(text);
	return json_pack("{s:s, s:s}", "text", text, "class", class);
}

json_t *model_ratio(struct stat_ratio r, double resolution)
{
	char text[STAT_TEXT];

	return model_cell(!stat_known(r, resolution) || stat_same(r, resolution) ? "same"
			  : r.mid < 1                                            ? "better"
										 : "worse",
			  "%s", stat_ratio_text(r, resolution, 2, text));
}

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
							  bench_resolution(r->plan, k, metric)));
	}
	return o;
}

static json_t *in_words(const struct report *r, unsigned k, unsigned row,
			const struct bench_summary *s)
{
	const char *failed = s->failed > 0 ? "; SOME RUNS FAILED" : "";

	if (row == r->plan->ref)
		return model_cell("words", "the reference%s", failed);
	if (isnan(s->to_ref.mid))
		return model_cell("words", "not known%s", failed);
	if (isinf(s->to_ref.high))
		return model_cell("words", "too few blocks to compare%s", failed);
	if (stat_same(s->to_ref, bench_resolution(r->plan, k, METRIC_TOTAL)))
		return model_cell("words", "no difference beyond the noise%s", failed);
	return model_cell("words", "%.0f %% %s than %s%s", 100 * fabs(s->to_ref.mid - 1),
			  s->to_ref.mid < 1 ? "less time" : "MORE time",
			  r->plan->rows[r->plan->ref].label, failed);
}

static json_t *missed(const struct bench_row *row, const struct bench_run *verified)
{
	if (!bench_is_ours(row))
		return model_cell("name", "does not apply");
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

static json_t *phases(const struct report *r, unsigned k, unsigned row)
{
	double parts[PHASE_PARTS];
	bool any = phase_parts(r, k, row, parts);
	json_t *list = json_array();

	for (unsigned i = 0; i < PHASE_PARTS; i++)
		json_array_append_new(list, bench_number_json(any ? parts[i] : NAN));
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

static void add_to_row(const struct report *r, unsigned k, unsigned row, json_t *o)
{
	const struct bench_cell *cell = bench_cell(r->plan, k, row);
	const struct bench_row *b = &r->plan->rows[row];
	bool ours = bench_is_ours(b);
	struct bench_summary s;

	bench_summarize(r->plan, k, row, &s);
	for (unsigned i = 0; i < r->plan->programs[k].blocks; i++)
		json_object_set_new(json_array_get(json_object_get(o, "runs"), i), "n_stops",
				    json_integer((json_int_t)cell->runs[i].stop_count));
	json_object_set_new(o, "i", json_integer(row));
	json_object_set_new(o, "error", json_string(s.error != NULL ? s.error : ""));
	json_object_set_new(o, "to_ref", ratios(r, k, row, r->plan->ref));
	json_object_set_new(o, "to_stw", ratios(r, k, row, r->plan->stw));
	json_object_set_new(o, "in_words", in_words(r, k, row, &s));
	json_object_set_new(o, "stops_a_run", bench_number_json((double)s.stops / s.good));
	json_object_set_new(o, "rss_mib", bench_number_json(s.rss_kb / 1024));
	json_object_set_new(o, "faults", bench_number_json(ours ? s.faults : NAN));
	json_object_set_new(o, "kernel_calls", bench_number_json(ours ? s.kernel_calls : NAN));
	json_object_set_new(o, "missed", missed(b, &cell->verified));
	json_object_set_new(o, "stops", stops(r, k, row, s.stall));
	json_object_set_new(o, "phases", phases(r, k, row));
	json_object_set_new(o, "utilisation", shares(r, k, row));
}

/* ---- Latency ---------------------------------------------------------------------------- */

static json_t *latency_row(const char *label, const struct bench_latency *pool,
			   enum latency_kind kind)
{
	const struct histogram *h = pool != NULL ? &pool->kinds[kind] : NULL;
	struct times t = { .count = h != NULL ? h->count : 0, .histogram = h };

	return json_pack("{s:s, s:I, s:o, s:o, s:o}", "label", label, "count", (json_int_t)t.count,
			 "mean", bench_number_json(t.count > 0 ? hist_mean(h) / 1e6 : NAN),
			 "quantiles", quantiles(&t), "longest",
			 bench_number_json(t.count > 0 ? times_quantile(&t, 1) : NAN));
}

/* Of each kind its rows; and in each row, as "latency", all kinds. */
static json_t *latency(const struct report *r, unsigned k, json_t *rows)
{
	json_t *kinds = json_array(), *all;

	for (unsigned kind = 0; kind < LATENCY_KINDS; kind++)
		json_array_append_new(
			kinds, json_pack("{s:i, s:o, s:[]}", "i", (int)kind, "title",
					 model_cell("", "%s, ms", latency_titles[kind]), "rows"));
	for (unsigned row = 0; row < r->plan->row_count; row++) {
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

static json_t *noise(const struct report *r, unsigned k)
{
	json_t *o = json_object();

	for (unsigned m = 0; m < METRICS; m++) {
		double v =
			report_ran(r, k) ? bench_resolution(r->plan, k, (enum bench_metric)m) : NAN;

		json_object_set_new(o, metrics[m],
				    isfinite(v)
					    ? model_cell(v > 0.1 ? "worse" : "", "%.1f %%", 100 * v)
					    : model_cell("", "-"));
	}
	return o;
}

static void add_to_program(const struct report *r, unsigned k, json_t *o)
{
	double resolution = bench_resolution(r->plan, k, METRIC_TOTAL);
	json_t *rows = json_object_get(o, "rows");

	json_object_set_new(o, "k", json_integer(k));
	json_object_set_new(o, "ran", json_boolean(report_ran(r, k)));
	json_object_set_new(o, "noise", noise(r, k));
	json_object_set_new(
		o, "resolution",
		isfinite(resolution) ? model_cell("", "resolution %.1f %%", 100 * resolution)
		: isnan(resolution)  ? model_cell("", "no resolution, because the reference or its "
						       "repetition failed: no times can be compared")
				     : model_cell("", "no resolution, because there are too few "
						       "blocks: no times can be compared"));
	for (unsigned row = 0; row < json_array_size(rows); row++)
		add_to_row(r, k, row, json_array_get(rows, row));
	json_object_set_new(o, "open_loop",
			    json_boolean(report_ran(r, k) && bench_has_latency(r->plan, k)));
	if (report_ran(r, k) && bench_has_latency(r->plan, k))
		json_object_set_new(o, "kinds", latency(r, k, rows));
}

void model_environment(json_t *root, const struct bench_env *env)
{
	json_t *o = json_object_get(root, "environment"), *v;
	const char *key;

	json_object_foreach(o, key, v)
	{
		if (json_is_string(v) && json_string_length(v) == 0)
			json_object_set_new(o, key, json_string("not recorded"));
	}
	json_object_set_new(o, "steal_percent",
			    model_cell("", "%.1f", bench_env_steal_percent(env)));
	if (env->command[0] == '\0')
		json_object_set_new(root, "command", json_string("not recorded"));
}

json_t *model_file(const struct report *r)
{
	json_t *root = bench_results_json(r->plan, &r->env);
	json_t *programs = json_object_get(root, "programs"), *windows = json_array();
	bool ran = false, latency_there = false, verified = false;

	for (unsigned k = 0; k < r->plan->program_count; k++) {
		add_to_program(r, k, json_array_get(programs, k));
		ran = ran || report_ran(r, k);
		latency_there =
			latency_there || (report_ran(r, k) && bench_has_latency(r->plan, k));
		for (unsigned row = 0; report_ran(r, k) && row < r->plan->row_count; row++)
			verified = verified || bench_cell(r->plan, k, row)->verified.done;
	}
	for (unsigned w = 0; w < UTILISATION_WINDOWS; w++) {
		char text[16];

		snprintf(text, sizeof text, "%g ms", utilisation_ms[w]);
		json_array_append_new(windows, json_string(text));
	}
	model_environment(root, &r->env);
	json_object_set_new(root, "index", json_integer(r->index));
	json_object_set_new(root, "file", json_string(r->file));
	json_object_set_new(root, "ran", json_boolean(ran));
	json_object_set_new(root, "has_latency", json_boolean(latency_there));
	json_object_set_new(root, "verified", json_boolean(verified));
	json_object_set_new(root, "busy", json_boolean(strtod(r->env.load, NULL) > 0.5));
	json_object_set_new(root, "windows", windows);
	json_object_set_new(root, "losses", model_losses(r->plan));
	return root;
}

json_t *model_page(const struct report_page *page)
{
	json_t *root = json_pack("{s:s, s:[], s:b}", "made_by", cardmark_version(), "files",
				 "several_files", page->n_files > 1);

	for (size_t i = 0; i < page->n_files; i++)
		json_array_append_new(json_object_get(root, "files"), model_file(&page->files[i]));
	json_object_set_new(root, "barriers",
			    page->barriers == NULL
				    ? json_null()
				    : model_barriers(page->barriers, page->barriers_file,
						     &page->files[page->n_files]));
	json_object_set(root, "micro", page->micro != NULL ? page->micro : json_null());
	return root;
}
