/* SPDX-License-Identifier: MIT
 *
 * Consumers in a trial: each has its own list of pages that are due to it. */
#include "tests/soundness/faults/trial_state.h"

void trial_consumer_new(size_t k)
{
	struct trial_consumer *c = &t.consumers[k];

	DO("cardmark_consumer_new", cardmark_consumer_new(&c->consumer, t.cm));
	for (size_t i = 0; i < TRIAL_PAGES; i++)
		c->due[i] = t.tracked[i] && (t.full[i] || t.held[i]);
}

void trial_consumer_delete(size_t k)
{
	cardmark_consumer_delete(&t.consumers[k].consumer);
}

void trial_consumers_take_from_others(void)
{
	t.takes_from_others = true;
}

/* The due pages of [from, to) must be in the table. */
static void check_answer(struct trial_consumer *c, size_t from, size_t to)
{
	c->extra = 0;
	t.guess_is_kept |= trial_guesses() != t.guesses;
	for (size_t i = 0; i < TRIAL_PAGES; i++) {
		bool dirty = cardmark_table_is_dirty(t.table, page(i));

		if (c->due[i] && !dirty && i >= from && i < to)
			trial_fail("LOST: page %zu was written and is not in a consumer's answer",
				   i);
		if (dirty && !t.tracked[i] && !cardmark_table_all_dirty(t.table))
			trial_fail("a consumer's answer has page %zu, which is not tracked", i);
		c->extra += dirty && !c->due[i];
	}
	if (cardmark_table_all_dirty(t.table) != (c->result == CARDMARK_ALL_DIRTY))
		trial_fail("a consumer's collect says %d of a table that is%s all dirty",
			   (int)c->result, cardmark_table_all_dirty(t.table) ? "" : " not");
	/* All dirty: nothing was taken. Suspended: as well. */
	for (size_t i = from; i < to; i++)
		if (c->result != CARDMARK_ALL_DIRTY && !t.suspended)
			c->due[i] = t.held[i] && t.tracked[i];
}

void trial_consumer_collect(size_t k)
{
	struct trial_consumer *c = &t.consumers[k];

	cardmark_table_clear(t.table);
	c->result = t.takes_from_others ? cardmark_collect(t.cm, t.table)
					: cardmark_consumer_collect(c->consumer, t.table);
	check_answer(c, 0, TRIAL_PAGES);
}

void trial_consumer_collect_range(size_t k, size_t from, size_t to)
{
	struct trial_consumer *c = &t.consumers[k];

	cardmark_table_clear(t.table);
	c->result = cardmark_consumer_collect_range(c->consumer, page(from), (to - from) * t.card,
						    t.table);
	check_answer(c, from, to);
}

void trial_consumers_collect(void)
{
	for (size_t k = 0; k < TRIAL_CONSUMERS; k++)
		if (t.consumers[k].consumer != NULL)
			trial_consumer_collect(k);
}

bool trial_consumers_exact(void)
{
	for (size_t k = 0; k < TRIAL_CONSUMERS; k++) {
		const struct trial_consumer *c = &t.consumers[k];

		if (c->consumer != NULL && (c->result != CARDMARK_EXACT ||
					    (c->extra != 0 && trial_can(CARDMARK_CAP_PRECISE))))
			return false;
	}
	return true;
}
