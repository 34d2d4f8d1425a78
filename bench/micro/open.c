/* SPDX-License-Identifier: MIT
 *
 * Probe, which a process does once, and open with close. */
#include "bench/measure.h"
#include "bench/micro/micro.h"

static void probe(struct gbench_state *state, void *user)
{
	(void)user;
	while (gbench_keep_running(state))
		gbench_iteration_time(state, micro.probe_seconds);
}

static void open_close(struct gbench_state *state, void *user)
{
	struct samples times;
	struct subject s;

	(void)user;
	if (!samples_new(&times, 1000)) {
		micro_fail(state, "not enough memory");
		return;
	}
	while (gbench_keep_running(state)) {
		uint64_t t = cm_now_ns();

		if (!subject_open(&s, state, NULL))
			break;
		subject_close(&s);
		samples_add(&times, state, cm_now_ns() - t);
	}
	samples_counters(&times, state);
	samples_free(&times);
}

void micro_open(void)
{
	if (!micro.bare)
		gbench_iterations(micro_register("probe", NULL, probe, NULL), 1);
	gbench_iterations(micro_register("open", NULL, open_close, NULL), 101);
}
