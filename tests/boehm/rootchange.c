/* SPDX-License-Identifier: MIT
 *
 * Description: keeps objects alive by roots that come and go, and looks for any that the
 * collector took away.
 *
 * Each thread has small areas in memory that all threads share, so that one page has several
 * roots, and areas of some pages that it maps and unmaps. It adds them as roots, whole, in
 * overlapping parts, or shorter first; writes to them, removes them, and adds them again with
 * the stores made meanwhile. A single thread also unmaps some, and loads and unloads
 * libraries, in whose data it keeps objects; with several libgc itself may still have such
 * memory on its mark stack. Prints "lost: N"; exit status 1 if N is not 0.
 *
 * rootchange [-s SEED] [-t THREADS] [-d SECONDS] [-f] [LIBRARY...]
 *   -f  all collections are full ones */
#ifndef GC_THREADS
#define GC_THREADS
#endif
#include "common/random.h"
#include "tests/boehm/workers.h"

#include <gc.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MAGIC UINT64_C(0x726f6f7473212121)
#define AREAS 48
#define SLOTS 6
#define THREADS 4
#define SMALL 384 /* bytes */
#define LIBRARIES 4
#define OLD 24000
#define CHAIN 20000

struct object {
	uint64_t magic, id;
	struct object *kid;
	uint64_t kid_id; /* 0: none */
};

struct area {
	char *at;
	size_t bytes;
	bool mapped, root;
	uint64_t id[SLOTS]; /* 0: none */
};

struct worker {
	unsigned index;
	uint64_t random, operations, lost;
	struct area *areas;    /* malloc memory: no pointers in it */
	struct object ***held; /* malloc memory: points to the objects of areas that are no roots */
	void **chain;          /* heap: the only path to those objects */
	struct object ***old;  /* heap that is written to all the time */
	pthread_t thread;
};

static bool full;
static char *shared;
static _Atomic unsigned stops;

static uint64_t pick(struct worker *w, uint64_t n)
{
	return random_xorshift(&w->random) % n;
}

static bool intact(const struct object *o, uint64_t id)
{
	return o && o->magic == MAGIC && o->id == id;
}

static struct object *new_object(struct object *kid)
{
	struct object *o = GC_MALLOC(sizeof(*o));

	if (!o)
		exit(99);
	o->id = atomic_fetch_add(&next_id, 1);
	o->magic = MAGIC;
	o->kid = kid;
	o->kid_id = kid ? kid->id : 0;
	return o;
}

static uint64_t lost_in(const struct object *o, uint64_t id)
{
	for (; id; id = o->kid_id, o = o->kid)
		if (!intact(o, id))
			return 1;
	return 0;
}

static struct object **slot(const struct area *a, size_t i)
{
	size_t apart = (a->bytes - sizeof(void *)) / (SLOTS - 1) & ~(sizeof(void *) - 1);

	return (struct object **)(void *)(a->at + i * apart);
}

static void place(struct worker *w, struct area *a)
{
	size_t n = (size_t)(a - w->areas);

	if (n % 3) { /* side by side with another thread's */
		a->at = shared + (n * THREADS + w->index) * SMALL;
		a->bytes = SMALL;
		return;
	}
	a->bytes = (1 + pick(w, 12)) * PAGE - pick(w, 4) * 1000 - 64;
	a->bytes &= ~(sizeof(void *) - 1);
	a->at = mmap(NULL, a->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->at == MAP_FAILED)
		exit(99);
	a->mapped = true;
}

static void add(struct worker *w, struct area *a)
{
	char *end, *half;

	if (!a->at)
		place(w, a);
	end = a->at + a->bytes;
	half = a->at + (a->bytes / 2 & ~(sizeof(void *) - 1));
	switch (pick(w, 4)) {
	case 0: /* grows */
		GC_add_roots(a->at, half);
		GC_add_roots(a->at, end);
		break;
	case 1: /* overlap */
		GC_add_roots(half - 64, end);
		GC_add_roots(a->at, half + 64);
		break;
	default:
		GC_add_roots(a->at, end);
		break;
	}
	a->root = true;
}

