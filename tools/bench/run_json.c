/* SPDX-License-Identifier: MIT
 * A run as JSON and back, for the results file and the journal. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

void bench_free_run(struct bench_run *run)
{
	free(run->stops);
	free(run->pauses);
	free(run->phases);
	free(run->latency);
	run->latency = NULL;
	run->stops = NULL;
	run->pauses = NULL;
	run->phases = NULL;
	run->stop_count = 0;
}

bool bench_parse_stops(const json_t *list, struct bench_run *out)
{
	size_t n = json_array_size(list);

	if (n == 0)
		return true;
	out->stops = calloc(n, sizeof *out->stops);
	out->pauses = calloc(n, sizeof *out->pauses);
	out->phases = calloc(n, sizeof *out->phases);
	if (out->stops == NULL || out->pauses == NULL || out->phases == NULL) {
		bench_free_run(out);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *stop = json_array_get(list, i);
		struct pause *p = &out->pauses[i];
		bool good = bench_count_at(stop, 0, &p->start) && bench_count_at(stop, 1, &p->end);

		/* In order, or a share of the time in pauses means nothing. */
		good = good && p->start <= p->end && (i == 0 || p->start >= p[-1].end);
		for (size_t ph = 0; ph < PHASES; ph++)
			good = good && bench_count_at(stop, 2 + ph, &out->phases[i][ph]);
		if (!good) {
			bench_free_run(out);
			return false;
		}
		out->stops[i] = p->end - p->start;
	}
	out->stop_count = n;
	sample_sort(out->stops, n);
	return true;
}

static const struct bench_field counters[] = {
	{ "collections", offsetof(struct bench_run, collections) },
	{ "dirty_cards", offsetof(struct bench_run, dirty_cards) },
	{ "faults", offsetof(struct bench_run, faults) },
	{ "kernel_calls", offsetof(struct bench_run, kernel_calls) },
	{ "minor_faults", offsetof(struct bench_run, minor_faults) },
	{ "peak_rss_kb", offsetof(struct bench_run, peak_rss_kb) },
	{ "guessed_ranges", offsetof(struct bench_run, guessed) },
	{ "all_dirty", offsetof(struct bench_run, all_dirty) },
	{ "stop_p50_ns", offsetof(struct bench_run, stop_p50) },
	{ "stop_p99_ns", offsetof(struct bench_run, stop_p99) },
	{ "stop_max_ns", offsetof(struct bench_run, stop_max) },
	{ "stop_total_ns", offsetof(struct bench_run, stop_total) },
	{ "stall_max_ns", offsetof(struct bench_run, stall_max) },
};

enum { COUNTERS = sizeof counters / sizeof *counters };

static const struct bench_field sampled[] = {
	{ "peak_vmas", offsetof(struct bench_run, peak_vmas) },
	{ "peak_page_table_kb", offsetof(struct bench_run, peak_table_kb) },
};

static const struct bench_field verified[] = {
	{ "verify_checked", offsetof(struct bench_run, verified) },
	{ "verify_changed", offsetof(struct bench_run, verify_changed) },
	{ "missed", offsetof(struct bench_run, missed) },
};

static json_t *stops_json(const struct bench_run *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->stop_count; i++) {
		json_t *stop = json_array();

		json_array_append_new(stop, bench_count_json(r->pauses[i].start));
		json_array_append_new(stop, bench_count_json(r->pauses[i].end));
		for (size_t ph = 0; ph < PHASES; ph++)
			json_array_append_new(stop, bench_count_json(r->phases[i][ph]));
		json_array_append_new(list, stop);
	}
	return list;
}

json_t *bench_run_json(const struct bench_run *r, uint64_t seed)
{
	json_t *o;
	char hash[24];

	if (!r->done)
		return json_null();
	o = json_pack("{s:I, s:b, s:f, s:f}", "seed", (json_int_t)seed, "ok", (int)r->ok, "wall_s",
		      r->wall_s, "cpu_s", r->cpu_s);
	if (r->has_hash) {
		snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
		json_object_set_new(o, "hash", json_string(hash));
	}
	if (!r->ok) {
		json_object_set_new(o, "error", json_string(r->error));
		return o;
	}
	json_object_set_new(o, "mode", json_string(r->mode));
	json_object_set_new(o, "backend", json_string(r->backend));
	bench_put_counts(o, counters, COUNTERS, r);
	if (r->peak_vmas > 0)
		bench_put_counts(o, sampled, 2, r);
	if (r->has_missed)
		bench_put_counts(o, verified, 3, r);
	if (r->latency != NULL)
		json_object_set_new(o, "latency", bench_latency_json(r->latency));
	json_object_set_new(o, "stops_ns", stops_json(r));
	return o;
}

bool bench_parse_run(const json_t *o, struct bench_run *out)
{
	const char *hash = json_string_value(json_object_get(o, "hash"));

	memset(out, 0, sizeof *out);
	if (!json_is_boolean(json_object_get(o, "ok")) ||
	    !json_is_number(json_object_get(o, "wall_s")) ||
	    !json_is_number(json_object_get(o, "cpu_s")))
		return false;
	out->done = true;
	out->ok = json_is_true(json_object_get(o, "ok"));
	out->wall_s = bench_number_of(o, "wall_s");
	out->cpu_s = bench_number_of(o, "cpu_s");
	out->has_hash = hash != NULL && sscanf(hash, "%16" SCNx64, &out->hash) == 1;
	bench_text_of(o, "error", out->error, sizeof out->error);
	bench_text_of(o, "mode", out->mode, sizeof out->mode);
	bench_text_of(o, "backend", out->backend, sizeof out->backend);
	bench_get_counts(o, counters, COUNTERS, out);
	bench_get_counts(o, sampled, 2, out);
	bench_get_counts(o, verified, 3, out);
	out->has_missed = json_is_integer(json_object_get(o, "missed"));
	if (json_object_get(o, "latency") != NULL) {
		out->latency = bench_parse_latency(json_object_get(o, "latency"));
		if (out->latency == NULL)
			return false;
	}
	return bench_parse_stops(json_object_get(o, "stops_ns"), out);
}
