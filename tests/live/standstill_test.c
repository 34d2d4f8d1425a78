/* SPDX-License-Identifier: MIT
 *
 * Description: the process stands still for seconds (SIGSTOP, a frozen container) while one thread
 * waits for another that is inside the library. The wait does not end by that time: the
 * waiting call goes on and succeeds. Controls: if the thread never comes back, the wait ends. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "lib/backend/pagemap.h"
#include "lib/tracker.h"
#include "tests/support/broken_os.h"
#include "tests/support/gated_os.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define LEAP_NS UINT64_C(3000000000) /* more than any bound of ours */
#define LEAPS 4

static _Atomic unsigned looks;
static uint64_t leapt;

/* At each look of the waiting thread except the first, three seconds have passed. The other
 * thread does not run until the process has stood still a few times. Then the clock stops,
 * because the machine may be busy. */
static uint64_t leaping_now(void)
{
	if (pthread_equal(pthread_self(), gate_keeper) && atomic_load(&gate_shut)) {
		if (atomic_fetch_add(&looks, 1) > 0)
			leapt += LEAP_NS;
		if (atomic_load(&looks) > LEAPS)
			open_gate();
	}
	return 1 + leapt;
}

static uint64_t leaping_for_ever(void)
{
	if (pthread_equal(pthread_self(), gate_keeper) && atomic_fetch_add(&looks, 1) > 0)
		leapt += LEAP_NS;
	return cm_os_linux.now() + leapt;
}

/* Stops another thread inside cardmark_track(), and uses this clock from now on. */
static pthread_t stop_a_thread_inside(uint64_t (*now)(void))
{
	struct cm_os *os = broken_os_begin();
	pthread_t thread;

	set_up();
	os->covered = gated_covered;
	os->vma_at = gated_vma_at;
	thread = start_track_and_stop_inside(live_map(4));
	atomic_store(&looks, 0);
	leapt = 0;
	os->now = now;
	return thread;
}

static void go_on(pthread_t thread)
{
	open_gate();
	(void)pthread_join(thread, NULL);
}

static void a_track_waits_for_it(void)
{
	unsigned char *more = live_map(4);
	pthread_t thread = stop_a_thread_inside(leaping_now);

	CHECK_EQ(cardmark_track(cm, more, 4 * live_card, 0), 0);
	CHECK(atomic_load(&looks) > LEAPS);
	go_on(thread);
}

static void a_collect_waits_for_it(void)
{
	pthread_t thread = stop_a_thread_inside(leaping_now);

	write_card(3);
	CHECK(cardmark_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(card_dirty(table, 3));
	go_on(thread);
}

/* A thread that is stopped for good ends both waits. */
static void a_thread_that_never_comes_back(void)
{
	unsigned char *more = live_map(4);
	pthread_t thread = stop_a_thread_inside(leaping_for_ever);

	CHECK_EQ(cardmark_track(cm, more, 4 * live_card, 0), -EBUSY);
	CHECK(atomic_load(&looks) >= 8 && atomic_load(&looks) < 20);
	CHECK_EQ(cardmark_collect(cm, table), CARDMARK_ALL_DIRTY);
	go_on(thread);
}

/* ---- A helper of a shared collect --------------------------------------------------- */

static _Atomic bool passed;

/* The first helper that arrives. */
static long scan_with_late_helper(int fd, struct pm_scan_arg *arg)
{
	bool stops = gate_stops_me() && !atomic_load(&gate_reached);
	long n;

	if (stops)
		stand_at_gate();
	n = cm_os_linux.scan(fd, arg);
	if (stops)
		atomic_store(&passed, true);
	return n;
}

/* Collects until a helper has stopped with a unit in hand. Returns what that collect answered. */
static enum cardmark_collected collect_with_late_helper(uint64_t (*now)(void))
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	enum cardmark_collected result;
	struct cm_os *os = broken_os_begin();

	options.threads = 2;
	options.chunk_bytes = 4 * live_card;
	os->scan = scan_with_late_helper;
	set_up_on(live_open_options(&options));
	os->now = now;
	do {
		atomic_store(&passed, false);
		atomic_store(&looks, 0);
		leapt = 0;
		shut_gate();
		result = live_collect(cm, table);
	} while (!atomic_load(&gate_reached));
	open_gate();
	await(&passed);
	(void)cm_crew_settle(&((struct pagemap *)cm->backend)->crew, UINT64_MAX);
	return result;
}

static void a_collect_waits_for_its_helper(void)
{
	CHECK_EQ(collect_with_late_helper(leaping_now), CARDMARK_EXACT);
}

static void a_helper_that_never_comes_back(void)
{
	CHECK_EQ(collect_with_late_helper(leaping_for_ever), CARDMARK_GUESSED);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a track waits for a thread that stood still with it", a_track_waits_for_it, 0,
		  0 },
		{ "a collect waits for it", a_collect_waits_for_it, CARDMARK_CAP_PRECISE, 0 },
		{ "control: a thread that never comes back ends the waits",
		  a_thread_that_never_comes_back, 0, 0 },
		{ "a collect waits for its helper", a_collect_waits_for_its_helper, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "control: a helper that never comes back ends the wait",
		  a_helper_that_never_comes_back, 0, LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
