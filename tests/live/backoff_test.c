/* SPDX-License-Identifier: MIT
 *
 * Description: with backoff, long runs of cards that were dirty at three collects on end
 * are reported without a look and cost no fault. All other writes are reported as usual, and a
 * run that is no longer written becomes clean again. */
#include "lib/tracker.h"
#define CARDS 256
#include "tests/support/fixture.h"
#include "tests/support/random.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define HOT_FIRST 32
#define HOT (2 * CM_BACKOFF_RUN_CARDS)
#define COLLECTS 4 /* without a look */

static void set_up_backoff(unsigned backoff)
{
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backoff = backoff;
	set_up_on(live_open_options(&o));
	(void)live_collect(cm, table);
	CHECK_EQ(cardmark_table_count(table), 0);
}

static void write_cards(size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		write_card(i);
}

/* The next collect leaves them alone. */
static void make_hot(size_t first, size_t n)
{
	for (int i = 0; i < 3; i++) {
		write_cards(first, n);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
	}
	CHECK_EQ(live_stats(cm).backoff_cards, 0);
}

static uint64_t faults(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (uint64_t)u.ru_minflt + live_stats(cm).faults;
}

static size_t dirty(size_t first, size_t n)
{
	size_t found = 0;

	for (size_t i = first; i < first + n; i++)
		found += cardmark_table_is_dirty(table, mem + i * live_card);
	return found;
}

static void a_hot_run_is_reported_without_a_look(void)
{
	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	for (unsigned i = 1; i <= COLLECTS; i++) {
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		CHECK_EQ(live_stats(cm).backoff_cards, i * HOT);
		CHECK_EQ(dirty(HOT_FIRST, HOT), HOT);
		CHECK_EQ(dirty(0, HOT_FIRST) + dirty(HOT_FIRST + HOT, CARDS - HOT_FIRST - HOT), 0);
	}
}

static void a_hot_run_costs_no_faults(void)
{
	uint64_t before;

	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	write_cards(HOT_FIRST, HOT); /* the third collect armed them: the last writes that fault */
	(void)live_collect(cm, table);
	before = faults();
	for (unsigned i = 1; i < COLLECTS; i++) {
		write_cards(HOT_FIRST, HOT);
		(void)live_collect(cm, table);
		CHECK_EQ(dirty(HOT_FIRST, HOT), HOT);
	}
	CHECK(faults() - before < HOT / 4);
}

static void without_backoff_it_costs_them_all(void)
{
	uint64_t before;

	set_up_backoff(0);
	make_hot(HOT_FIRST, HOT);
	before = faults();
	for (unsigned i = 0; i < COLLECTS; i++) {
		write_cards(HOT_FIRST, HOT);
		(void)live_collect(cm, table);
	}
	/* mprotect opens neighbours with a fault. */
	CHECK(faults() - before >=
	      (live_backend == CARDMARK_BACKEND_MPROTECT ? COLLECTS : COLLECTS * HOT));
	CHECK_EQ(live_stats(cm).backoff_cards, 0);
}

static void what_is_no_longer_written_becomes_clean(void)
{
	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	for (unsigned i = 0; i < COLLECTS + 1; i++)
		(void)live_collect(cm, table); /* the last one arms */
	CHECK_EQ(dirty(0, CARDS), HOT);
	write_cards(HOT_FIRST, 3);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), 3);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), 0);
}

static void what_is_still_written_stays_hot(void)
{
	uint64_t was;

	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	for (unsigned i = 0; i < COLLECTS + 2; i++) {
		write_cards(HOT_FIRST, HOT);
		(void)live_collect(cm, table);
		CHECK_EQ(dirty(0, CARDS), HOT);
	}
	was = live_stats(cm).backoff_cards;
	(void)live_collect(cm, table);
	CHECK_EQ(live_stats(cm).backoff_cards, was + HOT);
}

static void short_runs_are_looked_at(void)
{
	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, CM_BACKOFF_RUN_CARDS - 1);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), 0);
	CHECK_EQ(live_stats(cm).backoff_cards, 0);
}

static void a_preclean_leaves_it_alone_too(void)
{
	uint64_t before;

	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	write_cards(HOT_FIRST, HOT);
	write_cards(0, 2);
	CHECK_EQ(cardmark_preclean(cm), 0);
	before = faults();
	write_cards(HOT_FIRST, HOT);
	CHECK(faults() - before < HOT / 4);
	write_cards(1, 2);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), HOT + 3);
}

