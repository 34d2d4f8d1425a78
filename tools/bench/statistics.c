/* SPDX-License-Identifier: MIT
 * Reads the preload object's report (format "cardmark-run", version 1). */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"

uint64_t bench_count_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;

	return i > 0 ? (uint64_t)i : 0;
}

void bench_text_of(const json_t *o, const char *key, char *out, size_t n)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, n, "%s", s != NULL ? s : "");
}

bool bench_read_report(const char *path, struct bench_run *out)
{
	bool good;
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	const json_t *stops;
	const char *format;

	if (root == NULL) {
		snprintf(out->error, sizeof out->error, "no report: %.150s", error.text);
		return false;
	}
	format = json_string_value(json_object_get(root, "format"));
	if (format == NULL || strcmp(format, "cardmark-run") != 0 ||
	    bench_count_of(root, "version") != 1) {
		snprintf(out->error, sizeof out->error, "not a cardmark-run report of version 1");
		json_decref(root);
		return false;
	}
	bench_text_of(root, "mode", out->mode, sizeof out->mode);
	bench_text_of(root, "backend", out->backend, sizeof out->backend);
	out->collections = bench_count_of(root, "collections");
	out->dirty_cards = bench_count_of(root, "dirty_cards");
	out->faults = bench_count_of(root, "faults");
	out->guessed = bench_count_of(root, "guessed_ranges");
	out->all_dirty = bench_count_of(root, "all_dirty");
	stops = json_object_get(root, "stops");
	out->stop_p50 = bench_count_of(stops, "p50_ns");
	out->stop_p99 = bench_count_of(stops, "p99_ns");
	out->stop_max = bench_count_of(stops, "max_ns");
	out->stop_total = bench_count_of(stops, "total_ns");
	out->stall_max = bench_count_of(json_object_get(root, "stalls"), "max_ns");
	out->kernel_calls = bench_count_of(root, "kernel_calls");
	out->minor_faults = bench_count_of(root, "minor_faults");
	out->has_missed = json_is_integer(json_object_get(root, "verify_missed"));
	out->missed = bench_count_of(root, "verify_missed");
	out->verified = bench_count_of(root, "verify_checked");
	out->verify_changed = bench_count_of(root, "verify_changed");
	good = bench_parse_stops(json_object_get(root, "stops_ns"), out);
	if (!good)
		snprintf(out->error, sizeof out->error, "the list of stops is strange");
	out->has_report = good;
	json_decref(root);
	return good;
}
