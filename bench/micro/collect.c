/* SPDX-License-Identifier: MIT
 *
 * Get-and-clear by the size of the heap, the share of it that is dirty, and the pattern of the
 * dirty pages. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

static int patterns[PATTERN_COUNT] = { PATTERN_DENSE, PATTERN_STRIDED, PATTERN_UNIFORM,
				       PATTERN_HOT };

void micro_collects(struct gbench_state *state, struct cardmark_options *options,
		    struct micro_heap shape, enum pattern pattern, int64_t percent)
{
	struct frame f;
	bool good = frame_begin(&f, state, options, shape, 1000, true);

	while (good && gbench_keep_running(state)) {
		uint64_t t, found;

		heap_write(&f.heap, pattern, heap_percent(&f.heap, percent), &f.random);
		t = cm_now_ns();
		found = subject_collect(&f.subject, &f.heap);
		t = cm_now_ns() - t;
		samples_add(&f.times, state, t);
		good = subject_check(&f.subject, state, &f.heap, found);
	}
	frame_end(&f);
}

static void collect(struct gbench_state *state, void *user)
{
	micro_collects(state, NULL, micro_heap_of_mib(gbench_argument(state, 0)),
		       (enum pattern) * (const int *)user, gbench_argument(state, 1));
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
				/* With 0 % and 100 % all patterns are the same. */
				if (p != PATTERN_DENSE && (dirty[d] == 0 || dirty[d] == 100))
					continue;
				b = micro_register("collect", pattern_names[p], collect,
						   &patterns[p]);
				gbench_arg_names(b, names, 2);
				gbench_args(b, args, 2);
				gbench_iterations(b, sizes[m] <= 64 ? 15 : sizes[m] <= 256 ? 9 : 5);
			}
}