static void check(struct worker *w, struct area *a)
{
	for (size_t i = 0; a->at && i < SLOTS; i++) {
		if (!a->id[i] || !lost_in(*slot(a, i), a->id[i]))
			continue;
		w->lost++;
		*slot(a, i) = NULL;
		a->id[i] = 0;
	}
}

/* Kept out of line, so that no register or stack slot keeps the object alive. */
__attribute__((noinline)) static void store(struct worker *w, struct area *a, size_t i)
{
	struct object *o = new_object(new_object(new_object(NULL)));

	if (!a->root)
		(*w->held)[(size_t)(a - w->areas) * SLOTS + i] = o;
	*slot(a, i) = o;
	a->id[i] = o->id;
}

/* No longer a root: its objects are dropped, and sometimes it is unmapped. */
static void leave(struct worker *w, struct area *a)
{
	check(w, a);
	GC_remove_roots(a->at, a->at + a->bytes);
	a->root = false;
	memset(a->id, 0, sizeof(a->id));
	for (size_t i = 0; i < SLOTS; i++)
		*slot(a, i) = NULL;
	if (a->mapped && pick(w, 2)) {
		munmap(a->at, a->bytes);
		a->at = NULL;
		a->mapped = false;
	}
}

static void litter(struct worker *w)
{
	for (uint64_t i = pick(w, 400); i-- > 0;)
		memset(GC_MALLOC(16 + pick(w, 200)), 0x55, 16);
}

/* Old memory that is written to everywhere: more dirty pages than fit into a stop. */
static void churn(struct worker *w)
{
	for (int i = 0; i < 40; i++) {
		struct object ***o = &w->old[pick(w, OLD)];

		(*o)[pick(w, 40)] = (struct object *)(void *)w->old[pick(w, OLD)];
	}
}

/* Stored while the area is no root, and held elsewhere until it is a root again. */
static void fill(struct worker *w, struct area *a)
{
	for (size_t i = 0; i < SLOTS; i++)
		store(w, a, i);
}

static void release(struct worker *w, const struct area *a)
{
	for (size_t i = 0; i < SLOTS; i++)
		(*w->held)[(size_t)(a - w->areas) * SLOTS + i] = NULL;
}

static void come(struct worker *w, struct area *a)
{
	bool filled = a->at && pick(w, 4);

	if (filled) {
		fill(w, a);
		litter(w);
	}
	add(w, a);
	if (filled)
		release(w, a);
}

/* Objects that were held elsewhere become reachable only from a root during marking: after a
 * stop that looked at the dirty bits and then gave up, and before marking has reached the
 * place that held them. The next stop must look at the new roots. */
static void come_all(struct worker *w)
{
	unsigned seen = atomic_load(&stops);
	uint64_t more = 0;

	for (size_t i = 0; i < AREAS; i++)
		if (!w->areas[i].root && w->areas[i].at)
			fill(w, &w->areas[i]);
	for (int i = 0; i < 200; i++)
		churn(w);
	for (int i = 0; i < 50000 && seen == atomic_load(&stops); i++)
		memset(GC_MALLOC(100), 0x55, 16);
	for (more = pick(w, 3000); more > 0; more--)
		memset(GC_MALLOC(100), 0x55, 16);
	for (size_t i = 0; i < AREAS; i++)
		if (!w->areas[i].root && w->areas[i].at) {
			add(w, &w->areas[i]);
			release(w, &w->areas[i]);
		}
}

static void on_event(GC_EventType event)
{
	if (event == GC_EVENT_POST_START_WORLD)
		atomic_fetch_add(&stops, 1);
}

static void one_step(struct worker *w)
{
	struct area *a = &w->areas[pick(w, AREAS)];

	check(w, a);
	if (pick(w, 200) == 0)
		come_all(w);
	else if (!a->root)
		come(w, a);
	else if (pick(w, 4) == 0)
		leave(w, a);
	else
		store(w, a, pick(w, SLOTS));
	if (pick(w, 4) == 0)
		churn(w);
	if (pick(w, 16) == 0)
		litter(w);
	w->operations++;
}

