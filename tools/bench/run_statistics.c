/* SPDX-License-Identifier: MIT
 * Reads the statistics that the preload object wrote (format "cardmark-run", version 1). */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/programs.h"

bool bench_read_statistics(const char *path, struct bench_run *out)
{
	bool good;
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	const json_t *stops;

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
	json_decref(root);
	return good;
}
