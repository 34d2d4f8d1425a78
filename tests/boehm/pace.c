/* SPDX-License-Identifier: MIT
 *
 * Description: a program with a stop function of its own, under a pause target far too
 * short for its heap. Its function is called and stays set; a collection that it asks for is
 * not cut short; one that its function cuts short is; and the target still works after that.
 * So do the limit, rate and attempts that it sets. Prints "asked: N full: N cut: N wrong: N";
 * exit status 0 whatever they are.
 *
 * "pace stops": its function stops each fifth time that it is asked. "pace exits": threads that end
 * by pthread_exit() and pthread_cancel() while a collection is under way. Both come to an end, or
 * are ended by a signal after a minute, or the seconds of a second argument. */
#define GC_THREADS
#include <gc.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static struct cell *lists[LISTS];

static void allocate(int rounds)
{
	for (int i = 0; i < rounds; i++)
		lists[i % LISTS] = list();
}

static int stop_each_fifth(void)
{
	return ++asked % 5 == 0;
}

static int stops(void)
{
	GC_set_stop_func(stop_each_fifth);
	for (int i = 0; i < 12; i++) {
		allocate(LISTS / 2);
		GC_gcollect();
	}
	printf("ended after %lu questions\n", asked);
	return 0;
}

static void *end_by_exit(void *arg)
{
	(void)list();
	if (arg != NULL)
		pthread_exit(NULL);
	for (;;)
		(void)pause();
	return NULL;
}

/* Four at once, so that some of them end while others do. */
static int exits(void)
{
	enum { AT_ONCE = 4, ROUNDS = 60 };
	pthread_t threads[AT_ONCE];

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < AT_ONCE; i++)
			if (pthread_create(&threads[i], NULL, end_by_exit,
					   i % 2 ? threads : NULL) != 0)
				return 1;
		allocate(2);
		for (int i = 0; i < AT_ONCE; i += 2)
			(void)pthread_cancel(threads[i]);
		for (int i = 0; i < AT_ONCE; i++)
			if (pthread_join(threads[i], NULL) != 0)
				return 1;
	}
	printf("ended: %d threads\n", AT_ONCE * ROUNDS);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long full = 0, stopped = 0, wrong = 0;

	GC_INIT();
	if (GC_get_version() < (8u << 16 | 2 << 8)) {
		printf("libgc before 8.2 asks its stop function only between slices\n");
		return 77;
	}
	if (argc > 1) {
		printf("libgc: %u\n", GC_get_version());
		(void)fflush(stdout);
		allocate(LISTS);
		(void)alarm(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 60);
		return strcmp(argv[1], "stops") == 0 ? stops() : exits();
	}
	GC_set_stop_func(stop);
	wrong += GC_get_stop_func() != stop;
	/* Like ecl; without a limit libgc would give up no stop. */
	GC_set_time_limit(GC_TIME_UNLIMITED);
	GC_set_rate(7);
	GC_set_max_prior_attempts(3);
	wrong += GC_get_time_limit() != GC_TIME_UNLIMITED;
	wrong += GC_get_time_limit_tv().tv_ms != GC_TIME_UNLIMITED;
	wrong += GC_get_rate() != 7 || GC_get_max_prior_attempts() != 3;
	allocate(LISTS);
	for (int i = 0; i < 8; i++) {
		GC_word before = GC_get_gc_no();

		cut = i % 2;
		GC_gcollect();
		if (GC_get_gc_no() != before)
			full++;
		else
			stopped++;
		cut = 0;
		allocate(LISTS / 4);
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
