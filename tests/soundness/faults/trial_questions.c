/* SPDX-License-Identifier: MIT
 *
 * The questions of a trial: all due pages must be in the answer, and a guessed answer must be
 * counted.
 */
#include "tests/soundness/faults/trial_state.h"

#include <string.h>
#include <unistd.h>

struct cardmark_stats trial_stats(void)
{
	struct cardmark_stats s;

	memset(&s, 0, sizeof s);
	s.size = sizeof s;
	DO("cardmark_stats", cardmark_stats(t.cm, &s));
	return s;
}

uint64_t trial_guesses(void)
{
	struct cardmark_stats s = trial_stats();

	return s.guessed_ranges + s.all_dirty;
}

/* An answer that was guessed must be counted. */
static void count_guess(const char *call, bool guessed)
{
	uint64_t guesses = trial_guesses();

	if (guessed && guesses == t.guesses && !t.guess_is_kept)
		trial_fail("%s guessed and counted none", call);
	t.guesses = guesses;
}

/* Must a collect report page i, which was emptied since its last report? */
static bool emptied_is_due(size_t i)
{
	return t.discard_is_write && t.gone[i];
}

static void check_table(const struct cardmark_table *table, const char *call)
{
	t.extra = 0;
	for (size_t i = 0; i < TRIAL_PAGES; i++) {
		bool dirty = cardmark_table_is_dirty(table, page(i));

		if ((t.due[i] || emptied_is_due(i)) && !dirty)
			trial_fail("LOST: page %zu was written and is not in %s", i, call);
		if (dirty && !t.tracked[i] && !cardmark_table_all_dirty(table))
			trial_fail("%s has page %zu, which is not tracked", call, i);
		t.extra += dirty && !t.due[i];
	}
}

/* Reported pages are no longer due. */
static void settle(void)
{
	for (size_t i = 0; i < TRIAL_PAGES; i++) {
		if (t.discards && t.due[i])
			t.known_full[i] = t.full[i];
		if (emptied_is_due(i))
			t.gone[i] = t.known_full[i] = false;
		t.due[i] = t.held[i] && t.tracked[i];
	}
}

static void collect_into(struct cardmark_table *table)
{
	cardmark_table_clear(table);
	t.result = cardmark_collect(t.cm, table);
	check_table(table, "a collect");
	if (cardmark_table_all_dirty(table) != (t.result == CARDMARK_ALL_DIRTY))
		trial_fail("a collect says %d of a table that is%s all dirty", (int)t.result,
			   cardmark_table_all_dirty(table) ? "" : " not");
	/* All dirty: nothing was harvested, and everything is still due. The same while
	 * suspended. */
	if (t.result != CARDMARK_ALL_DIRTY && !t.suspended)
		settle();
	count_guess("a collect", t.result != CARDMARK_EXACT);
	t.guess_is_kept = false;
}

void trial_collect(void)
{
	collect_into(t.table);
}

void trial_discarded(void)
{
	enum cardmark_collected result = CARDMARK_EXACT;

	cardmark_table_clear(t.table);
	DO("cardmark_discarded", (int)(result = cardmark_discarded(t.cm, t.table)));
	for (size_t i = 0; i < TRIAL_PAGES; i++) {
		if (t.gone[i] && !cardmark_table_is_dirty(t.table, page(i)))
			trial_fail("LOST: page %zu was emptied and is not in discarded", i);
		if (t.gone[i] && result != CARDMARK_ALL_DIRTY)
			t.gone[i] = t.known_full[i] = false;
	}
	count_guess("cardmark_discarded", result != CARDMARK_EXACT);
}

void trial_tables(void)
{
	struct cardmark_table *second = NULL;

	DO("cardmark_table_new", cardmark_table_new(&second, t.cm));
	trial_store(2);
	trial_collect();
	trial_store(9);
	/* The union has both; what is due to check is page 2 again. */
	collect_into(second);
	DO("cardmark_table_union", cardmark_table_union(t.table, second));
	if (!cardmark_table_is_dirty(t.table, page(2)) ||
	    !cardmark_table_is_dirty(t.table, page(9)))
		trial_fail("LOST: a page is missing from a union");
	cardmark_table_delete(&second);
}

