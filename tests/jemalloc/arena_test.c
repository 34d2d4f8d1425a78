/* SPDX-License-Identifier: MIT
 *
 * Description: an arena under watch from its creation to its end: written pages are dirty,
 * allocation does not count as a write, and impossible calls are refused with a reason. */
#include "tests/jemalloc/watched.h"

#include "lib/tracker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef JE_PREFIXED
#include <jemalloc/jemalloc.h>

/* The adapter has its own idea of jemalloc's interface. */
_Static_assert(sizeof(struct je_hooks) == sizeof(extent_hooks_t), "size of the hooks");
#define SAME(name)                                                                                 \
	_Static_assert(offsetof(struct je_hooks, name) == offsetof(extent_hooks_t, name), #name)
SAME(alloc);
SAME(dalloc);
SAME(destroy);
SAME(commit);
SAME(decommit);
SAME(purge_lazy);
SAME(purge_forced);
SAME(split);
SAME(merge);
_Static_assert(MALLOCX_TCACHE_NONE == JE_TCACHE_NONE, "MALLOCX_TCACHE_NONE");
#endif

static void writes_are_reported(void)
{
	unsigned char *p;
	int flags;

	set_up(0);
	flags = cardmark_jemalloc_flags(je);
	p = mallocx(100 * live_card, flags);
	CHECK(p != NULL);
	CHECK_EQ(cardmark_jemalloc_check(je, p, 100 * live_card), 0);
	memset(p, 1, 100 * live_card);
	collect();
	for (size_t i = 0; i < 100; i++)
		CHECK(dirty(p + i * live_card));
	collect();
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(dirty_cards(), 0);
	live_store(p + 7 * live_card, 2);
	live_store(p + 42 * live_card, 2);
	collect();
	CHECK(dirty(p + 7 * live_card) && dirty(p + 42 * live_card));
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(dirty_cards(), 2);
	dallocx(p, flags);
	tear_down();
}

/* jemalloc keeps its metadata out of the arena's pages. The control: with metadata from the
 * hooks, the same work shows as writes. */
static size_t cards_dirtied_by_50000(unsigned flags)
{
	enum { N = 50000 };
	static void *objects[N];
	static struct cardmark_jemalloc_range had[256];
	struct cardmark_run run;
	size_t n = 0, ranges = 0;
	int with;

	set_up(flags);
	with = cardmark_jemalloc_flags(je);
	/* The first turns are for the slabs, which are new memory. */
	for (int turn = 0; turn < 4; turn++) {
		for (size_t i = 0; i < N; i++) {
			objects[i] = mallocx(16 + i % 16 * 16, with);
			CHECK(objects[i] != NULL);
			if (turn == 0)
				memset(objects[i], 1, 16);
		}
		if (turn < 3)
			collect();
		for (size_t i = 0; i < N; i++)
			dallocx(objects[i], with);
		if (turn < 3)
			collect();
		if (turn == 2)
			for (uintptr_t at = 0;
			     ranges < 256 && cardmark_jemalloc_next_range(je, at, &had[ranges]);
			     at = had[ranges++].end)
				;
	}
	collect();
	/* What jemalloc mapped in the last turn is new, and dirty where a backend cannot tell. */
	for (uintptr_t at = 0; cardmark_jemalloc_next_dirty(je, table, at, UINTPTR_MAX, &run);
	     at = run.end)
		for (uintptr_t card = run.start; card < run.end; card += live_card)
			for (size_t i = 0; i < ranges; i++)
				n += card >= had[i].start && card < had[i].end;
	tear_down();
	return n;
}

static void allocating_and_freeing_is_not_writing(void)
{
	size_t n = cards_dirtied_by_50000(0);
	const char *junk_is = "";
	size_t size = sizeof junk_is;

	if (mallctl("opt.junk", &junk_is, &size, NULL, 0) == 0 && strcmp(junk_is, "false") != 0)
		tap_skip("this jemalloc fills memory (opt.junk:%s)", junk_is);
	tap_note("50000 allocations and frees dirtied %zu cards", n);
	CHECK_EQ(n, 0);
	n = cards_dirtied_by_50000(CARDMARK_JEMALLOC_METADATA);
	tap_note("and with the books in the hooks %zu", n);
	CHECK(n > 0);
}

static void metadata_is_tracked_if_asked_for(void)
{
	uint64_t without;
	void *p;

	set_up(0);
	p = mallocx(8, cardmark_jemalloc_flags(je));
	CHECK(p != NULL);
	without = je_stats(je).alloc;
	dallocx(p, cardmark_jemalloc_flags(je));
	tear_down();
	set_up(CARDMARK_JEMALLOC_METADATA);
	CHECK(je_stats(je).alloc > 0); /* before any allocation */
	p = mallocx(8, cardmark_jemalloc_flags(je));
	CHECK(p != NULL);
	CHECK(je_stats(je).alloc > without);
	CHECK_EQ(cardmark_jemalloc_check(je, p, 8), 0);
	dallocx(p, cardmark_jemalloc_flags(je));
	tear_down();
}

static int refuse(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen)
{
	(void)name, (void)oldp, (void)oldlenp, (void)newp, (void)newlen;
	return ENOENT;
}

static void expect_refused(int error, int want, const char *words)
{
	CHECK_EQ(error, want);
	if (strstr(cardmark_last_error(), words) == NULL)
		tap_note("said \"%s\", without \"%s\"", cardmark_last_error(), words);
	CHECK(strstr(cardmark_last_error(), words) != NULL);
	CHECK(je == NULL);
}

static void bad_arguments_are_refused(void)
{
	struct cardmark_jemalloc_stats stats = { .size = 3 };
	struct cardmark_jemalloc_range range;

	cm = live_open();
	CHECK_EQ(cardmark_jemalloc_create(NULL, cm, mallctl, 0), -EINVAL);
	expect_refused(cardmark_jemalloc_create(&je, NULL, mallctl, 0), -EINVAL, "tracker");
	expect_refused(cardmark_jemalloc_create(&je, cm, NULL, 0), -EINVAL, "mallctl is NULL");
	expect_refused(cardmark_jemalloc_create(&je, cm, mallctl, 64), -EINVAL, "0x40");
	expect_refused(cardmark_jemalloc_create(&je, cm, mallctl, CARDMARK_JEMALLOC_BEST_EFFORT),
		       -EINVAL, "flags");
	expect_refused(cardmark_jemalloc_create(&je, cm, refuse, 0), -ENOTSUP, "jemalloc 5");
	expect_refused(cardmark_jemalloc_adopt(&je, cm, mallctl, 4000, 0), -EINVAL,
		       "no arena 4000");
	expect_refused(cardmark_jemalloc_adopt(&je, cm, mallctl, 0, CARDMARK_JEMALLOC_METADATA),
		       -EINVAL, "flags");
	CHECK_EQ(cardmark_jemalloc_destroy(NULL), 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
	je = je_create(cm, 0);
	CHECK_EQ(cardmark_jemalloc_stats(je, &stats), -EINVAL);
	CHECK_EQ(cardmark_jemalloc_discarded(je, &range, 0), -EINVAL);
	CHECK(!cardmark_jemalloc_contains(je, &stats, sizeof stats));
	CHECK(!cardmark_jemalloc_contains(je, NULL, SIZE_MAX));
	CHECK(!cardmark_jemalloc_next_range(je, 0, &range));
	tear_down();
}

static void a_live_arena_is_refused(void)
{
	struct cardmark_jemalloc *again = NULL;
	unsigned arena;
	void *before, *after;
	int none;

	cm = live_open();
	table = live_table(cm);
	arena = je_new_arena();
	none = JE_ARENA(arena) | JE_TCACHE_NONE;
	before = mallocx(100000, none);
	CHECK(before != NULL);
	expect_refused(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, 0), -EBUSY,
		       "holds memory already");
	/* Only memory that jemalloc keeps is left: it is untracked, too. */
	dallocx(before, none);
	if (retains()) {
		CHECK_EQ(je_arena_do("purge", arena), 0);
		expect_refused(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, 0), -EBUSY,
			       "holds memory already");
	}
	before = mallocx(100000, none);
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, CARDMARK_JEMALLOC_BEST_EFFORT),
		 0);
	CHECK_EQ(cardmark_jemalloc_adopt(&again, cm, mallctl, arena, CARDMARK_JEMALLOC_BEST_EFFORT),
		 -EBUSY);
	CHECK(strstr(cardmark_last_error(), "tracked already") != NULL);
	/* Its old memory is not found, and check gives the reason. New memory is found. */
	CHECK(!cardmark_jemalloc_contains(je, before, 1));
	CHECK_EQ(cardmark_jemalloc_check(je, before, 1), -ENOENT);
	CHECK(strstr(cardmark_last_error(), "before it was adopted") != NULL);
	after = mallocx((size_t)64 << 20, none);
	CHECK(after != NULL);
	CHECK_EQ(cardmark_jemalloc_check(je, after, (size_t)64 << 20), 0);
	tear_down();
}

