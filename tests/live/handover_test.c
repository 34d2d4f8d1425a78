/* SPDX-License-Identifier: MIT
 *
 * Description: orders of events in which state is handed over, each forced by a gate in a call
 * of the seam: memory that goes to another tracker while a helper is late, and a collect that
 * times out beside a scan that passes over new memory. Nothing is lost. Controls: without any
 * one of the rules a card is lost. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "lib/backend/pagemap.h"
#include "lib/tracker.h"
#include "tests/support/broken_os.h"
#include "tests/support/gated_os.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static _Atomic bool passed;
static _Atomic uintptr_t gate_start, gate_end;

/* The first helper that arrives. */
static long scan_with_late_helper(int fd, struct pm_scan_arg *arg)
{
	bool stops = gate_stops_me() && !atomic_load(&gate_reached);
	long n;

	if (stops) {
		atomic_store(&gate_start, (uintptr_t)arg->start);
		atomic_store(&gate_end, (uintptr_t)arg->end);
		stand_at_gate();
	}
	n = cm_os_linux.scan(fd, arg);
	if (stops)
		atomic_store(&passed, true);
	return n;
}

/* ---- A late helper, and memory that goes to another tracker -------------------------- */

#define PIECE 16 /* cards for each call */

static struct cardmark *other;
static struct cardmark_table *other_table;

static struct cardmark_options sharing(unsigned threads)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;

	options.backend = live_backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	options.threads = threads;
	options.chunk_bytes = PIECE * live_card;
	return options;
}

static struct cardmark *open_sharing(unsigned threads)
{
	struct cardmark_options options = sharing(threads);

	return live_open_options(&options);
}

/* Makes a helper of cm late; cm is open and has a table. */
static void make_a_helper_late(void)
{
	enum cardmark_collected result = CARDMARK_EXACT;

	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	while (result != CARDMARK_GUESSED || !atomic_load(&gate_reached)) {
		atomic_store(&passed, false);
		shut_gate();
		result = live_collect(cm, table);
	}
}

static void open_with_late_helper(void)
{
	broken_os_begin()->scan = scan_with_late_helper;
	cm = open_sharing(2);
	table = live_table(cm);
	make_a_helper_late();
}

static void let_it_through(void)
{
	open_gate();
	await(&passed);
	CHECK(cm == NULL || cm_crew_settle(&((struct pagemap *)cm->backend)->crew, UINT64_MAX));
}

static void take_over(void)
{
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	other = open_sharing(1);
	other_table = live_table(other);
	CHECK_EQ(cardmark_track(other, mem, CARDS * live_card, 0), 0);
	(void)live_collect(other, other_table);
	cardmark_table_clear(other_table);
}

static size_t card_at_gate(void)
{
	return ((uintptr_t)atomic_load(&gate_start) - (uintptr_t)mem) / live_card + 3;
}

static void a_late_helper_and_the_next_tracker(void)
{
	size_t card;

	open_with_late_helper();
	take_over();
	card = card_at_gate();
	write_card(card);
	let_it_through();
	CHECK_EQ(live_collect(other, other_table), CARDMARK_GUESSED);
	CHECK(card_dirty(other_table, card));
	CHECK_EQ(live_collect(other, other_table), CARDMARK_EXACT); /* paid */
	CHECK_EQ(cardmark_table_count(other_table), 0);
	write_card(card);
	CHECK_EQ(live_collect(other, other_table), CARDMARK_EXACT);
	CHECK_EQ(cardmark_table_count(other_table), 1);
}

static void a_late_helper_and_the_next_tracker_that_scans(void)
{
	struct cardmark_region v[4];
	struct cardmark_query q;
	size_t card;

	open_with_late_helper();
	take_over();
	q = live_query(CARDMARK_SCAN_GET_AND_CLEAR, mem, CARDS, v, 4);
	card = card_at_gate();
	write_card(card);
	let_it_through();
	CHECK_EQ(cardmark_scan(other, &q), 0);
	CHECK_EQ(q.count, 1);
	CHECK(v[0].start <= (uintptr_t)mem + card * live_card && v[0].end > v[0].start);
	CHECK_EQ(cardmark_scan(other, &q), 0);
	CHECK_EQ(q.count, 0); /* paid */
}

static void the_first_tracker_closes_meanwhile(void)
{
	struct cardmark_options options = sharing(2);
	size_t card;

	broken_os_begin()->scan = scan_with_late_helper;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	CHECK_EQ(cardmark_table_new(&table, cm), 0);
	make_a_helper_late();
	take_over();
	card = card_at_gate();
	write_card(card);
	let_it_through();
	/* Its debt remains after it is closed. */
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	CHECK_EQ(live_collect(other, other_table), CARDMARK_GUESSED);
	CHECK(card_dirty(other_table, card));
}

