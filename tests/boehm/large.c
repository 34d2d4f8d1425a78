/* SPDX-License-Identifier: MIT
 *
 * Description: objects that are reachable only from pages of large old objects. Those are
 * written to here and there between collections, and then the program looks for its objects.
 *
 * large [-s SEED] [-d SECONDS] [-w WRITES] [-t THREADS] [-f] [-p | -P]
 *   -w  into each array between two looks (few pages, or more than are kept apart)
 *   -f  fork children that go on
 *   -p  sets a GC_push_other_roots of its own, again and again; -P does so unseen by the adapter
 * Prints "lost: N" and how often its own function was called; status 1 if N is not 0. */
#ifndef GC_THREADS
#define GC_THREADS
#endif
#include "common/clock.h"
#include "common/random.h"
#include "tests/boehm/objects.h"

#include <gc/gc_mark.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ARRAYS 3
#define THREADS 8

struct worker {
	struct object **array[ARRAYS];
	uint64_t *ids[ARRAYS]; /* malloc memory */
	uint64_t random, lost, rounds;
	pthread_t thread;
};

static const size_t slots_of[ARRAYS] = { 6000, 131072, 700001 };
static struct worker worker[THREADS];
static unsigned writes = 20;
static double seconds = 2;
static bool forks;
static char mine;

static GC_push_other_roots_proc before;
static unsigned long calls;

typedef void set_fn(GC_push_other_roots_proc);
typedef GC_push_other_roots_proc get_fn(void);
static set_fn *set = GC_set_push_other_roots;
static get_fn *get = GC_get_push_other_roots;

static void push_mine(void)
{
	calls++;
	if (before)
		before();
}

static uint64_t look(const struct worker *w)
{
	uint64_t lost = 0;

	for (int a = 0; a < ARRAYS; a++)
		for (size_t i = 0; i < slots_of[a]; i++)
			lost += is_lost(w->array[a][i], w->ids[a][i]);
	return lost;
}

static void write_to(struct worker *w, int a)
{
	for (unsigned k = 0; k < writes; k++) {
		size_t i = random_xorshift(&w->random) % slots_of[a];
		struct object *o = new_object();

		w->ids[a][i] = o->id;
		w->array[a][i] = o; /* like most programs, without telling libgc */
	}
}

static void go_on(struct worker *w, double until)
{
	while (cm_now_seconds() < until) {
		if (mine && w == worker && w->rounds % 8 == 1 && get() != push_mine) {
			before = get();
			set(push_mine);
		}
		for (int a = 0; a < ARRAYS; a++)
			write_to(w, a);
		garbage(40000);
		w->lost += look(w);
		w->rounds++;
	}
}

static uint64_t lost_in_child(struct worker *w)
{
	pid_t child = fork();

	if (child == 0) {
		go_on(w, cm_now_seconds() + 0.2);
		_exit(w->lost ? 1 : 0);
	}
	return lost_in(child);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	double end = cm_now_seconds() + seconds;

	for (int a = 0; a < ARRAYS; a++) {
		w->array[a] = GC_MALLOC(slots_of[a] * sizeof *w->array[a]);
		w->ids[a] = calloc(slots_of[a], sizeof *w->ids[a]);
		if (!w->array[a] || !w->ids[a])
			exit(99);
	}
	GC_gcollect();
	while (cm_now_seconds() < end) {
		go_on(w, cm_now_seconds() + 0.3);
		if (forks)
			w->lost += lost_in_child(w);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads = 1;
	uint64_t seed = 1, lost = 0, rounds = 0;

	for (int c; (c = getopt(argc, argv, "s:d:w:t:fpP")) != -1;)
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			seconds = atof(optarg);
			break;
		case 'w':
			writes = (unsigned)atoi(optarg);
			break;
		case 't':
			threads = (unsigned)atoi(optarg) % (THREADS + 1);
			break;
		case 'f':
			forks = true;
			break;
		case 'p':
		case 'P':
			mine = (char)c;
			break;
		default:
			return 99;
		}
	if (forks)
		GC_set_handle_fork(1);
	GC_INIT();
	if (mine == 'P') {
		*(void **)(void *)&set = dlsym(RTLD_DEFAULT, "GC_set_push_other_roots");
		*(void **)(void *)&get = dlsym(RTLD_DEFAULT, "GC_get_push_other_roots");
	}
	for (unsigned i = 0; i < threads; i++) {
		worker[i].random = (seed + i) * 2 + 1;
		if (i > 0 && GC_pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0)
			return 99;
	}
	work(&worker[0]);
	for (unsigned i = 0; i < threads; i++) {
		if (i > 0)
			GC_pthread_join(worker[i].thread, NULL);
		lost += worker[i].lost;
		rounds += worker[i].rounds;
	}
	printf("rounds: %llu collections: %lu calls: %lu\n", (unsigned long long)rounds,
	       (unsigned long)GC_get_gc_no(), calls);
	printf("lost: %llu\n", (unsigned long long)lost);
	return lost ? 1 : 0;
}
