/* SPDX-License-Identifier: MIT
 *
 * Description: an arena under watch in a fork child, and forks beside threads that
 * allocate: no write of parent or child is lost, and no thread waits for ever. */
#include "gc-glue/jemalloc/glue.h" /* first: the file has a variable `je` */

#include "tests/jemalloc/je.h"
#include "tests/support/broken_os.h"
#include "tests/support/fork_order.h"
#include "tests/support/random.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARDS 200

static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;
static unsigned char *p;
static int flags;

static void set_up(void)
{
	cm = live_open();
	table = live_table(cm);
	je = je_create(cm, 0);
	flags = cardmark_jemalloc_flags(je);
	p = mallocx(CARDS * live_card, flags);
	CHECK(p != NULL);
	memset(p, 1, CARDS * live_card);
}

static void tear_down(void)
{
	dallocx(p, flags);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
}

static void collect(void)
{
	cardmark_table_clear(table);
	(void)cardmark_jemalloc_collect(je, table);
}

static bool dirty(const void *at)
{
	return cardmark_jemalloc_is_dirty(je, table, at);
}

/* How many of the cards 0, 3, 6, ... of p are written and not reported. */
static size_t lost_writes(void)
{
	size_t lost = 0;

	for (size_t i = 0; i < CARDS; i += 3)
		live_store(p + i * live_card, (unsigned char)(i + 2));
	collect();
	for (size_t i = 0; i < CARDS; i += 3)
		lost += !dirty(p + i * live_card);
	return lost;
}

static void in_child(void *arg)
{
	size_t *lost = arg;
	unsigned char *q;

	*lost = 0;
	collect(); /* everything, the first time */
	*lost += !dirty(p);
	*lost += lost_writes();
	q = mallocx((size_t)32 << 20, flags);
	CHECK(q != NULL);
	CHECK_EQ(cardmark_jemalloc_check(je, q, (size_t)32 << 20), 0);
	live_store(q + 5 * live_card, 1);
	collect();
	*lost += !dirty(q + 5 * live_card);
	collect();
	live_store(q + 7 * live_card, 1);
	collect();
	*lost += !dirty(q + 7 * live_card);
	dallocx(q, flags);
}

static size_t lost_by_child(size_t *shared)
{
	CHECK_EQ(tap_in_child(in_child, shared), 0);
	return *shared;
}

static size_t *shared_word(void)
{
	void *word =
		mmap(NULL, live_card, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	live_own_memory(word, live_card);
	return word;
}

static void a_child_loses_nothing(void)
{
	size_t *shared = shared_word();

	set_up();
	collect();
	live_store(p, 9); /* not asked for before the fork */
	CHECK_EQ(lost_by_child(shared), 0);
	/* The child took nothing from the parent either. */
	collect();
	CHECK(dirty(p));
	CHECK_EQ(lost_writes(), 0);
	tear_down();
}

/* The control: descriptors of the parent's. */
static void with_the_parents_descriptors_writes_are_lost(void)
{
	size_t *shared = shared_word(), parent;

	break_by_keeping_descriptors(broken_os_begin());
	set_up();
	collect();
	live_store(p, 9);
	*shared = 0;
	(void)tap_in_child(in_child, shared);
	collect();
	parent = !dirty(p);
	tap_note("lost: %zu by the child, %zu by the parent", *shared, parent);
	CHECK(*shared + parent > 0);
	tear_down();
	broken_os_end();
}

/* ---- Threads allocate while others fork ------------------------------------------------ */

#define MUTATORS 2
#define FORKERS 2
#define FORKS 40

static atomic_bool stop;
static atomic_uint mutators_lost, children_failed;
static pthread_barrier_t all_run; /* a thread on its way may be in ASan's allocator */

/* Large objects come and go: with retain:false that is a hook each. */
static void *mutate(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	int mine = cardmark_jemalloc_flags(je);
	void *objects[16] = { 0 };

	(void)pthread_barrier_wait(&all_run);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		size_t i = random_below(&state, 16);
		if (objects[i] != NULL)
			dallocx(objects[i], mine);
		objects[i] = mallocx(random_below(&state, (size_t)4 << 20) + 1, mine);
		if (objects[i] == NULL || !cardmark_jemalloc_contains(je, objects[i], 1))
			atomic_fetch_add_explicit(&mutators_lost, 1, memory_order_relaxed);
		else
			live_store(objects[i], 1);
	}
	for (size_t i = 0; i < 16; i++)
		if (objects[i] != NULL)
			dallocx(objects[i], mine);
	return NULL;
}