static void an_unused_arena_is_adopted(void)
{
	struct je_hooks *before;
	unsigned arena;
	void *p;

	cm = live_open();
	table = live_table(cm);
	arena = je_new_arena();
	before = je_read_hooks(arena);
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, 0), 0);
	CHECK_EQ(cardmark_jemalloc_arena(je), arena);
	CHECK(je_read_hooks(arena) != before);
	p = mallocx(100, cardmark_jemalloc_flags(je));
	CHECK_EQ(cardmark_jemalloc_check(je, p, 100), 0);
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
	CHECK(je == NULL);
	CHECK(je_read_hooks(arena) == before);
	CHECK_EQ(live_stats(cm).tracked_bytes, 0);
}

/* One of jemalloc's own arenas that no thread uses yet. */
static void an_automatic_arena_is_adopted(void)
{
	unsigned n = 0, before = 0, after = 0, last;
	size_t size = sizeof n;
	void *p;

	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(mallctl("opt.narenas", &n, &size, NULL, 0), 0);
	CHECK_EQ(mallctl("thread.arena", &before, &size, NULL, 0), 0);
	if (n < 2) {
		tap_note("jemalloc has one arena here");
		return;
	}
	last = n - 1;
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, last, 0), 0);
	CHECK_EQ(mallctl("thread.arena", &after, &size, NULL, 0), 0);
	CHECK_EQ(after, before);
	/* Its metadata is elsewhere: nothing is mapped before the first allocation. */
	CHECK_EQ(live_stats(cm).tracked_bytes, 0);
	p = mallocx(100, cardmark_jemalloc_flags(je));
	CHECK_EQ(cardmark_jemalloc_check(je, p, 100), 0);
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
}

