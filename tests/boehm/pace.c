/* SPDX-License-Identifier: MIT
 *
 * Description: a program with a stop function of its own, under a pause target far too
 * short for its heap. Its function is asked and is what it set; a collection that it
 * asks for is not cut short; one that its function cuts short is; and the target
 * works on after that. So do the limit, rate and attempts that it sets.
 * Prints "asked: N full: N cut: N wrong: N"; exit status 0 whatever they are. */
#include <gc.h>

#include <stdio.h>

#define LISTS 64
#define CELLS 20000

struct cell {
	struct cell *next;
	void *payload[3];
};

static unsigned long asked;
static int cut;

static int stop(void)
{
	asked++;
	return cut;
}

static struct cell *list(void)
{
	struct cell *head = NULL;

	for (int i = 0; i < CELLS; i++) {
		struct cell *c = GC_MALLOC(sizeof *c);

		c->next = head;
		head = c;
	}
	return head;
}

int main(void)
{
	static struct cell *lists[LISTS];
	unsigned long full = 0, stopped = 0, wrong = 0;

	GC_INIT();
	if (GC_get_version() < (8u << 16 | 2 << 8)) {
		printf("libgc before 8.2 asks its stop function only between slices\n");
		return 77;
	}
	GC_set_stop_func(stop);
	wrong += GC_get_stop_func() != stop;
	/* As ecl does; without a limit libgc would give up no stop. */
	GC_set_time_limit(GC_TIME_UNLIMITED);
	GC_set_rate(7);
	GC_set_max_prior_attempts(3);
	wrong += GC_get_time_limit() != GC_TIME_UNLIMITED;
	wrong += GC_get_time_limit_tv().tv_ms != GC_TIME_UNLIMITED;
	wrong += GC_get_rate() != 7 || GC_get_max_prior_attempts() != 3;
	for (int i = 0; i < LISTS; i++)
		lists[i] = list();
	for (int i = 0; i < 8; i++) {
		GC_word before = GC_get_gc_no();

		cut = i % 2;
		GC_gcollect();
		if (GC_get_gc_no() != before)
			full++;
		else
			stopped++;
		cut = 0;
		for (int k = 0; k < LISTS / 4; k++)
			lists[k] = list();
	}
	for (int i = 0; i < LISTS; i++) {
		int n = 0;

		for (struct cell *c = lists[i]; c != NULL; c = c->next)
			n++;
		wrong += n != CELLS;
	}
	printf("asked: %lu full: %lu cut: %lu wrong: %lu\n", asked, full, stopped, wrong);
	return 0;
}