/* Asks for [from, to), region by region, and notes which pages are in the answer. */
static void ask(struct cardmark_query *q, size_t from, size_t to, bool *reported)
{
	struct cardmark_region regions[3];
	bool guessed = false;

	memset(reported, 0, TRIAL_PAGES);
	q->size = sizeof *q;
	q->start = page(from);
	q->regions = regions;
	q->capacity = q->op == CARDMARK_SCAN_CLEAR ? 0 : 3;
	for (int calls = 0; (unsigned char *)q->start < page(to); calls++) {
		q->len = (size_t)(page(to) - (unsigned char *)q->start);
		DO("cardmark_scan", cardmark_scan(t.cm, q));
		guessed |= q->guessed;
		for (size_t r = 0; r < q->count; r++)
			for (uintptr_t at = regions[r].start; at < regions[r].end; at += t.card)
				reported[(at - (uintptr_t)t.mem) / t.card] = true;
		if (calls > 100)
			trial_fail("cardmark_scan comes to no end");
		q->start = (void *)q->resume; /* NOLINT: an address is what it is */
	}
	count_guess("cardmark_scan", guessed);
}

void trial_look(size_t from, size_t to)
{
	struct cardmark_query written = { .op = CARDMARK_SCAN_GET,
					  .required = CARDMARK_PAGE_WRITTEN,
					  .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
					  .returned =
						  CARDMARK_PAGE_WRITTEN | CARDMARK_PAGE_PRESENT };
	struct cardmark_query clean = { .op = CARDMARK_SCAN_GET,
					.excluded = CARDMARK_PAGE_WRITTEN,
					.returned = CARDMARK_PAGE_PRESENT };
	bool reported[TRIAL_PAGES];

	ask(&written, from, to, reported);
	for (size_t i = from; i < to; i++)
		if (t.due[i] && t.full[i] && !reported[i])
			trial_fail("LOST: page %zu was written and is not in a scan", i);
	/* The other way round. */
	ask(&clean, from, to, reported);
	for (size_t i = from; i < to; i++)
		if (t.due[i] && t.full[i] && reported[i])
			trial_fail("LOST: page %zu was written and a scan calls it clean", i);
}

void trial_take(size_t from, size_t to)
{
	struct cardmark_query q = { .op = CARDMARK_SCAN_GET_AND_CLEAR,
				    .required = CARDMARK_PAGE_WRITTEN,
				    .max_pages = 4 };
	bool reported[TRIAL_PAGES];

	ask(&q, from, to, reported);
	for (size_t i = from; i < to; i++) {
		if (t.due[i] && t.full[i] && !reported[i])
			trial_fail("LOST: page %zu was written and is not in a scan", i);
		t.due[i] = t.held[i] && t.tracked[i];
	}
}

/* The same process from outside. */
void trial_view(void)
{
	struct cardmark_process *view = NULL;
	struct cardmark_region regions[TRIAL_PAGES];
	struct cardmark_query q = { .size = sizeof q,
				    .op = CARDMARK_SCAN_GET,
				    .start = t.mem,
				    .len = TRIAL_PAGES * t.card,
				    .required = CARDMARK_PAGE_PRESENT,
				    .returned = CARDMARK_PAGE_PRESENT,
				    .regions = regions,
				    .capacity = TRIAL_PAGES };
	size_t pages = 0, full = 0;

	DO("cardmark_process_open", cardmark_process_open(&view, (int)getpid()));
	DO("cardmark_process_scan", cardmark_process_scan(view, &q));
	for (size_t i = 0; i < TRIAL_PAGES; i++)
		full += t.full[i];
	for (size_t i = 0; i < q.count; i++)
		pages += (regions[i].end - regions[i].start) / t.card;
	if (pages != full)
		trial_fail("LOST: %zu pages hold data and the view has %zu", full, pages);
	cardmark_process_close(&view);
}

void trial_take_blindly(size_t from, size_t to)
{
	struct cardmark_query q = { .op = CARDMARK_SCAN_CLEAR, .required = CARDMARK_PAGE_WRITTEN };
	bool reported[TRIAL_PAGES];

	ask(&q, from, to, reported);
	for (size_t i = from; i < to; i++)
		t.due[i] = t.held[i] && t.tracked[i];
}
