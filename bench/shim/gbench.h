/* SPDX-License-Identifier: MIT
 *
 * Google Benchmark (1.7.1 and later) for C. Functions that take a struct gbench
 * say how a benchmark is run, those with a gbench_state are for the function that
 * runs. Names and texts are copied.
 *
 *	static void fill(struct gbench_state *state, void *user)
 *	{
 *		size_t n = (size_t)gbench_argument(state, 0);
 *
 *		while (gbench_keep_running(state))
 *			memset(user, 1, n);
 *		gbench_set_bytes(state, gbench_iterations_done(state) * (int64_t)n);
 *	}
 *
 *	int main(int argc, char **argv)
 *	{
 *		gbench_initialize(&argc, argv);
 *		gbench_arg(gbench_register("fill", fill, buffer), 4096);
 *		gbench_run();
 *		gbench_shut_down();
 *	}
 */
#ifndef CM_BENCH_SHIM_GBENCH_H
#define CM_BENCH_SHIM_GBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both opaque. */
struct gbench;
struct gbench_state;

/* Called once for each set of arguments, thread and repetition, and more often where
 * the library looks for the number of iterations itself. user is what was registered. */
typedef void (*gbench_function)(struct gbench_state *state, void *user);

/* ---- Before the run ------------------------------------------------------------ */

/* Takes Google Benchmark's own options (--benchmark_*) out of argv. */
void gbench_initialize(int *argc, char **argv);

/* A line about the machine or the run, for the head of the report. */
void gbench_context(const char *key, const char *value);

/* The library keeps it, and frees it when the program ends. */
struct gbench *gbench_register(const char *name, gbench_function run, void *user);

/* One more set of arguments: a single one, or n. */
void gbench_arg(struct gbench *b, int64_t value);
void gbench_args(struct gbench *b, const int64_t *values, size_t n);
/* from, to, and the powers of 8 between them (or of what gbench_multiplier says); with
 * several ranges, every combination. */
void gbench_range(struct gbench *b, int64_t from, int64_t to);
void gbench_ranges(struct gbench *b, const int64_t (*from_to)[2], size_t n);
void gbench_multiplier(struct gbench *b, int multiplier);
/* They stand before the values in the name: "fill/bytes:4096". */
void gbench_arg_names(struct gbench *b, const char *const *names, size_t n);

/* One more number of threads that run the function at once. */
void gbench_threads(struct gbench *b, int threads);
/* Exactly so many iterations, not as many as fit in a time. */
void gbench_iterations(struct gbench *b, int64_t n);
void gbench_min_time(struct gbench *b, double seconds);
void gbench_repetitions(struct gbench *b, int n);

enum gbench_unit { GBENCH_NANOSECONDS, GBENCH_MICROSECONDS, GBENCH_MILLISECONDS, GBENCH_SECONDS };
void gbench_unit(struct gbench *b, enum gbench_unit unit);

/* The time of an iteration is the one passed to gbench_iteration_time(), or wall-clock time.
 * Without these, the thread's processor time decides when enough was measured. */
void gbench_manual_time(struct gbench *b);
void gbench_real_time(struct gbench *b);

/* How many were run. */
size_t gbench_run(void);
void gbench_shut_down(void);

/* ---- While it runs --------------------------------------------------------------- */

/* False after the last iteration. The loop must not end before that, unless after an error. */
bool gbench_keep_running(struct gbench_state *state);
/* The time between them is not measured. Each costs about a microsecond. */
void gbench_pause(struct gbench_state *state);
void gbench_resume(struct gbench_state *state);
void gbench_iteration_time(struct gbench_state *state, double seconds);

/* Argument i of this run. */
int64_t gbench_argument(const struct gbench_state *state, size_t i);
int gbench_thread_index(const struct gbench_state *state);
int gbench_thread_count(const struct gbench_state *state);
/* After the loop. */
int64_t gbench_iterations_done(const struct gbench_state *state);

enum gbench_counter_flags {
	GBENCH_PLAIN = 0,
	GBENCH_RATE = 1 << 0,           /* divided by the seconds measured */
	GBENCH_AVG_THREADS = 1 << 1,    /* divided by the threads; else they add up */
	GBENCH_EACH_ITERATION = 1 << 2, /* times the iterations */
	GBENCH_AVG_ITERATIONS = 1 << 3, /* divided by the iterations */
	GBENCH_INVERT = 1 << 4          /* one divided by all that */
};
void gbench_counter(struct gbench_state *state, const char *name, double value, unsigned flags);

void gbench_set_bytes(struct gbench_state *state, int64_t bytes);
void gbench_set_items(struct gbench_state *state, int64_t items);
void gbench_label(struct gbench_state *state, const char *text);
/* The run is reported as failed. The function should return: no more iterations come. */
void gbench_error(struct gbench_state *state, const char *text);

#ifdef __cplusplus
}
#endif
#endif
