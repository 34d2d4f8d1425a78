/* SPDX-License-Identifier: MIT
 *
 * Description: orders of events in the adapter, each forced: a reader while notes are being
 * entered, a collect without the adapter's lock, a thread that ends beside a destroy or reset,
 * a thread whose own destructors still free objects. Controls: without the rule the reader
 * gets "not in the arena", and the destroy does not wait. */
#include "gc-glue/jemalloc/glue.h" /* first: the frame has a variable `je` */

#include "tests/jemalloc/locked.h"
#include "tests/support/broken_os.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Notes ------------------------------------------------------------------------- */

static _Atomic bool gate_notes;

static int gated_unregister(int fd, uintptr_t start, size_t len)
{
	if (atomic_load(&gate_notes) && atomic_load(&gate_shut))
		stand_at_gate();
	return cm_os_linux.uffd_unregister(fd, start, len);
}

static void *collect_in_thread(void *arg)
{
	(void)cardmark_jemalloc_collect(je, arg);
	return NULL;
}

/* Two hooks met a fork: one decommitted a page, the other mapped an extent, and has
 * returned. A thread enters the notes, and stops at the first. */
static bool found_while_notes_are_entered(bool broken)
{
	struct cardmark_table *second;
	unsigned char *p, *mapped = live_map(16);
	pthread_t thread;
	bool found;
	int flags;

	broken_os_begin()->uffd_unregister = gated_unregister;
	atomic_store(&gate_notes, true);
	set_up(0);
	second = live_table(cm);
	flags = cardmark_jemalloc_flags(je);
	p = mallocx((size_t)1 << 20, flags);
	CHECK(p != NULL);
	memset(p, 1, (size_t)1 << 20);
	collect();
	cm_je_defer(je, CM_JE_DECOMMITTED, (uintptr_t)p & ~(live_card - 1),
		    ((uintptr_t)p & ~(live_card - 1)) + live_card, CARDMARK_JEMALLOC_ZEROED);
	cm_je_defer(je, CM_JE_MAPPED, (uintptr_t)mapped, (uintptr_t)mapped + 16 * live_card,
		    CARDMARK_JEMALLOC_ALWAYS_DIRTY);
	shut_gate();
	CHECK_EQ(pthread_create(&thread, NULL, collect_in_thread, second), 0);
	await(&gate_reached);
	if (broken)
		atomic_store(&je->entering, false);
	found = cardmark_jemalloc_contains(je, mapped, live_card) && dirty(mapped + live_card);
	open_gate();
	(void)pthread_join(thread, NULL);
	atomic_store(&gate_notes, false);
	CHECK(cardmark_jemalloc_contains(je, mapped, live_card));
	dallocx(p, flags);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	return found;
}

static void a_reader_while_notes_are_entered(void)
{
	CHECK(found_while_notes_are_entered(false));
}

/* Control: a reader that does not learn that notes are being entered. */
static void a_reader_that_is_not_told_finds_nothing(void)
{
	CHECK(!found_while_notes_are_entered(true));
}

/* ---- A collect without the adapter's lock ------------------------------------------- */

static void a_collect_without_the_lock_says_what_the_table_is(void)
{
	unsigned char *p;
	int flags;

	set_up(0);
	flags = cardmark_jemalloc_flags(je);
	p = mallocx((size_t)1 << 20, flags);
	CHECK(p != NULL);
	memset(p, 1, (size_t)1 << 20);
	collect();
	p[5 * live_card] = 2;
	CHECK_EQ(collect_without_the_lock(cardmark_jemalloc_collect), CARDMARK_GUESSED);
	CHECK(!cardmark_table_all_dirty(table));
	CHECK(dirty(p + 5 * live_card));
	dallocx(p, flags);
	tear_down();
}

/* ---- A thread that ends beside a destroy or reset ----------------------------------------------
 */

static _Thread_local bool slow;
static _Atomic bool given_back;

static int slow_mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen)
{
	bool mine = slow && strcmp(name, "tcache.destroy") == 0;
	int error;

	if (mine)
		stand_at_gate();
	error = mallctl(name, oldp, oldlenp, newp, newlen);
	if (mine)
		atomic_store(&given_back, true);
	return error;
}

