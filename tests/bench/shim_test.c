/* SPDX-License-Identifier: MIT
 *
 * Description: the C shim for Google Benchmark, by what arrives in the JSON file:
 * iterations, counters and their flags, arguments, threads, manual time, errors. */
#include "bench/shim/gbench.h"
#include "tests/support/tap.h"

#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

static json_t *results;

/* ---- What is run --------------------------------------------------------------- */

static unsigned counted;

static void count(struct gbench_state *state, void *user)
{
	unsigned *n = user;

	*n = 0;
	while (gbench_keep_running(state))
		++*n;
	gbench_counter(state, "plain", 42, GBENCH_PLAIN);
	gbench_counter(state, "mean", 4200, GBENCH_AVG_ITERATIONS);
	gbench_counter(state, "each", 2, GBENCH_EACH_ITERATION);
	gbench_label(state, "a label");
	if (gbench_iterations_done(state) != (int64_t)*n)
		gbench_error(state, "miscounted");
}

static void by_hand(struct gbench_state *state, void *user)
{
	(void)user;
	while (gbench_keep_running(state)) {
		gbench_pause(state);
		gbench_resume(state);
		gbench_iteration_time(state, 0.5);
	}
	gbench_set_bytes(state, gbench_iterations_done(state) * 100);
	gbench_set_items(state, gbench_iterations_done(state) * 10);
	gbench_counter(state, "rate", 30, GBENCH_RATE);
	gbench_counter(state, "inverse", 30, GBENCH_RATE | GBENCH_INVERT);
}

static void product(struct gbench_state *state, void *user)
{
	(void)user;
	while (gbench_keep_running(state)) {
	}
	gbench_counter(state, "product",
		       (double)(gbench_argument(state, 0) * gbench_argument(state, 1)),
		       GBENCH_PLAIN);
}

static void only(struct gbench_state *state, void *user)
{
	(void)user;
	while (gbench_keep_running(state)) {
	}
	gbench_counter(state, "argument", (double)gbench_argument(state, 0), GBENCH_PLAIN);
}

static _Atomic unsigned entered, indexes;

static void together(struct gbench_state *state, void *user)
{
	(void)user;
	atomic_fetch_add(&entered, 1);
	atomic_fetch_or(&indexes, 1u << gbench_thread_index(state));
	while (gbench_keep_running(state)) {
	}
	gbench_counter(state, "sum", 1, GBENCH_PLAIN);
	gbench_counter(state, "average", gbench_thread_count(state), GBENCH_AVG_THREADS);
}

static unsigned after_error;

static void fails(struct gbench_state *state, void *user)
{
	(void)user;
	gbench_error(state, "no such luck");
	while (gbench_keep_running(state))
		after_error++;
}

static void register_all(void)
{
	static const char *const names[] = { "a", "b" };
	static const int64_t pairs[] = { 6, 7 }, spans[][2] = { { 1, 4 }, { 3, 3 } };
	struct gbench *b;

	gbench_iterations(gbench_register("count", count, &counted), 1000);
	b = gbench_register("by_hand", by_hand, NULL);
	gbench_manual_time(b);
	gbench_unit(b, GBENCH_MILLISECONDS);
	gbench_iterations(b, 4);
	b = gbench_register("product", product, NULL);
	gbench_arg_names(b, names, 2);
	gbench_args(b, pairs, 2);
	gbench_multiplier(b, 2);
	gbench_ranges(b, spans, 2);
	gbench_iterations(b, 1);
	b = gbench_register("only", only, NULL);
	gbench_range(b, 1, 8);
	gbench_arg(b, 100);
	gbench_iterations(b, 1);
	b = gbench_register("together", together, NULL);
	gbench_threads(b, 4);
	gbench_real_time(b);
	gbench_iterations(b, 100);
	b = gbench_register("fails", fails, NULL);
	gbench_iterations(b, 10);
	b = gbench_register("twice", count, &(unsigned){ 0 });
	gbench_iterations(b, 3);
	gbench_repetitions(b, 2);
	gbench_min_time(gbench_register("filtered_out", count, &counted), 0.001);
}

/* ---- What arrived ---------------------------------------------------------------- */

static json_t *result(const char *name)
{
	json_t *list = json_object_get(results, "benchmarks"), *b;
	size_t i;

	json_array_foreach(list, i, b)
	{
		const char *s = json_string_value(json_object_get(b, "name"));
		if (s != NULL && strcmp(s, name) == 0)
			return b;
	}
	tap_note("no result \"%s\"", name);
	return NULL;
}

static double figure(const char *name, const char *key)
{
	json_t *v = json_object_get(result(name), key);

	if (!json_is_number(v))
		tap_note("%s has no %s", name, key);
	return json_is_number(v) ? json_number_value(v) : nan("");
}

