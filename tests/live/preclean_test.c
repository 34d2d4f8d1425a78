/* SPDX-License-Identifier: MIT
 *
 * Description: the cards that a preclean harvests are in the next answer, whatever comes in
 * between, and the pause then finds only the cards written since. */
#include "tests/support/fixture.h"

#include "lib/tracker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static void precleaned_cards_are_in_the_next_collect(void)
{
	set_up();
	write_card(3);
	write_card(40);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(5);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(41);
	collect_and_compare();
	collect_and_compare(); /* each is reported once */
	CHECK_EQ(live_stats(cm).precleans, 2);
	if (live_can(CARDMARK_CAP_PRECISE))
		CHECK_EQ(live_stats(cm).precleaned_cards, 3);
}

/* Twice written, on both sides of a preclean: one report, two faults. */
static void a_card_written_again_is_reported_again(void)
{
	set_up();
	write_card(7);
	CHECK_EQ(cardmark_preclean(cm), 0);
	collect_and_compare();
	write_card(7);
	collect_and_compare();
}

static void new_memory_stays_dirty(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	CHECK_EQ(cardmark_preclean(cm), 0);
	memset(want, 1, sizeof want);
	collect_and_compare();
}

static void untrack_takes_kept_cards_along(void)
{
	set_up();
	for (size_t i = 0; i < CARDS; i++)
		write_card(i);
	CHECK_EQ(cardmark_preclean(cm), 0);
	CHECK_EQ(cardmark_untrack(cm, card_at(16), 16 * live_card), 0);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		CHECK_EQ(cardmark_table_is_dirty(table, card_at(i)), i < 16 || i >= 32);
}

static void expect_kept_in_child(void *arg)
{
	(void)arg;
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(9)));
}

static void a_child_of_a_fork_has_them_too(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	set_up();
	write_card(9);
	CHECK_EQ(cardmark_preclean(cm), 0);
	CHECK_EQ(tap_in_child(expect_kept_in_child, NULL), 0);
	collect_and_compare();
}

/* ---- Scans ------------------------------------------------------------------ */

#define MANY 16

static struct cardmark_region regions[MANY];

static struct cardmark_query ask(enum cardmark_scan_op op, uint64_t required, uint64_t any_of,
				 uint64_t returned)
{
	struct cardmark_query q = { .size = sizeof q,
				    .start = mem,
				    .len = CARDS * live_card,
				    .op = op,
				    .required = required,
				    .any_of = any_of,
				    .returned = returned,
				    .regions = regions,
				    .capacity = MANY };

	CHECK_EQ(cardmark_scan(cm, &q), 0);
	return q;
}

static void a_scan_knows_kept_cards_as_written(void)
{
	struct cardmark_query q;

	set_up();
	write_card(3);
	write_card(4);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(5);
	write_card(20);
	q = ask(CARDMARK_SCAN_GET, CARDMARK_PAGE_WRITTEN, 0, CARDMARK_PAGE_WRITTEN);
	CHECK_EQ(q.count, 2);
	CHECK(regions[0].start == (uintptr_t)card_at(3) && regions[0].end == (uintptr_t)card_at(6));
	CHECK_EQ(regions[0].categories, CARDMARK_PAGE_WRITTEN);
	CHECK(regions[1].start == (uintptr_t)card_at(20));
	/* WRITTEN as an alternative, and only as a label. */
	q = ask(CARDMARK_SCAN_GET, 0, CARDMARK_PAGE_WRITTEN, 0);
	CHECK_EQ(q.pages, 4);
	q = ask(CARDMARK_SCAN_GET, CARDMARK_PAGE_PRESENT, 0, CARDMARK_PAGE_WRITTEN);
	CHECK_EQ(q.pages, CARDS);
	CHECK_EQ(q.count, 5);
	CHECK_EQ(regions[1].categories, CARDMARK_PAGE_WRITTEN);
	CHECK_EQ(regions[2].categories, 0);
	/* A look takes nothing away. */
	collect_and_compare();
}

static void a_scan_for_clean_cards_leaves_kept_ones_out(void)
{
	struct cardmark_query q;

	set_up();
	write_card(0);
	CHECK_EQ(cardmark_preclean(cm), 0);
	q = (struct cardmark_query){ .size = sizeof q,
				     .start = mem,
				     .len = CARDS * live_card,
				     .op = CARDMARK_SCAN_GET,
				     .required = CARDMARK_PAGE_PRESENT,
				     .excluded = CARDMARK_PAGE_WRITTEN,
				     .regions = regions,
				     .capacity = MANY };
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, CARDS - 1);
	CHECK(regions[0].start == (uintptr_t)card_at(1));
}

static void a_clearing_scan_takes_what_it_reports(void)
{
	struct cardmark_query q;

	set_up();
	write_card(3);
	write_card(30);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(31);
	q = ask(CARDMARK_SCAN_GET_AND_CLEAR, CARDMARK_PAGE_WRITTEN, 0, CARDMARK_PAGE_WRITTEN);
	CHECK_EQ(q.pages, 3);
	memset(want, 0, sizeof want);
	collect_and_compare();
}