static void *use_and_end(void *arg)
{
	int flags = cardmark_jemalloc_flags(je);
	void *v[100];

	(void)arg;
	for (int i = 0; i < 100; i++)
		v[i] = mallocx(256, flags);
	for (int i = 0; i < 100; i++)
		dallocx(v[i], flags);
	slow = true;
	return NULL;
}

static void *open_gate_soon(void *arg)
{
	(void)usleep(50000);
	open_gate();
	return arg;
}

static void start_ending_thread(pthread_t *thread)
{
	cm = live_open();
	CHECK_EQ(cardmark_jemalloc_create(&je, cm, slow_mallctl, 0), 0);
	atomic_store(&given_back, false);
	shut_gate();
	CHECK_EQ(pthread_create(thread, NULL, use_and_end, NULL), 0);
	await(&gate_reached); /* its cache is out of the slot, but not given back yet */
}

static void a_destroy_waits_for_a_thread_that_ends(void)
{
	pthread_t thread, opener;

	start_ending_thread(&thread);
	CHECK_EQ(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	CHECK(atomic_load(&given_back));
	(void)pthread_join(opener, NULL);
	(void)pthread_join(thread, NULL);
}

/* Its cache holds objects of the arena until then. */
static void a_reset_waits_for_a_thread_that_ends(void)
{
	pthread_t thread, opener;

	start_ending_thread(&thread);
	CHECK_EQ(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
	CHECK_EQ(cardmark_jemalloc_reset(je), 0);
	CHECK(atomic_load(&given_back));
	(void)pthread_join(opener, NULL);
	(void)pthread_join(thread, NULL);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
}

static void reset_too_early(void *arg)
{
	pthread_t thread;

	(void)arg;
	start_ending_thread(&thread);
	atomic_store(&je->giving_back, 0);
	CHECK_EQ(cardmark_jemalloc_reset(je), 0);
	_exit(atomic_load(&given_back) ? 1 : 42);
}

/* Control: a destroy that does not know this thread does not wait. */
static void destroy_too_early(void *arg)
{
	pthread_t thread;

	(void)arg;
	start_ending_thread(&thread);
	atomic_store(&je->giving_back, 0);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	_exit(atomic_load(&given_back) ? 1 : 42);
}

static void a_destroy_that_does_not_know_does_not_wait(void)
{
	void (*const too_early[])(void *arg) = { destroy_too_early, reset_too_early };

	if (TAP_TSAN)
		tap_skip("this sanitizer cannot start threads in a fork child");
	for (int i = 0; i < 2; i++) {
		int status = tap_in_child(too_early[i], NULL);

		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 42);
	}
}

/* ---- A thread's own destructors --------------------------------------------------------- */

static pthread_key_t own_key;
static _Atomic int rounds_wanted, freed, freed_too_late;
static _Atomic int without_cache;
static _Atomic bool asks_again;
static _Thread_local bool cache_is_gone;

static int watching_mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp,
			    size_t newlen)
{
	if (strcmp(name, "tcache.destroy") == 0)
		cache_is_gone = true;
	return mallctl(name, oldp, oldlenp, newp, newlen);
}

struct own {
	int flags, rounds;
};

/* The program's destructor: frees its objects in the arena, perhaps in a later round. */
static void end_own(void *value)
{
	struct own *own = value;

	if (own->rounds-- > 0 && pthread_setspecific(own_key, own) == 0)
		return;
	if (cache_is_gone && atomic_load(&asks_again)) {
		/* In the last round it gets flags without a cache, because a cache would not
		 * be given back.
		 */
		own->flags = cardmark_jemalloc_flags(je);
		atomic_fetch_add(&without_cache, (own->flags & 0xfff00) == JE_TCACHE_NONE);
		dallocx(own, own->flags);
	} else {
		atomic_fetch_add(&freed_too_late, cache_is_gone);
		if (!cache_is_gone)
			dallocx(own, own->flags);
	}
	atomic_fetch_add(&freed, 1);
}

static void *work_with_own(void *arg)
{
	int flags = cardmark_jemalloc_flags(je);
	struct own *own = mallocx(sizeof *own, flags);

	own->flags = flags;
	own->rounds = atomic_load(&rounds_wanted);
	(void)pthread_setspecific(own_key, own);
	return arg;
}

