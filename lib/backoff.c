/* SPDX-License-Identifier: MIT */
#include "lib/backoff.h"

/* A cycle of collects: for `collects` of them no card is looked at. Then all are armed; that answer
 * cannot change, because one write since the last look is enough for a yes. The look after that
 * shows which cards are still written every time. */
static bool skips(const struct cm_backoff *b)
{
	return b->n != 0 && b->turn < b->collects;
}

static bool arms(const struct cm_backoff *b)
{
	return b->n != 0 && b->turn == b->collects;
}

bool cm_backoff_next(const struct cm_backoff *b, uintptr_t at, struct cardmark_run *out)
{
	if (!skips(b))
		return false;
	for (size_t i = 0; i < b->n; i++)
		if (b->run[i].end > at) {
			*out = b->run[i];
			return true;
		}
	return false;
}

size_t cm_backoff_join(const struct cm_backoff *b, const struct cm_ranges *all,
		       struct cm_cards *report)
{
	size_t cards = 0;

	if (!skips(b) && !arms(b))
		return 0;
	for (size_t i = 0; i < b->n; i++) {
		cm_ranges_mark(all, b->run[i], report);
		cards += (b->run[i].end - b->run[i].start) / cardmark_card_size();
	}
	return skips(b) ? cards : 0;
}

/* The long runs of cards whose two bits are three or more. */
static void find_runs(struct cm_backoff *b)
{
	struct cardmark_run high, low;

	b->n = 0;
	for (uintptr_t at = 0; cm_cards_next(&b->high, at, &high); at = high.end)
		for (uintptr_t from = high.start;
		     cm_cards_next(&b->low, from, &low) && low.start < high.end; from = low.end) {
			if (low.end > high.end)
				low.end = high.end;
			if (low.end - low.start < b->least * cardmark_card_size())
				continue;
			b->run[b->n++] = low;
			if (b->n == CM_BACKOFF_RUNS)
				return;
		}
}

void cm_backoff_learn(struct cm_backoff *b, const struct cm_cards *report)
{
	bool had = b->n != 0;

	cm_cards_count_up(&b->low, &b->high, report);
	find_runs(b);
	b->turn = had && b->n != 0 ? (b->turn + 1) % (b->collects + 2) : 0;
}