/* jemalloc cannot destroy an automatic arena. */
static void what_jemalloc_keeps_is_said(void)
{
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, 0, CARDMARK_JEMALLOC_BEST_EFFORT), 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), -ENOTSUP);
	CHECK(strstr(cardmark_last_error(), "detach it") != NULL);
	CHECK(je != NULL);
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
}

static void numbers_are_used_again(void)
{
	unsigned first = 0;

	cm = live_open();
	table = live_table(cm);
	for (unsigned turn = 0; turn < 20; turn++) {
		unsigned char *p;

		je = je_create(cm, 0);
		if (turn == 0)
			first = cardmark_jemalloc_arena(je);
		CHECK_EQ(cardmark_jemalloc_arena(je), first);
		p = mallocx(50 * live_card, cardmark_jemalloc_flags(je));
		memset(p, 1, 50 * live_card);
		/* The same thread's cache of the arena before would give its memory. */
		CHECK_EQ(cardmark_jemalloc_check(je, mallocx(48, cardmark_jemalloc_flags(je)), 48),
			 0);
		collect();
		live_store(p + 9 * live_card, 3);
		collect();
		CHECK(dirty(p + 9 * live_card));
		CHECK(!live_can(CARDMARK_CAP_PRECISE) || !dirty(p + 30 * live_card));
		tear_down();
	}
}

static void two_arenas_share_a_tracker(void)
{
	struct cardmark_jemalloc *other;
	unsigned char *p, *q;

	set_up(0);
	other = je_create(cm, 0);
	p = mallocx(10 * live_card, cardmark_jemalloc_flags(je));
	q = mallocx(10 * live_card, cardmark_jemalloc_flags(other));
	CHECK_EQ(cardmark_jemalloc_check(je, p, 10 * live_card), 0);
	CHECK_EQ(cardmark_jemalloc_check(other, q, 10 * live_card), 0);
	CHECK_EQ(cardmark_jemalloc_check(je, q, 10 * live_card), -ENOENT);
	memset(p, 1, 10 * live_card);
	memset(q, 1, 10 * live_card);
	collect();
	CHECK(dirty(p) && cardmark_jemalloc_is_dirty(other, table, q));
	collect();
	live_store(q, 2);
	collect(); /* a collect of one arena collects both */
	CHECK(cardmark_jemalloc_is_dirty(other, table, q));
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(dirty_cards(), 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&other), 0);
	tear_down();
}

