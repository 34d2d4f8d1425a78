/* SPDX-License-Identifier: MIT
 *
 * Description: a thread with a cancellation pending makes each call of the adapter, and allocates
 * and frees through its hooks: it completes all of them. Control: with a cancellation point in
 * a call it does not. */
#include "gc-glue/jemalloc/glue.h" /* first: the frame has a variable `je` */

#include "tests/jemalloc/watched.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define CUT_SHORT 42 /* exit status: the thread did not get to the end */

static _Atomic bool broken; /* a call of the adapter is a cancellation point */
static _Atomic bool at_end;
static _Atomic int wrong;
static unsigned char *outside;
static struct cardmark_jemalloc *waited_for;

static int point_mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen)
{
	if (atomic_load(&broken))
		pthread_testcancel();
	return mallctl(name, oldp, oldlenp, newp, newlen);
}

static void expect(bool good)
{
	atomic_fetch_add(&wrong, !good);
}

/* Through the hooks, whatever opt.retain is. */
static void use_hooks(int flags)
{
	enum { N = 16 };
	void *v[N];

	for (int i = 0; i < N; i++) {
		v[i] = mallocx((size_t)8 << 20, flags);
		expect(v[i] != NULL);
	}
	for (int i = 0; i < N; i++)
		if (v[i] != NULL)
			dallocx(v[i], flags);
	(void)je_arena_do("purge", cardmark_jemalloc_arena(je));
}

static void use_answers(struct cardmark_table *t, const void *p)
{
	struct cardmark_jemalloc_stats stats = { .size = sizeof stats };
	struct cardmark_jemalloc_range range;
	struct cardmark_run run;

	(void)cardmark_jemalloc_collect(je, t);
	(void)cardmark_jemalloc_collect_arena(je, t);
	expect(cardmark_jemalloc_contains(je, p, 1));
	(void)cardmark_jemalloc_is_dirty(je, t, p);
	expect(cardmark_jemalloc_check(je, p, 1) == 0);
	expect(cardmark_jemalloc_check(je, outside, 1) == -ENOENT);
	expect(cardmark_jemalloc_next_range(je, 0, &range));
	(void)cardmark_jemalloc_next_dirty(je, t, 0, UINTPTR_MAX, &run);
	expect(cardmark_jemalloc_discarded(je, &range, 1) >= 0);
	expect(cardmark_jemalloc_stats(je, &stats) == 0);
	/* Another thread is in the middle of a change: this one waits and sleeps. */
	(void)cardmark_jemalloc_contains(waited_for, p, 1);
}

static void *make_calls(void *arg)
{
	struct cardmark_table *t = arg;
	unsigned arena;
	size_t size = sizeof arena;
	int state, flags;
	void *p;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	(void)pthread_cancel(pthread_self());
	(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	expect(cardmark_jemalloc_create(&je, cm, point_mallctl, 0) == 0);
	flags = cardmark_jemalloc_flags(je);
	use_hooks(flags);
	p = mallocx(100, flags);
	use_answers(t, p);
	dallocx(p, flags);
	expect(cardmark_jemalloc_destroy(&je) == 0);
	expect(mallctl("arenas.create", &arena, &size, NULL, 0) == 0);
	expect(cardmark_jemalloc_adopt(&je, cm, point_mallctl, arena, 0) == 0);
	expect(cardmark_jemalloc_detach(&je) == 0);
	atomic_store(&at_end, true);
	pthread_testcancel();
	return NULL;
}

/* In a process of its own: a thread that is cancelled inside may leave a lock for ever. */
static void run_calls(void *with_point)
{
	pthread_t thread;
	void *end;

	set_up(0);
	waited_for = je;
	outside = live_map(1);
	atomic_store(&broken, with_point != NULL);
	atomic_store(&at_end, false);
	atomic_store(&wrong, 0);
	atomic_fetch_add(&waited_for->ranges.version, 1);
	CHECK_EQ(pthread_create(&thread, NULL, make_calls, table), 0);
	(void)usleep(200000); /* enough time to wait; the result does not depend on it */
	atomic_fetch_add(&waited_for->ranges.version, 1);
	CHECK_EQ(pthread_join(thread, &end), 0);
	CHECK(end == PTHREAD_CANCELED);
	CHECK_EQ(atomic_load(&wrong), 0);
	if (!atomic_load(&at_end))
		_exit(CUT_SHORT);
	je = waited_for;
	tear_down();
}

static void no_call_is_a_cancellation_point(void)
{
	if (TAP_TSAN)
		tap_skip("this sanitizer cannot start threads in a fork child");
	CHECK_EQ(tap_in_child(run_calls, NULL), 0);
}

static void a_cancellation_point_is_found(void)
{
	int status;

	if (TAP_TSAN)
		tap_skip("this sanitizer cannot start threads in a fork child");
	status = tap_in_child(run_calls, &broken);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), CUT_SHORT);
}

static const struct live_case cases[] = {
	{ "no call is a cancellation point", no_call_is_a_cancellation_point, 0, 0 },
	{ "control: a cancellation point is found", a_cancellation_point_is_found, 0,
	  LIVE_ONLY(PAGEMAP) },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