/* Cards that other masks leave out are reported by the next answer. */
static void a_clearing_scan_leaves_what_it_does_not_report(void)
{
	struct cardmark_query q;

	set_up();
	write_card(3);
	write_card(30);
	CHECK_EQ(cardmark_preclean(cm), 0);
	q = ask(CARDMARK_SCAN_GET_AND_CLEAR, CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_SWAPPED, 0, 0);
	CHECK_EQ(q.pages, 0);
	q = (struct cardmark_query){ .size = sizeof q,
				     .start = mem,
				     .len = CARDS * live_card,
				     .op = CARDMARK_SCAN_CLEAR,
				     .required = CARDMARK_PAGE_WRITTEN,
				     .max_pages = 1 };
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	CHECK_EQ(q.pages, 1);
	want[3] = false;
	collect_and_compare();
}

/* ---- Beside others ----------------------------------------------------------- */

#define ENOUGH 2000 /* stores checked */
#define ROUNDS 2000000

static _Atomic bool stop;
static _Atomic unsigned begun[CARDS], ended[CARDS]; /* the mutator's stores */

static void *mutate(void *arg)
{
	(void)arg;
	for (unsigned v = 1; !atomic_load(&stop); v++)
		for (size_t i = 0; i < CARDS; i++) {
			atomic_store(&begun[i], v);
			live_store(card_at(i), (unsigned char)v);
			atomic_store(&ended[i], v);
		}
	return NULL;
}

static void *preclean_all_the_time(void *arg)
{
	_Atomic unsigned *n = arg;

	while (!atomic_load(&stop))
		atomic_fetch_add(n, cardmark_preclean(cm) == 0);
	return NULL;
}

/* A store that began after one collect began and ended before the next one did
 * is in the report of one of the two. */
static void nothing_is_lost_beside_a_mutator(void)
{
	unsigned before[CARDS] = { 0 };
	bool reported[CARDS];
	_Atomic unsigned precleans = 0;
	size_t lost = 0, checked = 0;
	pthread_t writer, cleaner;

	set_up();
	memset(reported, true, sizeof reported);
	atomic_store(&stop, false);
	CHECK(pthread_create(&writer, NULL, mutate, NULL) == 0);
	CHECK(pthread_create(&cleaner, NULL, preclean_all_the_time, &precleans) == 0);
	for (unsigned round = 0;
	     round < ROUNDS && (checked < ENOUGH || atomic_load(&precleans) < ENOUGH / 20);
	     round++, (void)sched_yield()) {
		bool whole[CARDS];

		for (size_t i = 0; i < CARDS; i++) {
			whole[i] = atomic_load(&ended[i]) > before[i];
			before[i] = atomic_load(&begun[i]);
		}
		(void)live_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++) {
			bool dirty = cardmark_table_is_dirty(table, card_at(i));
			checked += whole[i];
			lost += whole[i] && !reported[i] && !dirty;
			reported[i] = dirty;
		}
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(writer, NULL) == 0 && pthread_join(cleaner, NULL) == 0);
	tap_note("%u precleans, %zu stores checked, %zu lost", atomic_load(&precleans), checked,
		 lost);
	CHECK(atomic_load(&precleans) > 0 && checked > 0);
	CHECK_EQ(lost, 0);
}

/* The control: cards that a preclean took are lost if they are not added to the answer. */
static void forgetting_what_was_kept_loses(void)
{
	size_t lost = 0;

	set_up();
	for (size_t i = 0; i < CARDS; i += 3)
		write_card(i);
	CHECK_EQ(cardmark_preclean(cm), 0);
	cm_cards_clear_all(&cm->kept.cards);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		lost += want[i] && !cardmark_table_is_dirty(table, card_at(i));
	tap_note("%zu cards lost", lost);
	CHECK(lost > 0);
}

static void a_backend_that_cannot_says_so(void)
{
	set_up();
	write_card(1);
	CHECK_EQ(cardmark_preclean(cm), live_can(CARDMARK_CAP_CONCURRENT) ? 0 : -ENOTSUP);
	collect_and_compare();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "precleaned cards are in the next collect",
		  precleaned_cards_are_in_the_next_collect, CARDMARK_CAP_CONCURRENT, 0 },
		{ "a card written on both sides of a preclean",
		  a_card_written_again_is_reported_again, CARDMARK_CAP_CONCURRENT, 0 },
		{ "new memory stays dirty after a preclean", new_memory_stays_dirty,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "untrack takes kept cards along", untrack_takes_kept_cards_along,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a fork between preclean and collect", a_child_of_a_fork_has_them_too,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "a scan knows kept cards as written", a_scan_knows_kept_cards_as_written,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a scan for clean cards leaves kept ones out",
		  a_scan_for_clean_cards_leaves_kept_ones_out,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a clearing scan takes what it reports", a_clearing_scan_takes_what_it_reports,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a clearing scan leaves what it does not report",
		  a_clearing_scan_leaves_what_it_does_not_report,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "precleans beside a mutator lose nothing", nothing_is_lost_beside_a_mutator,
		  CARDMARK_CAP_CONCURRENT, 0 },
		{ "control: forgetting what was kept loses writes", forgetting_what_was_kept_loses,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "who cannot preclean says so, and loses nothing", a_backend_that_cannot_says_so,
		  0, 0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