/* Allocates without a cache: the threads' caches no longer exist. */
static void work_in_child(void)
{
	int none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	struct cardmark_table *own = NULL;
	unsigned char *q = mallocx((size_t)8 << 20, none);
	bool ok = q != NULL && cardmark_jemalloc_contains(je, q, (size_t)8 << 20) &&
		  cardmark_table_new(&own, cm) == 0;

	for (int i = 0; ok && i < 3; i++) {
		cardmark_table_clear(own);
		(void)cardmark_jemalloc_collect(je, own);
		live_store(q + (size_t)i * live_card, 7);
		cardmark_table_clear(own);
		(void)cardmark_jemalloc_collect(je, own);
		ok = cardmark_jemalloc_is_dirty(je, own, q + (size_t)i * live_card);
	}
	_exit(ok ? 0 : 1);
}

static void *fork_often(void *arg)
{
	(void)arg;
	(void)pthread_barrier_wait(&all_run);
	for (int i = 0; i < FORKS; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			work_in_child();
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			atomic_fetch_add_explicit(&children_failed, 1, memory_order_relaxed);
	}
	return NULL;
}

/* jemalloc 5 does not hold the lock of its address tree over a fork: if another thread adds a
 * leaf (1 GiB of addresses) to it at the moment of the fork, the child waits for that lock for
 * ever. So the leaves are made before any fork. */
static void grow_address_tree(void)
{
	enum { LEAVES = 3 };
	void *objects[LEAVES];

	for (size_t i = 0; i < LEAVES; i++) {
		objects[i] = mallocx((size_t)1 << 30, flags);
		CHECK(objects[i] != NULL);
	}
	for (size_t i = 0; i < LEAVES; i++)
		dallocx(objects[i], flags);
}

static void forks_beside_threads(void)
{
	pthread_t mutators[MUTATORS], forkers[FORKERS];
	struct cardmark_jemalloc_stats stats;

	if (TAP_TSAN)
		tap_skip("this sanitizer takes a child's threads for those of the parent");
	set_up();
	grow_address_tree();
	atomic_store(&stop, false);
	atomic_store(&mutators_lost, 0);
	atomic_store(&children_failed, 0);
	CHECK_EQ(pthread_barrier_init(&all_run, NULL, MUTATORS + FORKERS), 0);
	for (size_t i = 0; i < MUTATORS; i++)
		CHECK_EQ(pthread_create(&mutators[i], NULL, mutate, (void *)(uintptr_t)(i + 1)), 0);
	for (size_t i = 0; i < FORKERS; i++)
		CHECK_EQ(pthread_create(&forkers[i], NULL, fork_often, NULL), 0);
	for (int i = 0; i < 50; i++) {
		collect();
		CHECK_EQ(lost_writes(), 0);
	}
	for (size_t i = 0; i < FORKERS; i++)
		CHECK_EQ(pthread_join(forkers[i], NULL), 0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < MUTATORS; i++)
		CHECK_EQ(pthread_join(mutators[i], NULL), 0);
	stats = je_stats(je);
	tap_note("%d forks, %llu hooks deferred, %llu tracks failed, %llu mended", FORKERS * FORKS,
		 (unsigned long long)stats.deferred, (unsigned long long)stats.track_failed,
		 (unsigned long long)stats.mended);
	CHECK_EQ(atomic_load(&mutators_lost), 0);
	CHECK_EQ(atomic_load(&children_failed), 0);
	/* A hook that waited for the tracker while it was held over a fork would have
	 * failed after its time. */
	CHECK_EQ(stats.track_failed, 0);
	CHECK_EQ(lost_writes(), 0);
	CHECK_EQ(je_stats(je).always_dirty_bytes, 0);
	tear_down();
}