static void own_destructors_may_free_objects(void)
{
	cm = live_open();
	CHECK_EQ(cardmark_jemalloc_create(&je, cm, watching_mallctl, 0), 0);
	(void)cardmark_jemalloc_flags(je); /* the adapter's key is the older one */
	CHECK_EQ(pthread_key_create(&own_key, end_own), 0);
	atomic_store(&freed, 0);
	atomic_store(&freed_too_late, 0);
	for (int i = 0; i < 10; i++) {
		pthread_t thread;

		atomic_store(&rounds_wanted, i % 2);
		CHECK_EQ(pthread_create(&thread, NULL, work_with_own, NULL), 0);
		(void)pthread_join(thread, NULL);
	}
	CHECK_EQ(atomic_load(&freed), 10);
	CHECK_EQ(atomic_load(&freed_too_late), 0);
	CHECK_EQ(je_stats(je).tcaches, 1); /* this thread's */
	(void)pthread_key_delete(own_key);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
}

static void in_the_last_round_there_is_no_cache(void)
{
	pthread_t thread;

	if (TAP_TSAN)
		tap_skip("this sanitizer has given up the thread in the last round");
	cm = live_open();
	CHECK_EQ(cardmark_jemalloc_create(&je, cm, watching_mallctl, 0), 0);
	(void)cardmark_jemalloc_flags(je);
	CHECK_EQ(pthread_key_create(&own_key, end_own), 0);
	atomic_store(&asks_again, true);
	atomic_store(&without_cache, 0);
	atomic_store(&rounds_wanted, PTHREAD_DESTRUCTOR_ITERATIONS - 1);
	CHECK_EQ(pthread_create(&thread, NULL, work_with_own, NULL), 0);
	(void)pthread_join(thread, NULL);
	atomic_store(&asks_again, false);
	CHECK_EQ(atomic_load(&without_cache), 1);
	CHECK_EQ(je_stats(je).tcaches, 1); /* this thread's */
	(void)pthread_key_delete(own_key);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
}

/* ---- Any address ---------------------------------------------------------------------------- */

static void check_takes_any_address(void)
{
	static char data[64];
	void *page, *p;

	set_up(0);
	p = mallocx(10000, cardmark_jemalloc_flags(je));
	page = live_map(1);
	const struct {
		const void *addr;
		size_t len;
	} outside[] = { { NULL, 1 },
			{ (void *)0x10000, 8 },
			{ (void *)(UINTPTR_MAX << 47), 8 },
			{ (void *)(UINTPTR_MAX - 15), 8 },
			{ &page, sizeof page },
			{ data, sizeof data },
			{ page, live_card },
			{ p, SIZE_MAX } };

	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
		CHECK_EQ(cardmark_jemalloc_check(je, outside[i].addr, outside[i].len), -ENOENT);
		CHECK(strstr(cardmark_last_error(), "not in arena") != NULL);
	}
	CHECK_EQ(cardmark_jemalloc_check(je, p, 10000), 0);
	dallocx(p, cardmark_jemalloc_flags(je));
	tear_down();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a reader while notes are entered", a_reader_while_notes_are_entered, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "control: a reader that is not told finds nothing",
		  a_reader_that_is_not_told_finds_nothing, 0, LIVE_ONLY(PAGEMAP) },
		{ "a collect without the lock says what the table is",
		  a_collect_without_the_lock_says_what_the_table_is, CARDMARK_CAP_PRECISE, 0 },
		{ "a destroy waits for a thread that ends", a_destroy_waits_for_a_thread_that_ends,
		  0, 0 },
		{ "a reset waits for a thread that ends", a_reset_waits_for_a_thread_that_ends, 0,
		  0 },
		{ "control: a destroy or reset that does not know does not wait",
		  a_destroy_that_does_not_know_does_not_wait, 0, 0 },
		{ "a thread's own destructors may free objects", own_destructors_may_free_objects,
		  0, 0 },
		{ "in the last round there is no cache", in_the_last_round_there_is_no_cache, 0,
		  0 },
		{ "check takes any address", check_takes_any_address, 0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
