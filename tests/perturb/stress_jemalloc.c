/* SPDX-License-Identifier: MIT
 *
 * Description: an arena under watch beside forks, threads that end and arenas that are
 * destroyed. What a thread has allocated is in the arena, what it has written is dirty
 * once, and nobody crashes. `make perturb` runs it with delays at chosen places.
 *
 * PROGRAM BACKEND [--seconds=S] [CASE] */
#include "tests/jemalloc/je.h"
#include "tests/perturb/run.h"
#include "tests/perturb/watch.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 2
#define SLOTS 24 /* objects of a thread */
#define CHILD_SECONDS 20

/* Each object that comes or goes is a call of a hook. */
extern const char *_rjem_malloc_conf;
const char *_rjem_malloc_conf = "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0,narenas:1";

struct object {
	pthread_mutex_t lock;
	unsigned char *p;
	size_t size;
	unsigned age;
	/* Of the collector's question. */
	bool asked;
	unsigned asked_age;
	struct watch watch; /* of its second card */
};

static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;
static struct object objects[THREADS][SLOTS];
static atomic_bool over, collector_over;
static atomic_int ended;
static atomic_ulong n_lost, n_children, n_bad_children, n_arenas;

static void lost(const char *what)
{
	if (atomic_fetch_add(&n_lost, 1) < 3)
		tap_note("LOST: %s", what);
}

static unsigned char *watched_card(const struct object *o)
{
	uintptr_t card = live_card;

	return (unsigned char *)(((uintptr_t)o->p + card - 1) / card * card) + card;
}

static void allocate(struct object *o, uint64_t *state, int flags)
{
	size_t size = (4 + random_below(state, 60)) * live_card;
	unsigned char *p = mallocx(size, flags);

	if (p == NULL)
		return;
	/* Whoever has it may ask at once. */
	if (!cardmark_jemalloc_contains(je, p, size))
		lost("an object that was just allocated is not in the arena");
	(void)pthread_mutex_lock(&o->lock);
	memset(&o->watch, 0, sizeof o->watch);
	o->p = p;
	o->size = size;
	o->age++;
	watch_write(&o->watch, watched_card(o));
	(void)pthread_mutex_unlock(&o->lock);
	atomic_fetch_add(&n_writes, 1);
}

static void give_back(struct object *o, int flags)
{
	unsigned char *p;

	(void)pthread_mutex_lock(&o->lock);
	p = o->p;
	o->p = NULL;
	(void)pthread_mutex_unlock(&o->lock);
	dallocx(p, flags);
}

static void write_to(const struct object *o, struct watch *w)
{
	if (!cardmark_jemalloc_contains(je, o->p, o->size))
		lost("a live object is not in the arena");
	watch_write(w, watched_card(o));
	atomic_fetch_add(&n_writes, 1);
}

/* The objects are its own; only whoever collects looks at them as well. */
static void *mutate(void *arg)
{
	size_t me = (uintptr_t)arg;
	uint64_t state = me + 1;
	int flags = cardmark_jemalloc_flags(je);

	while (!atomic_load(&over)) {
		struct object *o = &objects[me][random_below(&state, SLOTS)];

		if (o->p == NULL)
			allocate(o, &state, flags);
		else if (random_below(&state, 3) == 0)
			give_back(o, flags);
		else
			write_to(o, &o->watch);
		if (random_below(&state, 8) == 0)
			sleep_us(100);
	}
	/* Has made its last use of the arena. What is left is to end. */
	atomic_fetch_add(&ended, 1);
	return NULL;
}

static void ask_about(struct object *o)
{
	(void)pthread_mutex_lock(&o->lock);
	o->asked = o->p != NULL;
	o->asked_age = o->age;
	watch_ask(&o->watch);
	(void)pthread_mutex_unlock(&o->lock);
}

static void hear_about(struct object *o)
{
	bool dirty;

	(void)pthread_mutex_lock(&o->lock);
	if (o->p != NULL) {
		dirty = cardmark_jemalloc_is_dirty(je, table, watched_card(o));
		if (!o->asked || o->asked_age != o->age) {
			if (dirty)
				watch_settle(&o->watch);
		} else if (!watch_answer(&o->watch, dirty)) {
			lost("an object that was written is not dirty");
		}
	}
	(void)pthread_mutex_unlock(&o->lock);
}

static void collect_once(void)
{
	for (size_t i = 0; i < THREADS * SLOTS; i++)
		ask_about(&objects[i / SLOTS][i % SLOTS]);
	cardmark_table_clear(table);
	if (atomic_fetch_add(&n_answers, 1) % 2 == 0)
		(void)cardmark_jemalloc_collect(je, table);
	else
		(void)cardmark_jemalloc_collect_arena(je, table);
	for (size_t i = 0; i < THREADS * SLOTS; i++)
		hear_about(&objects[i / SLOTS][i % SLOTS]);
}