static bool about(double got, double want)
{
	bool good = fabs(got - want) <= 1e-6 * fabs(want);

	if (!good)
		tap_note("%.17g, not %.17g", got, want);
	return good;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void counts_iterations(void)
{
	CHECK_EQ(counted, 1000);
	CHECK(about(figure("count/iterations:1000", "iterations"), 1000));
	CHECK(json_object_get(result("count/iterations:1000"), "error_occurred") == NULL ||
	      !json_is_true(json_object_get(result("count/iterations:1000"), "error_occurred")));
}

static void counters_arrive(void)
{
	const char *name = "count/iterations:1000";

	CHECK(about(figure(name, "plain"), 42));
	CHECK(about(figure(name, "mean"), 4.2));
	CHECK(about(figure(name, "each"), 2000));
	CHECK(strcmp(text(result(name), "label"), "a label") == 0);
}

static void time_by_hand(void)
{
	const char *name = "by_hand/iterations:4/manual_time";

	CHECK(about(figure(name, "real_time"), 500));
	CHECK(strcmp(text(result(name), "time_unit"), "ms") == 0);
	CHECK(about(figure(name, "bytes_per_second"), 200));
	CHECK(about(figure(name, "items_per_second"), 20));
	CHECK(about(figure(name, "rate"), 15));
	CHECK(about(figure(name, "inverse"), 1 / 15.0));
}

static void arguments_arrive(void)
{
	CHECK(about(figure("product/a:6/b:7/iterations:1", "product"), 42));
	CHECK(about(figure("product/a:1/b:3/iterations:1", "product"), 3));
	CHECK(about(figure("product/a:2/b:3/iterations:1", "product"), 6));
	CHECK(about(figure("product/a:4/b:3/iterations:1", "product"), 12));
	CHECK(about(figure("only/1/iterations:1", "argument"), 1));
	CHECK(about(figure("only/8/iterations:1", "argument"), 8));
	CHECK(about(figure("only/100/iterations:1", "argument"), 100));
}

static void threads_run(void)
{
	const char *name = "together/iterations:100/real_time/threads:4";

	CHECK_EQ(entered, 4);
	CHECK_EQ(indexes, 15);
	CHECK(about(figure(name, "threads"), 4));
	CHECK(about(figure(name, "sum"), 4));
	CHECK(about(figure(name, "average"), 4));
}

static void error_is_reported(void)
{
	json_t *b = result("fails/iterations:10");

	CHECK(json_is_true(json_object_get(b, "error_occurred")));
	CHECK(strcmp(text(b, "error_message"), "no such luck") == 0);
	CHECK_EQ(after_error, 0);
}

static void repetitions_run(void)
{
	CHECK(about(figure("twice/iterations:3/repeats:2", "repetitions"), 2));
	CHECK(result("twice/iterations:3/repeats:2_median") != NULL);
}

static int leftover;

static void options_and_context(void)
{
	CHECK_EQ(leftover, 2); /* the program's name and what is not Google Benchmark's */
	CHECK(strcmp(text(json_object_get(results, "context"), "colour"), "blue") == 0);
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/cardmark-shim-XXXXXX", out[64];
	char format[] = "--benchmark_out_format=json", ours[] = "--ours",
	     filter[] = "--benchmark_filter=^[^f]|^fails";
	char *args[] = { argv[0], out, format, ours, filter, NULL };
	int n = 5, fd = mkstemp(path), screen = dup(1), nowhere = open("/dev/null", O_WRONLY);

	(void)argc;
	if (fd < 0 || screen < 0 || nowhere < 0)
		return 1;
	snprintf(out, sizeof out, "--benchmark_out=%s", path);
	gbench_initialize(&n, args);
	leftover = n;
	gbench_context("colour", "blue");
	register_all();
	/* Its table on standard output is no TAP. */
	fflush(stdout);
	dup2(nowhere, 1);
	size_t ran = gbench_run();
	gbench_shut_down();
	fflush(stdout);
	dup2(screen, 1);
	tap_note("%zu benchmarks ran", ran);
	results = json_load_file(path, 0, NULL);
	unlink(path);
	close(fd);
	tap_run("shim", "iterations are counted in C and reported", counts_iterations, NULL);
	tap_run("shim", "counters, their flags and a label arrive", counters_arrive, NULL);
	tap_run("shim", "manual time, bytes and items", time_by_hand, NULL);
	tap_run("shim", "arguments and ranges arrive", arguments_arrive, NULL);
	tap_run("shim", "threads run at once", threads_run, NULL);
	tap_run("shim", "an error is reported and ends the run", error_is_reported, NULL);
	tap_run("shim", "repetitions", repetitions_run, NULL);
	tap_run("shim", "options are taken out, context is added", options_and_context, NULL);
	json_decref(results);
	(void)printf("1..8\n");
	return tap_status();
}
