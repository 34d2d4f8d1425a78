/* SPDX-License-Identifier: MIT
 *
 * Preclean: itself, and the collect after it, when a tenth of what was written before is
 * written again. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

static int which[] = { 0, 1 };

static void preclean(struct gbench_state *state, void *user)
{
	bool after = *(const int *)user != 0;
	size_t pages = ((size_t)gbench_argument(state, 0) << 20) / micro.page;
	struct samples times = { NULL, 0, 0 };
	uint64_t random = micro.seed, t, found;
	struct subject s;
	struct heap h;

	memset(&s, 0, sizeof s);
	if (!heap_new(&h, 1, pages, 0, HEAP_SMALL_PAGES) || !samples_new(&times, 1000)) {
		micro_fail(state, "not enough memory");
	} else if (subject_armed(&s, state, &h, NULL)) {
		while (gbench_keep_running(state)) {
			heap_write(&h, PATTERN_UNIFORM, heap_percent(&h, 10), &random);
			t = cm_now_ns();
			if (cardmark_preclean(s.cm) != 0) {
				micro_fail(state, cardmark_last_error());
				break;
			}
			t = cm_now_ns() - t;
			if (!after)
				samples_add(&times, state, t);
			heap_write(&h, PATTERN_UNIFORM, heap_percent(&h, 1), &random);
			t = cm_now_ns();
			found = subject_collect(&s, &h);
			t = cm_now_ns() - t;
			if (after)
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
