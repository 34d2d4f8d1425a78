/* SPDX-License-Identifier: MIT
 *
 * Description: an arena's hooks: mappings that are unmapped as one, memory that is refused or
 * cannot be tracked, discarded memory, and a detach beside threads inside the hooks. */
#include "gc-glue/jemalloc/glue.h"
#include "tests/jemalloc/watched.h"
#include "tests/support/broken_os.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Inner hooks that fail, refuse, and map anew --------------------------------- */

static struct je_hooks *jemallocs;
static _Atomic bool inner_refuses_dalloc;
static atomic_uint inner_dallocs;

static void *inner_alloc(struct je_hooks *h, void *at, size_t size, size_t alignment, bool *zero,
			 bool *commit, unsigned arena)
{
	(void)h;
	return jemallocs->alloc(jemallocs, at, size, alignment, zero, commit, arena);
}

/* Unmaps even with opt.retain. */
static bool inner_dalloc(struct je_hooks *h, void *addr, size_t size, bool committed,
			 unsigned arena)
{
	(void)h, (void)committed, (void)arena;
	inner_dallocs++;
	return inner_refuses_dalloc || munmap(addr, size) != 0;
}

static bool inner_purge_forced(struct je_hooks *h, void *addr, size_t size, size_t offset,
			       size_t length, unsigned arena)
{
	(void)h;
	return jemallocs->purge_forced(jemallocs, addr, size, offset, length, arena);
}

static struct je_hooks inner_hooks = { .alloc = inner_alloc,
				       .dalloc = inner_dalloc,
				       .purge_forced = inner_purge_forced,
				       .split = je_split,
				       .merge = je_merge };

static void set_up_inner(void)
{
	unsigned arena;

	cm = live_open();
	table = live_table(cm);
	arena = je_new_arena();
	jemallocs = je_read_hooks(arena);
	CHECK_EQ(je_write_hooks(arena, &inner_hooks), 0);
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, 0), 0);
	inner_refuses_dalloc = false;
	inner_dallocs = 0;
}

/* Blocks of an arena are mapped one by one, side by side, and are unmapped as one. */
static void merged_mappings_go_as_one(void)
{
	enum { N = 200 };
	struct cardmark_jemalloc_stats stats;
	void *p[N];
	int none;

	set_up_inner();
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	for (int i = 0; i < N; i++) {
		p[i] = mallocx((size_t)4 << 20, none);
		CHECK(p[i] != NULL);
		live_store(p[i], 1);
	}
	collect();
	stats = je_stats(je);
	CHECK(stats.bytes >= (uint64_t)N * 4 << 20);
	CHECK_EQ(live_stats(cm).tracked_bytes, stats.bytes);
	for (int i = 0; i < N; i += 2)
		dallocx(p[i], none);
	for (int i = 1; i < N; i += 2)
		CHECK_EQ(cardmark_jemalloc_check(je, p[i], (size_t)4 << 20), 0);
	for (int i = 1; i < N; i += 2)
		dallocx(p[i], none);
	CHECK_EQ(je_arena_do("purge", cardmark_jemalloc_arena(je)), 0);
	stats = je_stats(je);
	tap_note("alloc %llu dalloc %llu merge %llu split %llu ranges %llu",
		 (unsigned long long)stats.alloc, (unsigned long long)stats.dalloc,
		 (unsigned long long)stats.merge, (unsigned long long)stats.split,
		 (unsigned long long)stats.ranges);
	CHECK(stats.merge > 0);
	if (!retains()) {
		/* Each was a mapping of its own, and fewer were unmapped. */
		CHECK(stats.alloc >= N);
		CHECK(stats.dalloc < stats.alloc);
		CHECK_EQ(stats.bytes, 0);
	}
	CHECK_EQ(live_stats(cm).tracked_bytes, stats.bytes);
	CHECK_EQ(stats.track_failed + stats.untrack_failed, 0);
	tear_down();
}

static void what_is_refused_is_watched_again(void)
{
	unsigned char *p, *q;
	int none;

	set_up_inner();
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	p = mallocx((size_t)8 << 20, none);
	memset(p, 1, (size_t)8 << 20);
	collect();
	inner_refuses_dalloc = true;
	dallocx(p, none);
	CHECK_EQ(je_arena_do("purge", cardmark_jemalloc_arena(je)), 0);
	CHECK(inner_dallocs > 0);
	CHECK(je_stats(je).dalloc_refused > 0);
	/* jemalloc uses the memory that it could not return. */
	q = mallocx((size_t)8 << 20, none);
	CHECK_EQ(cardmark_jemalloc_check(je, q, (size_t)8 << 20), 0);
	memset(q, 2, (size_t)8 << 20);
	collect();
	live_store(q + 5 * live_card, 3);
	collect();
	CHECK(dirty(q + 5 * live_card));
	inner_refuses_dalloc = false;
	dallocx(q, none);
	tear_down();
}