/* What a hook does while a fork holds the arena's lock. */
static struct je_hooks *ours;
static unsigned char *extent;
static size_t extent_bytes;
static atomic_bool go, gone;

static void *call_hooks(void *arg)
{
	bool zero = false, commit = true;
	unsigned arena = cardmark_jemalloc_arena(je);

	(void)arg;
	while (!atomic_load(&go))
		(void)usleep(100);
	extent = ours->alloc(ours, NULL, extent_bytes, live_card, &zero, &commit, arena);
	/* Refused, whatever the inner hook would return. */
	if (extent != NULL && !ours->dalloc(ours, extent, extent_bytes, true, arena))
		extent = NULL;
	if (extent != NULL)
		(void)ours->purge_forced(ours, extent, extent_bytes, 0, live_card, arena);
	atomic_store(&gone, true);
	return NULL;
}

/* Runs after the adapter's handler: handlers before a fork go last in, first out, and
 * this one is registered before any arena is made. */
static bool in_this_fork;

static void while_forking(void)
{
	if (!in_this_fork)
		return;
	atomic_store(&go, true);
	while (!atomic_load(&gone))
		(void)usleep(100);
}

/* With opt.retain dalloc needs no lock to refuse. */
static uint64_t deferred_hooks(void)
{
	bool retain = false;

	CHECK_EQ(je_read_option("opt.retain", &retain), 0);
	return retain ? 2 : 3;
}

static void exit_child(void *arg)
{
	struct cardmark_jemalloc_stats stats = je_stats(je);

	(void)arg;
	in_this_fork = false;
	CHECK_EQ(stats.deferred, deferred_hooks());
	CHECK(cardmark_jemalloc_contains(je, extent, extent_bytes));
	CHECK(dirty(extent));
	live_store(extent, 1);
	collect();
	CHECK(dirty(extent));
	CHECK_EQ(je_stats(je).always_dirty_bytes, 0);
}

static void hooks_do_not_wait_for_a_fork(void)
{
	struct cardmark_jemalloc_range out;
	pthread_t thread;

	if (TAP_TSAN)
		tap_skip("this sanitizer takes a child's threads for those of the parent");
	set_up();
	ours = je_read_hooks(cardmark_jemalloc_arena(je));
	extent_bytes = 64 * live_card;
	atomic_store(&go, false);
	atomic_store(&gone, false);
	CHECK_EQ(pthread_create(&thread, NULL, call_hooks, NULL), 0);
	in_this_fork = true;
	CHECK_EQ(tap_in_child(exit_child, NULL), 0);
	in_this_fork = false;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(extent != NULL);
	CHECK_EQ(je_stats(je).deferred, deferred_hooks());
	CHECK_EQ(je_stats(je).track_failed, 0);
	/* Noted, entered, and dirty until a collect of the adapter's. */
	CHECK(cardmark_jemalloc_contains(je, extent, extent_bytes));
	CHECK(dirty(extent) && dirty(extent + extent_bytes - 1));
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	CHECK(dirty(extent));
	CHECK_EQ(cardmark_jemalloc_discarded(je, &out, 1), 1);
	CHECK_EQ(out.flags, CARDMARK_JEMALLOC_ZEROED);
	CHECK_EQ(out.start, (uintptr_t)extent);
	live_store(extent, 1);
	collect();
	CHECK(dirty(extent));
	CHECK_EQ(je_stats(je).always_dirty_bytes, 0);
	CHECK_EQ(je_stats(je).mended, 1);
	/* jemalloc does not know this memory. */
	ours->destroy(ours, extent, extent_bytes, true, cardmark_jemalloc_arena(je));
	CHECK(!cardmark_jemalloc_contains(je, extent, 1));
	tear_down();
}

/* ---- A fork in a process that clone(2) made ---------------------------------------------- */

