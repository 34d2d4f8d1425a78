/* SPDX-License-Identifier: MIT
 *
 * Get-and-clear by heap size, how much of it is dirty, and how that lies. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

static int patterns[PATTERN_COUNT] = { PATTERN_DENSE, PATTERN_STRIDED, PATTERN_UNIFORM,
				       PATTERN_HOT };

void micro_collects(struct gbench_state *state, struct cardmark_options *options,
		    struct micro_heap shape, enum pattern pattern, int64_t percent)
{
	struct samples times = { NULL, 0, 0 };
	uint64_t random = micro.seed, t;
	struct subject s;
	struct heap h;

	memset(&s, 0, sizeof s);
	if (!heap_new(&h, shape.ranges, shape.piece, shape.gap, HEAP_SMALL_PAGES) ||
	    !samples_new(&times, 1000)) {
		micro_fail(state, "not enough memory");
	} else if (subject_armed(&s, state, &h, options)) {
		while (gbench_keep_running(state)) {
			uint64_t found;

			heap_write(&h, pattern, heap_percent(&h, percent), &random);
			t = cm_now_ns();
			found = subject_collect(&s, &h);
			t = cm_now_ns() - t;
			samples_add(&times, state, t);
			if (!subject_check(&s, state, &h, found))
				break;
		}
		samples_counters(&times, state);
		subject_counters(&s, state);
	}
	subject_close(&s);
	samples_free(&times);
	heap_free(&h);
}

static void collect(struct gbench_state *state, void *user)
{
	struct micro_heap shape = { 1, ((size_t)gbench_argument(state, 0) << 20) / micro.page, 0 };

	micro_collects(state, NULL, shape, (enum pattern) * (const int *)user,
		       gbench_argument(state, 1));
}

void micro_collect(void)
{
	static const char *const names[] = { "heap_mib", "dirty_pct" };
	static const int64_t sizes[] = { 16, 64, 256, 1024, 8192 }, dirty[] = { 0, 1, 10, 100 };

	for (size_t m = 0; m < sizeof sizes / sizeof *sizes; m++)
		for (size_t p = 0; p < PATTERN_COUNT; p++)
			for (size_t d = 0; d < sizeof dirty / sizeof *dirty; d++) {
				int64_t args[] = { sizes[m], dirty[d] };
				struct gbench *b;

				if (sizes[m] > 1024 && !micro.full)
					continue;
				/* Nothing and everything lie in one way only. */
				if (p != PATTERN_DENSE && (dirty[d] == 0 || dirty[d] == 100))
					continue;
				b = micro_register("collect", pattern_names[p], collect,
						   &patterns[p]);
				gbench_arg_names(b, names, 2);
				gbench_args(b, args, 2);
				gbench_iterations(b, sizes[m] <= 64 ? 15 : sizes[m] <= 256 ? 9 : 5);
			}
}
