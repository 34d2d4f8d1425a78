/* SPDX-License-Identifier: MIT
 *
 * Description: keeps objects alive only through the heap, and looks for any that the collector
 * took away.
 *
 * Every object has an id, and its parent knows it, too. A collector that misses a write to
 * an old object frees the object stored there. Its memory becomes a free-list link, zeros or
 * another object, and the ids differ. Subtrees are swapped between old objects and threads,
 * long lists grow the mark stack, wide arrays span many cards, much is dropped and unmapped,
 * and fork children go on collecting. Prints "lost: N"; exit status 1 if N is not 0.
 *
 * torture [-s SEED] [-t THREADS] [-d SECONDS] [-f] [-l LIMIT_MS] [-m MB]
 *   -f  fork children that collect too   -l  a time limit for stops
 */
#ifndef GC_THREADS
#define GC_THREADS
#endif
#include "common/random.h"
#include "tests/boehm/workers.h"

#include <gc.h>

#ifdef TORTURE_API
#include <cardmark/gc.h>
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIDS 4
#define TREES 64
#define THREADS 16
#define DEPTH 5
#define MAGIC UINT64_C(0x6f626a6563742121)

struct object {
	uint64_t magic, id, check;
	struct object *kid[KIDS];
	uint64_t kid_id[KIDS]; /* 0: none */
};

struct worker {
	uint64_t random;
	struct object **trees;
	uint64_t *tree_ids; /* malloc memory: no pointers in it */
	uint64_t operations, lost;
	unsigned index;
	pthread_t thread;
};

static unsigned megabytes = 24;
static bool forks;
static unsigned long limit_ms;

/* Subtrees in passage from one thread to another. */
static pthread_mutex_t market_lock = PTHREAD_MUTEX_INITIALIZER;
static struct object **market;
static uint64_t *market_ids;
#define MARKET 32

