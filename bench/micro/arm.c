/* SPDX-License-Identifier: MIT
 *
 * Beginning and end: track, the first collect (which arms a populated heap), untrack. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

enum step { TRACK, ARM, UNTRACK };
static int steps[] = { TRACK, ARM, UNTRACK };

static void arm(struct gbench_state *state, void *user)
{
	enum step step = (enum step) * (const int *)user;
	struct frame f;
	bool good = frame_begin(&f, state, NULL, micro_heap_of_mib(gbench_argument(state, 0)), 1000,
				false);

	while (good && gbench_keep_running(state)) {
		uint64_t t[4], found;

		/* New memory counts as written. */
		memset(f.heap.want, 1, f.heap.pages);
		f.heap.wanted = f.heap.pages;
		t[0] = cm_now_ns();
		good = subject_track(&f.subject, &f.heap);
		t[1] = cm_now_ns();
		found = subject_collect(&f.subject, &f.heap);
		t[2] = cm_now_ns();
		good = good && subject_check(&f.subject, state, &f.heap, found);
		t[3] = cm_now_ns();
		good = subject_untrack(&f.subject, &f.heap) && good;
		samples_add(&f.times, state,
			    step == TRACK ? t[1] - t[0]
			    : step == ARM ? t[2] - t[1]
					  : cm_now_ns() - t[3]);
		if (!good)
			micro_fail(state, "track, collect or untrack failed");
	}
	frame_end(&f);
}

void micro_arm(void)
{
	static const char *const whats[] = { "track", "arm", "untrack" }, *const names[] = {
		"heap_mib"
	};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		struct gbench *b = micro_register(whats[i], NULL, arm, &steps[i]);

		gbench_arg_names(b, names, 1);
		gbench_arg(b, 16);
		gbench_arg(b, 256);
		gbench_iterations(b, 9);
	}
}