/* MALLOCX_ARENA alone: what this thread freed before comes back. */
static void the_trap_is_noticed(void)
{
	enum { N = 64 };
	void *p[N], *q[N];
	unsigned outside = 0;
	int flags;

	set_up(0);
	for (int i = 0; i < N; i++)
		p[i] = plain_malloc(96);
	for (int i = 0; i < N; i++)
		plain_free(p[i]);
	for (int i = 0; i < N; i++) {
		q[i] = mallocx(96, JE_ARENA(cardmark_jemalloc_arena(je)));
		if (cardmark_jemalloc_check(je, q[i], 96) < 0) {
			outside++;
			CHECK(strstr(cardmark_last_error(), "is not in arena") != NULL);
		}
	}
	tap_note("%u of %d allocations without a cache of their own were elsewhere", outside, N);
	CHECK(outside > 0);
	for (int i = 0; i < N; i++)
		plain_free(q[i]);
	CHECK_EQ(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), 0);
	flags = cardmark_jemalloc_flags(je);
	CHECK_EQ(cardmark_jemalloc_flags(je), flags);
	for (int i = 0; i < N; i++) {
		q[i] = mallocx(96, flags);
		CHECK_EQ(cardmark_jemalloc_check(je, q[i], 96), 0);
		q[i] = rallocx(q[i], 5000, flags);
		CHECK_EQ(cardmark_jemalloc_check(je, q[i], 5000), 0);
	}
	for (int i = 0; i < N; i++)
		dallocx(q[i], flags);
	tear_down();
}

struct thread_flags {
	int flags;
	pthread_barrier_t *met;
};

static void *use_flags(void *arg)
{
	struct thread_flags *t = arg;

	t->flags = cardmark_jemalloc_flags(je);
	for (int i = 0; i < 1000; i++) {
		void *p = mallocx(64, t->flags);
		if (cardmark_jemalloc_check(je, p, 64) < 0)
			t->flags = 0;
		dallocx(p, t->flags);
	}
	(void)pthread_barrier_wait(t->met);
	(void)pthread_barrier_wait(t->met);
	return NULL;
}

static void each_thread_has_a_cache(void)
{
	enum { N = 4 };
	struct thread_flags t[N];
	pthread_t threads[N];
	pthread_barrier_t met;

	set_up(0);
	CHECK_EQ(pthread_barrier_init(&met, NULL, N + 1), 0);
	for (int i = 0; i < N; i++) {
		t[i] = (struct thread_flags){ 0, &met };
		CHECK_EQ(pthread_create(&threads[i], NULL, use_flags, &t[i]), 0);
	}
	(void)pthread_barrier_wait(&met);
	CHECK_EQ(je_stats(je).tcaches, N);
	(void)pthread_barrier_wait(&met);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
		CHECK(t[i].flags != 0);
		for (int j = 0; j < i; j++)
			CHECK(t[i].flags != t[j].flags);
	}
	CHECK_EQ(je_stats(je).tcaches, 0); /* given back as they ended */
	CHECK_EQ(je_stats(je).tcache_failed, 0);
	tear_down();
}

/* In a process that clone(2) made in the middle of a call: "not known" does not mean "not
 * watched". */
static void check_when_torn(void *arg)
{
	cm->torn = true;
	CHECK_EQ(cardmark_jemalloc_check(je, arg, 100), -EBUSY);
}

static void what_cannot_be_known_is_busy(void)
{
	unsigned char *p;

	if (TAP_TSAN)
		tap_skip(
			"this sanitizer has no room for the locks that jemalloc holds over a fork");
	set_up(0);
	p = mallocx(100, cardmark_jemalloc_flags(je));
	CHECK_EQ(tap_in_child(check_when_torn, p), 0);
	CHECK_EQ(cardmark_jemalloc_check(je, p, 100), 0);
	CHECK_EQ(cardmark_jemalloc_check(je, p, 0), 0);
	tear_down();
}

/* ---- Reset ------------------------------------------------------------------------------ */

#define OBJECTS 500

/* A thread with objects in its cache, which goes on after each reset. */
struct cached {
	pthread_barrier_t *turn;
	void *v[OBJECTS];
};

static void fill_cache(void **v, int flags)
{
	for (int i = 0; i < OBJECTS; i++)
		v[i] = mallocx(200, flags);
	for (int i = 0; i < OBJECTS; i += 2)
		dallocx(v[i], flags);
}