/* If tracking fails, malloc still works: the range is dirty until a collect repairs it. */
static atomic_bool kernel_fails;

static int failing_vma_at(uintptr_t addr, struct cm_vma *out)
{
	return atomic_load(&kernel_fails) ? -EACCES : cm_os_linux.vma_at(addr, out);
}

static int failing_covered(uintptr_t addr, size_t len)
{
	return atomic_load(&kernel_fails) ? -ENOMEM : cm_os_linux.covered(addr, len);
}

static void what_cannot_be_tracked_is_dirty(void)
{
	size_t len = (size_t)8 << 20;
	struct cm_os *os = broken_os_begin();
	struct cardmark_jemalloc_range range;
	struct cardmark_run run;
	uintptr_t at = 0;
	unsigned char *p;
	int none;

	os->vma_at = failing_vma_at;
	os->covered = failing_covered;
	atomic_store(&kernel_fails, false);
	set_up(0);
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	atomic_store(&kernel_fails, true);
	p = mallocx(len, none);
	CHECK(p != NULL);
	CHECK_EQ(cardmark_jemalloc_check(je, p, len), 0);
	CHECK(je_stats(je).track_failed > 0);
	CHECK(je_stats(je).last_error < 0);
	CHECK(je_stats(je).always_dirty_bytes >= len);
	CHECK(cardmark_jemalloc_next_range(je, (uintptr_t)p, &range));
	CHECK_EQ(range.flags, CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	for (int i = 0; i < 3; i++) {
		cardmark_table_clear(table);
		CHECK(cardmark_jemalloc_collect(je, table) != CARDMARK_EXACT);
		CHECK(dirty(p) && dirty(p + len - 1));
	}
	/* The walk has it whole, whatever the table says; also after a collect that is not
	 * the adapter's. */
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	while (cardmark_jemalloc_next_dirty(je, table, at, UINTPTR_MAX, &run) &&
	       run.end <= (uintptr_t)p)
		at = run.end;
	CHECK(run.start <= (uintptr_t)p && run.end >= (uintptr_t)p + len);
	atomic_store(&kernel_fails, false);
	memset(p, 1, len);
	collect();
	CHECK_EQ(je_stats(je).always_dirty_bytes, 0);
	CHECK(je_stats(je).mended > 0);
	CHECK(dirty(p) && dirty(p + len - 1)); /* as new */
	collect();
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(dirty_cards(), 0);
	live_store(p + 3 * live_card, 2);
	collect();
	CHECK(dirty(p + 3 * live_card));
	dallocx(p, none);
	tear_down();
	/* The seam stays as it is: uffd's monitor looks at it until the tracker is closed. */
}

static void a_suspended_trackers_arena_is_dirty(void)
{
	unsigned char *p;
	int none;

	set_up(0);
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	CHECK_EQ(cardmark_suspend(cm), 0);
	p = mallocx((size_t)8 << 20, none);
	CHECK(p != NULL);
	live_store(p, 1);
	CHECK(cardmark_jemalloc_collect(je, table) != CARDMARK_EXACT);
	CHECK(dirty(p));
	CHECK_EQ(cardmark_resume(cm), 0);
	collect();
	CHECK(dirty(p));
	dallocx(p, none);
	tear_down();
}

/* ---- Discards ---------------------------------------------------------------------- */

static void discards_are_not_writes(void)
{
	struct cardmark_jemalloc_range out[64];
	size_t len = (size_t)4 << 20;
	uint64_t zeroed = 0;
	unsigned char *p;
	int n, none;

	set_up(0);
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	p = mallocx(len, none);
	memset(p, 1, len);
	collect();
	collect();
	while (cardmark_jemalloc_discarded(je, out, 64) > 0)
		;
	dallocx(p, none);
	CHECK_EQ(je_arena_do("purge", cardmark_jemalloc_arena(je)), 0);
	collect();
	if (live_backend == CARDMARK_BACKEND_PAGEMAP)
		CHECK_EQ(dirty_cards(), 0); /* discarded is not written */
	/* One at a time, to the end. */
	while ((n = cardmark_jemalloc_discarded(je, out, 1)) > 0) {
		CHECK_EQ(n, 1);
		if (out[0].flags == CARDMARK_JEMALLOC_ZEROED)
			zeroed += out[0].end - out[0].start;
	}
	CHECK_EQ(n, 0);
	if (je_stats(je).dalloc != je_stats(je).dalloc_refused)
		tap_skip("this jemalloc unmaps (opt.retain:false)");
	CHECK(zeroed >= len);
	CHECK_EQ(cardmark_jemalloc_discarded(je, out, 64), 0); /* reported once */
	/* A new write there is reported as a write. */
	p = mallocx(len, none);
	memset(p, 2, len);
	collect();
	for (size_t i = 0; i < len; i += live_card)
		CHECK(dirty(p + i));
	dallocx(p, none);
	tear_down();
}

/* More than the list holds: the whole arena is reported. */
static void a_full_list_is_said(void)
{
	struct cardmark_jemalloc_range out[64];
	struct je_hooks *ours;
	uint64_t bytes = 0, arena_bytes;
	void *p, *base;
	int n, none;

	set_up(0);
	none = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	p = mallocx((size_t)64 << 20, none);
	CHECK(p != NULL);
	/* Like jemalloc with 8000 dirty extents with gaps. */
	ours = je_read_hooks(cardmark_jemalloc_arena(je));
	base = (void *)((uintptr_t)p & ~(live_card - 1));
	for (size_t i = 0; i < 8000; i++)
		CHECK(!ours->purge_forced(ours, base, (size_t)64 << 20, 2 * i * live_card,
					  live_card, cardmark_jemalloc_arena(je)));
	CHECK(je_stats(je).discards_overflown > 0);
	while ((n = cardmark_jemalloc_discarded(je, out, 64)) > 0) {
		for (int i = 0; i < n; i++)
			if (out[i].flags == CARDMARK_JEMALLOC_INDETERMINATE)
				bytes += out[i].end - out[i].start;
	}
	arena_bytes = je_stats(je).bytes;
	CHECK_EQ(bytes, arena_bytes);
	dallocx(p, none);
	tear_down();
}

/* ---- Detach beside threads ----------------------------------------------------------- */

static atomic_bool stop;

struct churner {
	pthread_barrier_t *ready;
	int flags;
	uint64_t seed, done;
};

static void *churn_until_told(void *arg)
{
	struct churner *c = arg;
	void *live[64] = { 0 };

	c->flags = cardmark_jemalloc_flags(je);
	(void)pthread_barrier_wait(c->ready);
	while (!atomic_load(&stop)) {
		size_t i = random_below(&c->seed, 64);
		if (live[i] != NULL)
			dallocx(live[i], c->flags);
		live[i] =
			mallocx(random_below(&c->seed, 8) == 0 ? random_below(&c->seed, 1 << 20) + 1
							       : random_below(&c->seed, 2000) + 1,
				c->flags);
		if (live[i] != NULL)
			*(volatile char *)live[i] = 1;
		c->done++;
	}
	for (size_t i = 0; i < 64; i++)
		if (live[i] != NULL)
			dallocx(live[i], c->flags);
	return NULL;
}

static void detach_while_threads_run(void)
{
	enum { N = 2 };
	struct churner c[N];
	pthread_t threads[N];
	pthread_barrier_t ready;
	uint64_t allocs = 0;
	unsigned arena;

	set_up_inner();
	arena = cardmark_jemalloc_arena(je);
	for (int turn = 0; turn < 10; turn++) {
		atomic_store(&stop, false);
		CHECK_EQ(pthread_barrier_init(&ready, NULL, N + 1), 0);
		for (int i = 0; i < N; i++) {
			c[i] = (struct churner){ &ready, 0, (uint64_t)(turn * N + i), 0 };
			CHECK_EQ(pthread_create(&threads[i], NULL, churn_until_told, &c[i]), 0);
		}
		(void)pthread_barrier_wait(&ready);
		for (int i = 0; i < 20; i++) {
			/* Not cleared: while the tracker tracks, only the tracker may use the
			 * table. */
			(void)cardmark_jemalloc_collect(je, table);
			(void)usleep(500);
		}
		allocs += je_stats(je).alloc;
		CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
		CHECK(je_read_hooks(arena) == &inner_hooks);
		CHECK_EQ(live_stats(cm).tracked_bytes, 0);
		(void)usleep(3000); /* threads go on with the former hooks */
		CHECK_EQ(live_stats(cm).tracked_bytes, 0);
		atomic_store(&stop, true);
		for (int i = 0; i < N; i++)
			CHECK_EQ(pthread_join(threads[i], NULL), 0);
		CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, arena,
						 CARDMARK_JEMALLOC_BEST_EFFORT),
			 0);
	}
	CHECK(allocs > 0);
	tear_down();
}

