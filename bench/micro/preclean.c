/* SPDX-License-Identifier: MIT
 *
 * Preclean, and the collect after it, where a tenth of the pages written before is written
 * again. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

static int which[] = { 0, 1 };

static void preclean(struct gbench_state *state, void *user)
{
	bool after = *(const int *)user != 0;
	struct frame f;
	bool good = frame_begin(&f, state, NULL, micro_heap_of_mib(gbench_argument(state, 0)), 1000,
				true);

	while (good && gbench_keep_running(state)) {
		uint64_t t, found;

		heap_write(&f.heap, PATTERN_UNIFORM, heap_percent(&f.heap, 10), &f.random);
		t = cm_now_ns();
		if (cardmark_preclean(f.subject.cm) != 0) {
			micro_fail(state, cardmark_last_error());
			break;
		}
		t = cm_now_ns() - t;
		if (!after)
			samples_add(&f.times, state, t);
		heap_write(&f.heap, PATTERN_UNIFORM, heap_percent(&f.heap, 1), &f.random);
		t = cm_now_ns();
		found = subject_collect(&f.subject, &f.heap);
		t = cm_now_ns() - t;
		if (after)
			samples_add(&f.times, state, t);
		good = subject_check(&f.subject, state, &f.heap, found);
	}
	frame_end(&f);
}

void micro_preclean(void)
{
	static const char *const whats[] = { "preclean", "collect_after_preclean" },
				 *const names[] = { "heap_mib" };

	if (micro.bare || (micro.capabilities & CARDMARK_CAP_CONCURRENT) == 0)
		return;
	for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
		struct gbench *b = micro_register(whats[i], NULL, preclean, &which[i]);

		gbench_arg_names(b, names, 1);
		gbench_arg(b, 256);
		gbench_iterations(b, 9);
	}
}
