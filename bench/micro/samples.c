/* SPDX-License-Identifier: MIT */
#include "bench/measure.h"
#include "bench/micro/micro.h"

bool samples_new(struct samples *s, size_t room)
{
	s->n = 0;
	s->room = room;
	s->v = malloc(room * sizeof *s->v);
	return s->v != NULL;
}

void samples_free(struct samples *s)
{
	free(s->v);
	s->v = NULL;
}

void samples_add(struct samples *s, struct gbench_state *state, uint64_t ns)
{
	if (s->n < s->room)
		s->v[s->n++] = (double)ns;
	gbench_iteration_time(state, (double)ns / 1e9);
}

void samples_counters(struct samples *s, struct gbench_state *state)
{
	static const struct {
		const char *name;
		double part;
	} all[] = { { "p90_ns", 0.9 }, { "p99_ns", 0.99 }, { "p999_ns", 0.999 } };

	if (s->n == 0)
		return;
	gbench_counter(state, "p50_ns", median(s->v, s->n), GBENCH_PLAIN);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		double rank = all[i].part * (double)s->n; /* nearest rank */
		size_t at = (size_t)rank + ((double)(size_t)rank < rank);

		if (s->n - at >= 10)
			gbench_counter(state, all[i].name, s->v[at - 1], GBENCH_PLAIN);
	}
	gbench_counter(state, "max_ns", s->v[s->n - 1], GBENCH_PLAIN);
}