/* ---- Readers beside a hook ---------------------------------------------------------- */

static atomic_bool inside, let_out;

static void *change_the_map(void *arg)
{
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	atomic_store_explicit(&inside, true, memory_order_release);
	while (!atomic_load_explicit(&let_out, memory_order_acquire))
		(void)usleep(1000);
	(void)usleep(100000); /* longer than readers used to wait */
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	return arg;
}

/* A background thread of jemalloc that loses its processor in the middle of a change. */
static void a_slow_hook_hides_nothing(void)
{
	struct cardmark_jemalloc_range r;
	pthread_t thread;
	unsigned char *p;

	set_up(0);
	p = mallocx((size_t)1 << 20, cardmark_jemalloc_flags(je));
	collect();
	live_store(p, 1);
	collect();
	for (int i = 0; i < 3; i++) {
		atomic_store(&inside, false);
		atomic_store(&let_out, false);
		CHECK_EQ(pthread_create(&thread, NULL, change_the_map, NULL), 0);
		while (!atomic_load_explicit(&inside, memory_order_acquire))
			(void)usleep(1000);
		atomic_store_explicit(&let_out, true, memory_order_release);
		if (i == 0)
			CHECK(dirty_cards() >= 1);
		else if (i == 1)
			CHECK(cardmark_jemalloc_next_range(je, (uintptr_t)p, &r) &&
			      r.start <= (uintptr_t)p && r.flags == 0);
		else
			CHECK(!cardmark_jemalloc_contains(je, &r, 1));
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
	tear_down();
}

/* For example, a tracer stopped it there: no reader waits for ever. */
static void a_hook_that_never_ends_makes_all_dirty(void)
{
	struct cardmark_run run;
	unsigned char *p;
	bool told;

	set_up(0);
	p = mallocx((size_t)1 << 20, cardmark_jemalloc_flags(je));
	collect();
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	told = cardmark_jemalloc_next_dirty(je, table, (uintptr_t)p, UINTPTR_MAX, &run) &&
	       run.start <= (uintptr_t)p && run.end > (uintptr_t)p + ((size_t)1 << 20);
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	CHECK(told);
	tear_down();
}

#if !TAP_TSAN /* takes the copy for a thread that races */
/* A bare clone(2) in the middle of a change: no thread of the child ends it. */
static void a_copy_in_the_middle_is_dirty(void)
{
	struct cardmark_run run;
	unsigned char *p;
	pid_t pid;

	set_up(0);
	p = mallocx((size_t)1 << 20, cardmark_jemalloc_flags(je));
	collect();
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0UL);
	if (pid == 0)
		_exit(dirty(p) && cardmark_jemalloc_contains(je, p, 1) &&
				      cardmark_jemalloc_next_dirty(je, table, (uintptr_t)p,
								   UINTPTR_MAX, &run) &&
				      run.start <= (uintptr_t)p && run.end > (uintptr_t)p &&
				      !cardmark_jemalloc_next_dirty(je, table, run.end, UINTPTR_MAX,
								    &run)
			      ? 0
			      : 1);
	(void)atomic_fetch_add_explicit(&je->ranges.version, 1, memory_order_acq_rel);
	CHECK_EQ(tap_wait(pid), 0);
	tear_down();
}
#endif

static const struct live_case cases[] = {
	{ "mappings that were merged go as one", merged_mappings_go_as_one, 0, 0 },
	{ "what could not be unmapped is watched again", what_is_refused_is_watched_again, 0, 0 },
	{ "what could not be tracked is dirty until it is", what_cannot_be_tracked_is_dirty, 0, 0 },
	{ "a suspended tracker's arena is dirty", a_suspended_trackers_arena_is_dirty, 0, 0 },
	{ "discards are not writes, and told once", discards_are_not_writes, 0, 0 },
	{ "a full list of discards is said", a_full_list_is_said, 0, 0 },
	{ "detach while threads allocate", detach_while_threads_run, 0, 0 },
	{ "a hook that takes long hides nothing", a_slow_hook_hides_nothing, 0, 0 },
	{ "a hook that never ends makes all dirty", a_hook_that_never_ends_makes_all_dirty, 0, 0 },
#if !TAP_TSAN
	{ "a copy made in the middle of a hook takes all for dirty", a_copy_in_the_middle_is_dirty,
	  0, 0 },
#endif
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