static void memory_that_is_untracked_is_forgotten(void)
{
	set_up_backoff(COLLECTS);
	make_hot(HOT_FIRST, HOT);
	CHECK_EQ(cardmark_untrack(cm, mem + HOT_FIRST * live_card, HOT * live_card), 0);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), 0);
	CHECK_EQ(cardmark_track(cm, mem + HOT_FIRST * live_card, HOT * live_card, 0), 0);
	(void)live_collect(cm, table); /* new, hence dirty */
	CHECK_EQ(dirty(0, CARDS), HOT);
	(void)live_collect(cm, table);
	CHECK_EQ(dirty(0, CARDS), 0);
}

/* ---- Nothing is lost ---------------------------------------------------------------- */

/* Rounds of writes with habits that change; how many written cards were not reported. */
static size_t lost_in_rounds(unsigned rounds)
{
	uint64_t rng = random_seed(NULL);
	size_t first = 0, n = 0, lost = 0;
	bool written[CARDS];

	for (unsigned round = 0; round < rounds; round++) {
		memset(written, 0, sizeof written);
		if (round % 8 == 0) {
			n = random_below(&rng, CARDS / 2) + 1;
			first = random_below(&rng, CARDS - n);
		}
		for (size_t i = first; random_below(&rng, 8) != 0 && i < first + n; i++) {
			write_cards(i, 1);
			written[i] = true;
		}
		for (size_t k = random_below(&rng, 20); k > 0; k--) {
			size_t i = random_below(&rng, CARDS);

			write_cards(i, 1);
			written[i] = true;
			if (k == 10 && (live_capabilities & CARDMARK_CAP_CONCURRENT))
				CHECK_EQ(cardmark_preclean(cm), 0);
		}
		if (random_below(&rng, 4) != 0)
			for (size_t i = first; i < first + n; i++) {
				write_cards(i, 1);
				written[i] = true;
			}
		(void)live_collect(cm, table);
		for (size_t i = 0; i < CARDS; i++)
			lost += written[i] && !cardmark_table_is_dirty(table, mem + i * live_card);
	}
	return lost;
}

static void nothing_is_lost(void)
{
	size_t lost;

	set_up_backoff(2);
	cm->backoff.least = 4;
	lost = lost_in_rounds(400);
	tap_note("%zu cards lost, %llu reported without a look", lost,
		 (unsigned long long)live_stats(cm).backoff_cards);
	CHECK_EQ(lost, 0);
	CHECK(live_stats(cm).backoff_cards > 1000);
}

/* A harvest that leaves out a run, which is then missing from the report. */
static const struct cm_backend_ops *whole;

static size_t harvest_around(struct cm_backend *b, const struct cm_ranges *all,
			     struct cardmark_run span, struct cm_cards *into)
{
	uintptr_t start = (uintptr_t)mem + HOT_FIRST * live_card, end = start + HOT * live_card;
	struct cardmark_run before = { span.start, span.end < start ? span.end : start };
	struct cardmark_run after = { span.start > end ? span.start : end, span.end };
	size_t guessed = 0;

	if (before.start < before.end)
		guessed += whole->harvest(b, all, before, into);
	if (after.start < after.end)
		guessed += whole->harvest(b, all, after, into);
	return guessed;
}

static void left_out_and_not_reported_is_lost(void)
{
	static struct cm_backend_ops broken;
	size_t lost;

	set_up_backoff(2);
	whole = cm->backend->ops;
	broken = *whole;
	broken.harvest = harvest_around;
	cm->backend->ops = &broken;
	lost = lost_in_rounds(100);
	cm->backend->ops = whole;
	tap_note("%zu cards lost", lost);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "a hot run is reported without a look", a_hot_run_is_reported_without_a_look,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a hot run costs no faults", a_hot_run_costs_no_faults,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "control: without backoff it costs them all", without_backoff_it_costs_them_all,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "what is no longer written becomes clean",
		  what_is_no_longer_written_becomes_clean,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "what is still written stays hot", what_is_still_written_stays_hot,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "short runs are looked at", short_runs_are_looked_at,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "a preclean leaves it alone, too", a_preclean_leaves_it_alone_too,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "memory that is untracked is forgotten", memory_that_is_untracked_is_forgotten,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "nothing is lost", nothing_is_lost,
		  CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE, 0 },
		{ "control: what is left out and not reported is lost",
		  left_out_and_not_reported_is_lost, CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_PRECISE,
		  0 },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
