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
	size_t pages = ((size_t)gbench_argument(state, 0) << 20) / micro.page;
	struct samples times = { NULL, 0, 0 };
	struct subject s;
	struct heap h;

	memset(&s, 0, sizeof s);
	if (!heap_new(&h, 1, pages, 0, HEAP_SMALL_PAGES) || !samples_new(&times, 1000)) {
		micro_fail(state, "not enough memory");
	} else if (subject_open(&s, state, NULL)) {
		subject_start(&s);
		while (gbench_keep_running(state)) {
			uint64_t t[4], found;
			bool good;

			/* New memory counts as written. */
			memset(h.want, 1, pages);
			h.wanted = pages;
			t[0] = cm_now_ns();
			good = subject_track(&s, &h);
			t[1] = cm_now_ns();
			found = subject_collect(&s, &h);
			t[2] = cm_now_ns();
			good = good && subject_check(&s, state, &h, found);
			t[3] = cm_now_ns();
			good = subject_untrack(&s, &h) && good;
			samples_add(&times, state,
				    step == TRACK ? t[1] - t[0]
				    : step == ARM ? t[2] - t[1]
						  : cm_now_ns() - t[3]);
			if (!good) {
				micro_fail(state, "track, collect or untrack failed");
				break;
			}
		}
		samples_counters(&times, state);
		subject_counters(&s, state);
	}
	subject_close(&s);
	samples_free(&times);
	heap_free(&h);
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
