/* SPDX-License-Identifier: MIT
 *
 * A second consumer of the same tracker, and the oracle's check of its answers: they have
 * every page that differs from its contents at the last answer, even if others asked meanwhile
 * in any way (by collects, precleans, or scans beside writers).
 *
 * It asks while the other threads are idle, so hashes are exact. It asks only about private
 * memory, whose contents no other mapping changes. */
#include "tests/soundness/random/program_state.h"

#include "tests/support/broken_os.h"

/* Nothing was reported to it yet: every page with data is new to it. */
static void forget_told(struct run *r)
{
	for (size_t i = 0; i < PROGRAM_PAGES; i++)
		r->page[i].told = r->zero_hash;
}

int open_consumer(struct run *r)
{
	int error = cardmark_consumer_new(&r->consumer, r->cm);

	forget_told(r);
	return error < 0 ? error : cardmark_table_new(&r->consumer_table, r->cm);
}

void close_consumer(struct run *r)
{
	cardmark_table_delete(&r->consumer_table);
	cardmark_consumer_delete(&r->consumer);
}

static void judge(struct run *r, size_t i)
{
	struct page *p = &r->page[i];
	bool dirty = cardmark_table_is_dirty(r->consumer_table, page_at(r, i));
	uint64_t now = p->told;
	bool known = contents(r, i, &now);
	/* Emptied does not count as written, unless the tracker was opened so. */
	bool emptied = now == r->zero_hash && !r->discard_is_write;

	atomic_fetch_add_explicit(&r->board->checked, 1, memory_order_relaxed);
	if (dirty)
		atomic_fetch_add_explicit(&r->board->reported, 1, memory_order_relaxed);
	else if (known && now != p->told && !emptied)
		lose(r, i, "changed, and a second consumer is not told");
	else if (is_held(r, i))
		lose(r, i, "held, and a second consumer is not told");
	else if (r->suspended)
		lose(r, i, "the tracker is suspended, and a second consumer is not told");
	/* Taken as written: the tracker's next collect has it, and discarded does not. */
	if (r->discard_is_write && !has_data(r, i))
		p->populated = false;
	if (known)
		p->told = now;
	else if (dirty)
		p->told = r->zero_hash; /* what was there is gone, and answered */
}

void ask_consumer(struct run *r)
{
	enum cardmark_collected result;

	cardmark_table_clear(r->consumer_table);
	result = cardmark_consumer_collect(r->consumer, r->consumer_table);
	atomic_fetch_add_explicit(&r->board->collects, 1, memory_order_relaxed);
	if (result != CARDMARK_EXACT)
		atomic_fetch_add_explicit(&r->board->guessed, 1, memory_order_relaxed);
	read_entries(r);
	for (size_t i = 0; i < PROGRAM_PAGES; i++)
		if (r->page[i].tracked && is_private(r, i))
			judge(r, i);
		else if (r->page[i].tracked) /* what comes there next is all new */
			r->page[i].told = r->zero_hash;
}

bool consumer_op(struct run *r, const struct op *op)
{
	if (r->consumer == NULL)
		return false;
	quiesce(r);
	if (op->v[O_HOW] == CONSUMER_ASK) {
		ask_consumer(r);
		return true;
	}
	broken_os_pause(true);
	close_consumer(r);
	if (open_consumer(r) < 0)
		fail(r, VERDICT_BROKEN, "consumer: %s", cardmark_last_error());
	broken_os_pause(false);
	return true;
}
