/* SPDX-License-Identifier: MIT
 * Reads the preload object's report (format "cardmark-run", version 1). */
#include <stdlib.h>
#include <string.h>

#include "tools/bench.h"

static uint64_t count_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	json_int_t i = json_is_integer(v) ? json_integer_value(v) : 0;

	return i > 0 ? (uint64_t)i : 0;
}

static void text_of(const json_t *o, const char *key, char *out, size_t n)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(out, n, "%s", s != NULL ? s : "");
}

static void read_stops(const json_t *list, struct bench_run *out)
{
	size_t n = json_array_size(list);

	if (n == 0)
		return;
	out->stops = malloc(n * sizeof *out->stops);
	if (out->stops == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(list, i);
		json_int_t a = json_integer_value(json_array_get(pair, 0));
		json_int_t b = json_integer_value(json_array_get(pair, 1));

		out->stops[out->stop_count++] = b > a ? (uint64_t)(b - a) : 0;
	}
	stat_sort(out->stops, out->stop_count);
}

bool bench_read_report(const char *path, struct bench_run *out)
{
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
	    count_of(root, "version") != 1) {
		snprintf(out->error, sizeof out->error, "not a cardmark-run report of version 1");
		json_decref(root);
		return false;
	}
	text_of(root, "mode", out->mode, sizeof out->mode);
	text_of(root, "backend", out->backend, sizeof out->backend);
	out->collections = count_of(root, "collections");
	out->dirty_cards = count_of(root, "dirty_cards");
	out->faults = count_of(root, "faults");
	out->guessed = count_of(root, "guessed_ranges");
	out->all_dirty = count_of(root, "all_dirty");
	stops = json_object_get(root, "stops");
	out->stop_p50 = count_of(stops, "p50_ns");
	out->stop_p99 = count_of(stops, "p99_ns");
	out->stop_max = count_of(stops, "max_ns");
	out->stop_total = count_of(stops, "total_ns");
	out->stall_max = count_of(json_object_get(root, "stalls"), "max_ns");
	read_stops(json_object_get(root, "stops_ns"), out);
	out->has_report = true;
	json_decref(root);
	return true;
}