static void *other_thread(void *arg)
{
	struct cached *c = arg;
	int flags = cardmark_jemalloc_flags(je);

	fill_cache(c->v, flags);
	(void)pthread_barrier_wait(c->turn); /* the arena is reset between these two */
	(void)pthread_barrier_wait(c->turn);
	for (int i = 0; i < OBJECTS; i++)
		c->v[i] = mallocx(200, flags);
	return arg;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

/* Objects that were handed out twice, after a reset while two threads have caches. */
static int handed_out_twice(int (*reset)(void))
{
	static void *all[2 * OBJECTS];
	int flags = cardmark_jemalloc_flags(je), twice = 0;
	pthread_barrier_t turn;
	struct cached other = { .turn = &turn };
	pthread_t thread;

	CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
	fill_cache(all, flags);
	CHECK_EQ(pthread_create(&thread, NULL, other_thread, &other), 0);
	(void)pthread_barrier_wait(&turn);
	CHECK_EQ(reset(), 0);
	for (int i = 0; i < OBJECTS; i++)
		all[i] = mallocx(200, flags);
	(void)pthread_barrier_wait(&turn);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	memcpy(all + OBJECTS, other.v, sizeof other.v);
	qsort(all, 2 * OBJECTS, sizeof *all, by_address);
	for (int i = 1; i < 2 * OBJECTS; i++)
		twice += all[i] == all[i - 1];
	(void)pthread_barrier_destroy(&turn);
	return twice;
}

static int reset_by_us(void)
{
	return cardmark_jemalloc_reset(je);
}

static int reset_by_mallctl(void)
{
	return je_arena_do("reset", cardmark_jemalloc_arena(je));
}

static void an_arena_is_reset(void)
{
	unsigned char *p;
	int flags;

	set_up(0);
	flags = cardmark_jemalloc_flags(je);
	for (int round = 0; round < 3; round++) {
		CHECK_EQ(handed_out_twice(reset_by_us), 0);
		p = mallocx(200, flags);
		collect();
		live_store(p, (unsigned char)(round + 1));
		collect();
		CHECK(dirty(p));
		CHECK_EQ(cardmark_jemalloc_check(je, p, 200), 0);
	}
	CHECK_EQ(cardmark_jemalloc_reset(NULL), -EINVAL);
	tear_down();
}

/* What jemalloc does then is undefined: it hands objects out twice, or the process crashes. */
static void reset_behind(void *arg)
{
	(void)arg;
	_exit(handed_out_twice(reset_by_mallctl) > 0 ? 1 : 0);
}

static void a_reset_behind_us_hands_out_twice(void)
{
	if (TAP_TSAN)
		tap_skip(
			"this sanitizer has no room for the locks that jemalloc holds over a fork");
	set_up(0);
	CHECK(tap_in_child(reset_behind, NULL) != 0);
	tear_down();
}

static const struct live_case cases[] = {
	{ "writes are reported, each card once", writes_are_reported, 0, 0 },
	{ "50000 small allocations and frees dirty no card", allocating_and_freeing_is_not_writing,
	  CARDMARK_CAP_PRECISE, 0 },
	{ "the arena's books are tracked only if asked for", metadata_is_tracked_if_asked_for, 0,
	  0 },
	{ "bad arguments are refused with a reason", bad_arguments_are_refused, 0, 0 },
	{ "an arena that holds memory is refused, or taken as best one can",
	  a_live_arena_is_refused, 0, 0 },
	{ "an unused arena is adopted, and given its hooks back", an_unused_arena_is_adopted, 0,
	  0 },
	{ "an automatic arena is adopted before its first use", an_automatic_arena_is_adopted, 0,
	  0 },
	{ "an arena that jemalloc does not destroy can be detached", what_jemalloc_keeps_is_said, 0,
	  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(ALLDIRTY) },
	{ "arena numbers are used again", numbers_are_used_again, 0, 0 },
	{ "two arenas share a tracker", two_arenas_share_a_tracker, 0, 0 },
	{ "an allocation without a cache of its own is found out", the_trap_is_noticed, 0, 0 },
	{ "check: what cannot be known is busy", what_cannot_be_known_is_busy, 0, 0 },
	{ "an arena is reset", an_arena_is_reset, 0, 0 },
	{ "control: a reset behind us hands objects out twice", a_reset_behind_us_hands_out_twice,
	  0, LIVE_ONLY(PAGEMAP) },
	{ "each thread has a cache, and gives it back", each_thread_has_a_cache, 0, 0 },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
