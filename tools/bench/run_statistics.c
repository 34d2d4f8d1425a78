/* SPDX-License-Identifier: MIT
 * Reads the statistics that the preload object wrote (format "cardmark-run", version 1). */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

static const struct bench_field counts[] = {
	{ "collections", offsetof(struct bench_run, collections) },
	{ "dirty_cards", offsetof(struct bench_run, dirty_cards) },
	{ "faults", offsetof(struct bench_run, faults) },
	{ "guessed_ranges", offsetof(struct bench_run, guessed) },
	{ "all_dirty", offsetof(struct bench_run, all_dirty) },
	{ "kernel_calls", offsetof(struct bench_run, kernel_calls) },
	{ "minor_faults", offsetof(struct bench_run, minor_faults) },
	{ "verify_missed", offsetof(struct bench_run, missed) },
	{ "verify_checked", offsetof(struct bench_run, verified) },
	{ "verify_changed", offsetof(struct bench_run, verify_changed) },
};

static const struct bench_field stops[] = {
	{ "p50_ns", offsetof(struct bench_run, stop_p50) },
	{ "p99_ns", offsetof(struct bench_run, stop_p99) },
	{ "max_ns", offsetof(struct bench_run, stop_max) },
	{ "total_ns", offsetof(struct bench_run, stop_total) },
};

bool bench_read_statistics(const char *path, struct bench_run *out)
{
	bool good;
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);

	if (root == NULL) {
		snprintf(out->error, sizeof out->error, "no statistics: %.150s", error.text);
		return false;
	}
	if (strcmp(bench_string_of(root, "format"), "cardmark-run") != 0 ||
	    bench_count_of(root, "version") != 1) {
		snprintf(out->error, sizeof out->error, "not cardmark-run statistics of version 1");
		json_decref(root);
		return false;
	}
	bench_text_of(root, "mode", out->mode, sizeof out->mode);
	bench_text_of(root, "backend", out->backend, sizeof out->backend);
	bench_get_counts(root, counts, sizeof counts / sizeof *counts, out);
	bench_get_counts(json_object_get(root, "stops"), stops, sizeof stops / sizeof *stops, out);
	out->stall_max = bench_count_of(json_object_get(root, "stalls"), "max_ns");
	out->has_missed = json_is_integer(json_object_get(root, "verify_missed"));
	good = bench_parse_stops(json_object_get(root, "stops_ns"), out);
	if (!good)
		snprintf(out->error, sizeof out->error, "the list of stops is damaged");
	json_decref(root);
	return good;
}