static uint64_t check_of(uint64_t id)
{
	return (id + MAGIC) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool intact(const struct object *o, uint64_t id)
{
	return o->magic == MAGIC && o->id == id && o->check == check_of(id);
}

static struct object *new_object(void)
{
	struct object *o = GC_MALLOC(sizeof(*o));

	if (!o)
		exit(99);
	o->id = atomic_fetch_add(&next_id, 1);
	o->check = check_of(o->id);
	o->magic = MAGIC;
	return o;
}

/* Built from the top, so that the parent is already old when a collection
 * comes between it and its last kid. */
static struct object *new_tree(int depth)
{
	struct object *o = new_object();

	for (int i = 0; depth > 0 && i < KIDS; i++) {
		struct object *kid = new_tree(depth - 1);

		o->kid_id[i] = kid->id;
		o->kid[i] = kid;
	}
	return o;
}

/* A long list needs an equally deep mark stack. */
static struct object *new_list(int length)
{
	struct object *head = new_object(), *o = head;

	while (length-- > 0) {
		struct object *next = new_object();

		o->kid_id[0] = next->id;
		o->kid[0] = next;
		o = next;
	}
	return head;
}

static uint64_t verify(struct object *o, uint64_t id)
{
	uint64_t lost = 0;

	for (;;) {
		if (!o || !intact(o, id))
			return lost + 1;
		for (int i = 1; i < KIDS; i++)
			if (o->kid_id[i])
				lost += verify(o->kid[i], o->kid_id[i]);
		if (!o->kid_id[0])
			return lost;
		id = o->kid_id[0];
		o = o->kid[0];
	}
}

/* A slot some way down tree t; NULL if an object on the way is gone. */
static struct object *descend(struct worker *w, unsigned t)
{
	struct object *o = w->trees[t];
	unsigned depth = (unsigned)(random_xorshift(&w->random) % DEPTH);

	if (!intact(o, w->tree_ids[t]))
		return NULL;
	while (depth-- > 0) {
		unsigned i = (unsigned)(random_xorshift(&w->random) % KIDS);

		if (!o->kid_id[i])
			break;
		if (!intact(o->kid[i], o->kid_id[i]))
			return NULL;
		o = o->kid[i];
	}
	return o;
}

static void plant(struct worker *w, unsigned t)
{
	struct object *o = random_xorshift(&w->random) % 8 ? new_tree(DEPTH) : new_list(4000);

	w->tree_ids[t] = o->id;
	w->trees[t] = o;
}

static void lost_one(struct worker *w, unsigned t)
{
	w->lost++;
	plant(w, t);
}

static void swap(struct worker *w)
{
	unsigned t = (unsigned)(random_xorshift(&w->random) % TREES),
		 u = (unsigned)(random_xorshift(&w->random) % TREES);
	unsigned i = (unsigned)(random_xorshift(&w->random) % KIDS),
		 j = (unsigned)(random_xorshift(&w->random) % KIDS);
	struct object *a = descend(w, t), *b = descend(w, u), *kid;
	uint64_t id;

	if (!a || !b) {
		lost_one(w, a ? u : t);
		return;
	}
	if (t == u) /* one could be above the other */
		return;
	kid = a->kid[i];
	id = a->kid_id[i];
	a->kid[i] = b->kid[j];
	a->kid_id[i] = b->kid_id[j];
	b->kid[j] = kid;
	b->kid_id[j] = id;
}

static void renew(struct worker *w)
{
	unsigned t = (unsigned)(random_xorshift(&w->random) % TREES),
		 i = (unsigned)(random_xorshift(&w->random) % KIDS);
	struct object *o = descend(w, t), *kid;

	if (!o) {
		lost_one(w, t);
		return;
	}
	kid = new_tree(2);
	o->kid_id[i] = kid->id;
	o->kid[i] = kid;
}

static void trade(struct worker *w)
{
	unsigned t = (unsigned)(random_xorshift(&w->random) % TREES),
		 i = (unsigned)(random_xorshift(&w->random) % KIDS);
	unsigned m = (unsigned)(random_xorshift(&w->random) % MARKET);
	struct object *o = descend(w, t), *kid;
	uint64_t id;

	if (!o) {
		lost_one(w, t);
		return;
	}
	pthread_mutex_lock(&market_lock);
	kid = market[m];
	id = market_ids[m];
	market[m] = o->kid[i];
	market_ids[m] = o->kid_id[i];
	o->kid[i] = kid;
	o->kid_id[i] = id;
	pthread_mutex_unlock(&market_lock);
}

static void litter(struct worker *w)
{
	for (int i = 0; i < 200; i++) {
		size_t size = 16 + random_xorshift(&w->random) % 400;
		char *p =
			random_xorshift(&w->random) % 4 ? GC_MALLOC(size) : GC_MALLOC_ATOMIC(size);

		memset(p, 0x55, size);
	}
	if (random_xorshift(&w->random) % 64 == 0)
		memset(GC_MALLOC(200000), 0x55, 200000);
}

/* Plants all trees again at once: the heap shrinks, unmaps, and grows. */
static void upheaval(struct worker *w)
{
	for (unsigned t = 0; t < TREES; t++)
		if (t % 2)
			w->trees[t] = NULL;
	GC_gcollect();
	for (unsigned t = 0; t < TREES; t++)
		if (t % 2)
			plant(w, t);
}

static uint64_t verify_all(struct worker *w)
{
	uint64_t lost = 0;

	for (unsigned t = 0; t < TREES; t++) {
		uint64_t n = verify(w->trees[t], w->tree_ids[t]);

		if (n)
			plant(w, t);
		lost += n;
	}
	return lost;
}

static void step(struct worker *w)
{
	switch (random_xorshift(&w->random) % 16) {
	case 0:
	case 1:
	case 2:
		renew(w);
		break;
	case 3:
		trade(w);
		break;
	case 4:
		litter(w);
		break;
	default:
		swap(w);
		break;
	}
	if (++w->operations % 20000 == 0)
		w->lost += verify_all(w);
	if (w->operations % 100000 == 0)
		upheaval(w);
	if (w->operations % 3000 == 0)
		plant(w, (unsigned)(random_xorshift(&w->random) % TREES));
}

static void begin(struct worker *w)
{
	w->random = seed * UINT64_C(0x2545f4914f6cdd1d) + w->index * UINT64_C(7919) + 1;
	/* Spread over several cards, so that roots are written on many of them. */
	w->trees = GC_MALLOC(TREES * sizeof(*w->trees));
	w->tree_ids = calloc(TREES, sizeof(*w->tree_ids));
	if (!w->trees || !w->tree_ids)
		exit(99);
	for (unsigned t = 0; t < TREES; t++)
		plant(w, t);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	begin(w);
	while (!atomic_load(&stop))
		step(w);
	w->lost += verify_all(w);
	return NULL;
}

/* The child has this thread only; the others' trees are as they left them. */
static void child(struct worker *w)
{
	uint64_t lost = 0;

	for (int i = 0; i < 6000; i++)
		step(w);
	lost = w->lost + verify_all(w);
	if (lost)
		fprintf(stderr, "child lost: %llu\n", (unsigned long long)lost);
	_exit(lost ? 1 : 0);
}

static uint64_t fork_child(struct worker *w)
{
	int status = 0;
	pid_t pid;

	pthread_mutex_lock(&market_lock);
	pid = fork();
	pthread_mutex_unlock(&market_lock);
	if (pid < 0)
		return 0;
	if (pid == 0) {
		w->lost = 0;
		child(w);
	}
	waitpid(pid, &status, 0);
	return status == 0 ? 0 : 1;
}

static void main_thread(struct worker *w)
{
	time_t end = time(NULL) + (time_t)seconds;
	uint64_t children = 0, children_lost = 0;

	begin(w);
	while (time(NULL) < end) {
		for (int i = 0; i < 5000; i++)
			step(w);
		if (forks && children < 2u * seconds) {
			children++;
			children_lost += fork_child(w);
		}
	}
	atomic_store(&stop, true);
	w->lost += verify_all(w) + children_lost;
	if (forks)
		printf("children: %llu\n", (unsigned long long)children);
}

static void start_collector(void)
{
#ifdef TORTURE_API
	struct cardmark_gc_options options = CARDMARK_GC_OPTIONS_INIT;
	int r;

	options.pause_target_ms = (unsigned)limit_ms;
	r = cardmark_gc_enable(&options);
	if (r != 0) {
		printf("cardmark_gc_enable: %s: %s\n", cardmark_strerror(r), cardmark_last_error());
		exit(r == -95 /* ENOTSUP */ || r == -1 ? 77 : 99);
	}
#else
	if (limit_ms)
		GC_set_time_limit(limit_ms);
#endif
	GC_set_handle_fork(1);
	GC_INIT();
	GC_set_force_unmap_on_gcollect(1);
	GC_allow_register_threads();
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	uint64_t lost = 0, operations = 0;
	int c;

	while ((c = getopt(argc, argv, "s:t:d:l:m:f")) != -1) {
		unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;

		if (is_worker_option(c, optarg, THREADS))
			continue;
		if (c == 'l')
			limit_ms = value;
		else if (c == 'm')
			megabytes = (unsigned)value;
		else if (c == 'f')
			forks = true;
		else
			return 2;
	}
	printf("seed: %llu threads: %u\n", (unsigned long long)seed, threads);
	fflush(stdout);
	start_collector();
	GC_expand_hp((size_t)megabytes << 20);
	market = GC_MALLOC(MARKET * sizeof(*market));
	market_ids = calloc(MARKET, sizeof(*market_ids));
	for (unsigned i = 1; i < threads; i++) {
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			return 99;
	}
	main_thread(&workers[0]);
	for (unsigned i = 0; i < threads; i++) {
		if (i)
			pthread_join(workers[i].thread, NULL);
		lost += workers[i].lost;
		operations += workers[i].operations;
	}
	for (unsigned m = 0; m < MARKET; m++)
		if (market_ids[m])
			lost += verify(market[m], market_ids[m]);
	printf("operations: %llu collections: %lu\n", (unsigned long long)operations,
	       (unsigned long)GC_get_gc_no());
#ifdef TORTURE_API
	struct cardmark_gc_info info = { .size = sizeof(info) };

	if (cardmark_gc_info(&info) == 0)
		printf("way: %s backend: %s %s\n",
		       info.way == CARDMARK_GC_WAY_A   ? "A"
		       : info.way == CARDMARK_GC_WAY_B ? "B"
						       : "none",
		       cardmark_backend_name(info.backend), info.why);
#endif
	printf("lost: %llu\n", (unsigned long long)lost);
	return lost ? 1 : 0;
}