static void begin(struct worker *w)
{
	w->random = seed * UINT64_C(0x2545f4914f6cdd1d) + w->index * UINT64_C(7919) + 1;
	w->areas = calloc(AREAS, sizeof(*w->areas));
	w->held = calloc(1, sizeof(*w->held));
	w->old = GC_MALLOC(OLD * sizeof(*w->old));
	if (!w->areas || !w->held || !w->old)
		exit(99);
	*w->held = GC_MALLOC(AREAS * SLOTS * sizeof(**w->held));
	w->chain = (void **)*w->held;
	for (int i = 0; i < CHAIN; i++) {
		void **link = GC_MALLOC(sizeof(*link));

		*link = w->chain;
		w->chain = link;
	}
	for (size_t i = 0; i < OLD; i++)
		w->old[i] = GC_MALLOC(40 * sizeof(void *));
}

static void check_all(struct worker *w)
{
	for (size_t i = 0; i < AREAS; i++)
		check(w, &w->areas[i]);
}

static void *run(void *arg)
{
	begin(arg);
	while (!atomic_load(&stop))
		one_step(arg);
	check_all(arg);
	return NULL;
}

/* The data of a library is a root for as long as it is loaded. */
struct library {
	const char *path;
	void *handle;
	struct area area;
};

static void step_library(struct worker *w, struct library *l)
{
	struct area *a = &l->area;

	if (!l->handle) {
		l->handle = dlopen(l->path, RTLD_NOW | RTLD_LOCAL);
		if (!l->handle) {
			fprintf(stderr, "%s\n", dlerror());
			exit(99);
		}
		a->at = dlsym(l->handle, "root_slots");
		a->bytes = 8192;
		a->root = true;
		memset(a->id, 0, sizeof(a->id));
	}
	check(w, a);
	store(w, a, pick(w, SLOTS));
	if (pick(w, 12) == 0) {
		dlclose(l->handle);
		/* Now libgc notices the unload. Before that, it would take a root that the
		 * program adds at the same place for the library's, with the library's length. */
		GC_gcollect();
		l->handle = NULL;
		a->at = NULL;
	}
}

static void main_thread(struct worker *w, char **paths, size_t n)
{
	static struct library libraries[LIBRARIES];
	time_t last = time(NULL) + (time_t)seconds;
	uint64_t loads = 0;

	begin(w);
	for (size_t i = 0; i < n; i++)
		libraries[i].path = paths[i];
	while (time(NULL) < last) {
		for (int i = 0; i < 200; i++)
			one_step(w);
		for (int i = 0; i < 20 && n; i++) {
			struct library *l = &libraries[pick(w, n)];

			loads += !l->handle;
			step_library(w, l);
		}
	}
	atomic_store(&stop, true);
	check_all(w);
	for (size_t i = 0; i < n; i++)
		if (libraries[i].handle)
			check(w, &libraries[i].area);
	printf("libraries loaded: %llu\n", (unsigned long long)loads);
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	uint64_t lost = 0, operations = 0;
	int c;

	threads = 2;
	while ((c = getopt(argc, argv, "s:t:d:f")) != -1) {
		if (c == 'f')
			full = true;
		else if (!is_worker_option(c, optarg, THREADS))
			return 2;
	}
	if (argc - optind > (threads == 1 ? LIBRARIES : 0))
		return 2;
	printf("seed: %llu threads: %u\n", (unsigned long long)seed, threads);
	fflush(stdout);
	GC_INIT();
	GC_allow_register_threads();
	if (full)
		GC_set_full_freq(0);
	GC_set_on_collection_event(on_event);
	shared = mmap(NULL, AREAS * THREADS * SMALL, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 99;
	for (unsigned i = 1; i < threads; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			return 99;
	}
	main_thread(&workers[0], &argv[optind], (size_t)(argc - optind));
	for (unsigned i = 0; i < threads; i++) {
		if (i)
			pthread_join(workers[i].thread, NULL);
		lost += workers[i].lost;
		operations += workers[i].operations;
	}
	printf("operations: %llu collections: %lu libgc: %u\n", (unsigned long long)operations,
	       (unsigned long)GC_get_gc_no(), GC_get_version());
	printf("lost: %llu\n", (unsigned long long)lost);
	return lost ? 1 : 0;
}