/* Ended with a kill after 30 s: a fork that waits for ever has every signal blocked. */
static bool exited_well(pid_t pid)
{
	int status = -1;

	if (pid <= 0)
		return false;
	for (int i = 0; i < 3000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status == 0;
		(void)usleep(10000);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return false;
}

/* A thread was in the middle of a hook: here its lock is locked, but the thread does not
 * exist. */
static int fork_in_clone(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct cardmark_jemalloc_range range;
		bool ok = cardmark_jemalloc_contains(je, p, 1) && dirty(p) && dirty(p + live_card);

		ok = ok && cardmark_jemalloc_next_range(je, 0, &range) &&
		     range.flags == CARDMARK_JEMALLOC_ALWAYS_DIRTY && range.end > (uintptr_t)p;
		_exit(ok ? 0 : 1);
	}
	return exited_well(pid) ? 0 : 1;
}

static void a_fork_in_a_clone_does_not_wait_for_ever(void)
{
	pid_t pid;

	if (TAP_TSAN)
		tap_skip("this sanitizer takes a child's threads for those of the parent");
	set_up();
	collect();
	cardmark_table_clear(table);
	CHECK_EQ(pthread_mutex_lock(&je->lock), 0);
	pid = (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid == 0)
		_exit(fork_in_clone());
	CHECK_EQ(pthread_mutex_unlock(&je->lock), 0);
	CHECK(exited_well(pid));
	tear_down();
}

/* Hooks that the program wrote over ours go on to call ours after a detach. */
static int call_detached_hook(struct cardmark_jemalloc *detached)
{
	struct cm_je_hooks *hooks = &detached->hooks;
	bool zero = false, commit = true;

	return hooks->alloc(hooks, NULL, (size_t)2 << 20, live_card, &zero, &commit,
			    detached->arena) != NULL
		       ? 0
		       : 1;
}

static void hooks_of_a_detached_arena_go_on_in_a_child(void)
{
	struct cardmark_jemalloc *detached;
	pid_t pid;

	if (TAP_TSAN)
		tap_skip("this sanitizer takes a child's threads for those of the parent");
	set_up();
	dallocx(p, flags);
	detached = je;
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
	CHECK_EQ(pthread_mutex_lock(&detached->lock), 0); /* as a thread that is in a hook */
	pid = fork();
	if (pid == 0)
		_exit(call_detached_hook(detached));
	CHECK_EQ(pthread_mutex_unlock(&detached->lock), 0);
	CHECK(exited_well(pid));
}

/* ---- A collector that stops threads by a signal ---------------------------------------- */

static void a_collectors_handlers_come_first(void)
{
	set_up();
	CHECK_EQ(fork_order_unanswered(collect), 0);
	tear_down();
}

static void control_behind_ours_they_wait_for_ever(void)
{
	CHECK(fork_order_fails_early("a collector's fork handlers come before ours"));
}

static const struct live_case cases[] = {
	{ "a child loses nothing, and takes nothing", a_child_loses_nothing, 0, 0 },
	{ "control: with the parent's descriptors writes are lost",
	  with_the_parents_descriptors_writes_are_lost, 0, LIVE_ONLY(PAGEMAP) },
	{ "forks while threads allocate", forks_beside_threads, 0, 0 },
	{ "a fork in a clone does not wait for ever", a_fork_in_a_clone_does_not_wait_for_ever, 0,
	  0 },
	{ "hooks do not wait for a fork", hooks_do_not_wait_for_a_fork, 0, 0 },
	{ "a collector's fork handlers come before ours", a_collectors_handlers_come_first, 0, 0 },
	{ "control: behind ours they wait for ever", control_behind_ours_they_wait_for_ever, 0,
	  LIVE_ONLY(ALLDIRTY) },
	{ "hooks of a detached arena go on in a child", hooks_of_a_detached_arena_go_on_in_a_child,
	  0, 0 },
};

/* Called after the adapter's, whose constructor has no priority, and before jemalloc's, which
 * are added with its first call. */
__attribute__((constructor(101))) static void add_early_handler(void)
{
	dallocx(mallocx(1, 0), 0);
	(void)pthread_atfork(while_forking, NULL, NULL);
	fork_order_early();
}

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