/* Control: a tracker that wrongly believes that every helper has returned. */
static void forgetting_that_it_came_back_loses_the_card(void)
{
	size_t card;

	open_with_late_helper();
	take_over();
	card = card_at_gate();
	write_card(card);
	let_it_through();
	((struct pagemap *)other->backend)->owed_seen = cm_owed_seen();
	CHECK_EQ(live_collect(other, other_table), CARDMARK_EXACT);
	CHECK(!card_dirty(other_table, card));
}

static void a_suspend_does_not_close_under_a_late_helper(void)
{
	open_with_late_helper();
	CHECK_EQ(cardmark_suspend(cm), -EBUSY);
	CHECK(strstr(cardmark_last_error(), "stopped") != NULL);
	let_it_through();
	CHECK_EQ(cardmark_suspend(cm), 0);
	CHECK_EQ(cardmark_resume(cm), 0);
}

/* ---- A collect that times out beside a scan --------------------------------------------- */

static struct cardmark_region regions[64];
static struct cardmark_query query;
static int scan_result;

static void *scan_all(void *arg)
{
	(void)arg;
	scan_result = cardmark_scan(cm, &query);
	return NULL;
}

static bool in_regions(size_t card)
{
	uintptr_t at = (uintptr_t)mem + card * live_card;

	for (size_t i = 0; i < query.count; i++)
		if (regions[i].start <= at && regions[i].end > at)
			return true;
	return false;
}

/* Cards below half are old, the others new. The collect times out while the scan is still at
 * the old ones. */
static bool reported_by_either(bool broken)
{
	size_t half = CARDS / 2, card = half + 7;
	pthread_t thread;

	broken_os_begin()->scan = gated_scan; /* at its first call for the old memory */
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, half * live_card, 0), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_track(cm, mem + half * live_card, (CARDS - half) * live_card, 0), 0);
	query = (struct cardmark_query){ .size = sizeof query,
					 .start = mem,
					 .len = CARDS * live_card,
					 .op = CARDMARK_SCAN_GET_AND_CLEAR,
					 .flags = CARDMARK_SCAN_IGNORE_NEW,
					 .required = CARDMARK_PAGE_WRITTEN,
					 .returned = CARDMARK_PAGE_WRITTEN,
					 .regions = regions,
					 .capacity = 64 };
	shut_gate();
	CHECK(pthread_create(&thread, NULL, scan_all, NULL) == 0);
	await(&gate_reached);
	CHECK_EQ(live_collect(cm, table), CARDMARK_ALL_DIRTY);
	cardmark_table_clear(table);
	write_card(card);
	if (broken)
		atomic_store(&cm->told_all, false);
	open_gate();
	(void)pthread_join(thread, NULL);
	CHECK_EQ(scan_result, 0);
	(void)live_collect(cm, table);
	return in_regions(card) || card_dirty(table, card);
}

static void a_collect_that_times_out_beside_a_scan(void)
{
	CHECK(reported_by_either(false));
}

/* Control: the scan does not learn of the collect. */
static void a_scan_that_is_not_told_loses_the_card(void)
{
	CHECK(!reported_by_either(true));
}

/* ---- Asked while a thread is inside -------------------------------------------------------- */

static void is_tracked_waits_for_nobody(void)
{
	struct cm_os *os = broken_os_begin();
	unsigned char *more = live_map(4);
	pthread_t thread;

	mem = live_map(CARDS);
	cm = live_open();
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	os->covered = gated_covered;
	os->vma_at = gated_vma_at;
	thread = start_track_and_stop_inside(more);
	CHECK(says_tracked(cm, mem, CARDS * live_card));
	CHECK(!says_tracked(cm, more, 4 * live_card)); /* not yet */
	open_gate();
	(void)pthread_join(thread, NULL);
	CHECK(says_tracked(cm, more, 4 * live_card));
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "is_tracked waits for nobody", is_tracked_waits_for_nobody, 0, 0 },
		{ "a late helper, and another tracker has the memory",
		  a_late_helper_and_the_next_tracker, 0, LIVE_ONLY(PAGEMAP) },
		{ "a late helper, and the next tracker scans",
		  a_late_helper_and_the_next_tracker_that_scans, 0, LIVE_ONLY(PAGEMAP) },
		{ "a late helper, and its tracker is closed", the_first_tracker_closes_meanwhile, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "control: to forget that it came back loses the card",
		  forgetting_that_it_came_back_loses_the_card, 0, LIVE_ONLY(PAGEMAP) },
		{ "no suspend under a late helper", a_suspend_does_not_close_under_a_late_helper, 0,
		  LIVE_ONLY(PAGEMAP) },
		{ "a collect that times out beside a scan", a_collect_that_times_out_beside_a_scan,
		  0, LIVE_ONLY(PAGEMAP) },
		{ "control: a scan that is not told loses the card",
		  a_scan_that_is_not_told_loses_the_card, 0, LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