static void *collect_and_collect(void *arg)
{
	(void)arg;
	while (!atomic_load(&collector_over)) {
		collect_once();
		sleep_us(1500);
	}
	return NULL;
}

static void set_up(void)
{
	cm = live_open();
	table = live_table(cm);
	memset(objects, 0, sizeof objects);
	for (size_t i = 0; i < THREADS * SLOTS; i++)
		(void)pthread_mutex_init(&objects[i / SLOTS][i % SLOTS].lock, NULL);
	atomic_store(&n_lost, 0);
	atomic_store(&n_answers, 0);
	atomic_store(&n_writes, 0);
	atomic_store(&n_children, 0);
	atomic_store(&n_bad_children, 0);
	atomic_store(&n_arenas, 0);
}

static void start(pthread_t *threads)
{
	atomic_store(&over, false);
	atomic_store(&collector_over, false);
	atomic_store(&ended, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, mutate, (void *)i), 0);
	CHECK_EQ(pthread_create(&threads[THREADS], NULL, collect_and_collect, NULL), 0);
}

/* Returns when nobody uses the arena any more; the mutators may not have ended. */
static void come_to_rest(pthread_t collector)
{
	atomic_store(&over, true);
	while (atomic_load(&ended) < THREADS)
		(void)sched_yield();
	atomic_store(&collector_over, true);
	(void)pthread_join(collector, NULL);
}

static void check_counts(void)
{
	tap_note("%s %s: %lu writes, %lu answers, %lu children, %lu arenas, lost %lu",
		 cardmark_backend_name(live_backend), live_now->name, atomic_load(&n_writes),
		 atomic_load(&n_answers), atomic_load(&n_children), atomic_load(&n_arenas),
		 atomic_load(&n_lost));
	CHECK(atomic_load(&n_writes) > 0 && atomic_load(&n_answers) > 0);
	CHECK_EQ(atomic_load(&n_lost), 0);
	CHECK_EQ(atomic_load(&n_bad_children), 0);
}

/* ---- Forks ------------------------------------------------------------------------------ */

static void have_child(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)alarm(CHILD_SECONDS);
		(void)cardmark_jemalloc_collect(je, table);
		cardmark_table_clear(table);
		(void)cardmark_jemalloc_collect(je, table);
		_exit(0);
	}
	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	atomic_fetch_add(&n_children, 1);
	if (status == 0)
		return;
	atomic_fetch_add(&n_bad_children, 1);
	tap_note("%s", WTERMSIG(status) == SIGALRM ? "a child hangs" : "a child crashed");
}

static void forks(void)
{
	uint64_t deadline = deadline_ns();
	pthread_t threads[THREADS + 1];

	set_up();
	je = je_create(cm, 0);
	atomic_fetch_add(&n_arenas, 1);
	start(threads);
	while (goes_on(deadline)) {
		have_child();
		sleep_us(300);
	}
	come_to_rest(threads[THREADS]);
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	collect_once();
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	check_counts();
}

/* ---- Ends --------------------------------------------------------------------------------- */

/* Threads end while their arena is destroyed, and the next one is made. */
static void ends(void)
{
	uint64_t deadline = deadline_ns();
	pthread_t threads[THREADS + 1];

	set_up();
	while (goes_on(deadline)) {
		je = je_create(cm, 0);
		atomic_fetch_add(&n_arenas, 1);
		start(threads);
		sleep_us(4000);
		come_to_rest(threads[THREADS]);
		CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
		for (size_t i = 0; i < THREADS * SLOTS; i++)
			objects[i / SLOTS][i % SLOTS].p = NULL;
		for (size_t i = 0; i < THREADS; i++)
			(void)pthread_join(threads[i], NULL);
	}
	CHECK_EQ(live_stats(cm).tracked_bytes, 0);
	check_counts();
}

/* -------------------------------------------------------------------------------------------- */

static const struct live_case cases[] = {
	{ .name = "forks", .run = forks },
	{ .name = "ends", .run = ends },
};

/* jemalloc's fork handlers are added with its first call. Before the adapter's: then hooks of other
 * threads run while a fork has the adapter's locks. */
__attribute__((constructor(101))) static void use_jemalloc_first(void)
{
	dallocx(mallocx(1, 0), 0);
}

int main(int argc, char **argv)
{
	return stress_main(argc, argv, LIVE_CASES(cases));
}
