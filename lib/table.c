/* SPDX-License-Identifier: MIT
 *
 * Card tables: what collectors read. */
#include "lib/tracker.h"
#include "lib/os/os.h"

#include <errno.h>

static size_t table_bytes(void)
{
	size_t card = cardmark_card_size();

	return (sizeof(struct cardmark_table) + card - 1) & ~(card - 1);
}

int cardmark_table_new(struct cardmark_table **out, struct cardmark *cm)
{
	struct cardmark_table *t;
	void *mem;
	int error;

	*out = NULL;
	error = cm_os->map(table_bytes(), &mem);
	if (error < 0)
		return cm_fail(-ENOMEM, "no memory for a card table");
	t = mem;
	error = cm_cards_init(&t->cards);
	if (error < 0)
		goto unmap;
	if (cm_tracker_enter(cm) < 0) {
		error = -EBUSY;
		goto free_cards;
	}
	for (size_t i = 0; i < cm->ranges.n && error == 0; i++)
		error = cm_cards_reserve(&t->cards, cm->ranges.v[i].start, cm->ranges.v[i].end);
	if (error == 0) {
		t->owner = cm;
		t->next = cm->tables;
		cm->tables = t;
	}
	cm_tracker_unlock(cm);
	if (error == 0) {
		*out = t;
		return 0;
	}
free_cards:
	cm_cards_free(&t->cards);
unmap:
	(void)cm_os->unmap(mem, table_bytes());
	return cm_fail(error,
		       error == -EBUSY ? "the tracker is busy" : "no memory for a card table");
}

void cardmark_table_delete(struct cardmark_table **handle)
{
	struct cardmark_table *t = handle == NULL ? NULL : *handle;

	if (t == NULL)
		return;
	*handle = NULL;
	if (t->owner != NULL) {
		struct cardmark *cm = t->owner;
		/* The thread that holds the lock may be about to walk the list. The list of a torn
		 * tracker and its tables stay as they are. */
		while (!cm_tracker_lock(cm, CM_WAIT_CALL_NS))
			if (cm_fork_done() && cm->torn)
				return;
		for (struct cardmark_table **p = &cm->tables; *p != NULL; p = &(*p)->next) {
			if (*p == t) {
				*p = t->next;
				break;
			}
		}
		cm_tracker_unlock(cm);
	}
	cm_cards_free(&t->cards);
	(void)cm_os->unmap(t, table_bytes());
}

bool cardmark_table_is_dirty(const struct cardmark_table *table, const void *addr)
{
	return table->all_dirty || cm_cards_test(&table->cards, (uintptr_t)addr);
}

/* The cards that have a byte of [*start, *end), which is cut to user space. */
static void whole_cards(uintptr_t *start, uintptr_t *end)
{
	uintptr_t in_card = cardmark_card_size() - 1;

	*start &= ~in_card;
	*end = *end < CM_ADDRESS_LIMIT ? (*end + in_card) & ~in_card : CM_ADDRESS_LIMIT;
}

bool cardmark_table_next(const struct cardmark_table *table, uintptr_t from, uintptr_t to,
			 struct cardmark_run *out)
{
	struct cardmark_run run = { from, to };

	if (from >= to)
		return false;
	whole_cards(&from, &to);
	if (!table->all_dirty) {
		if (!cm_cards_next(&table->cards, from, &run))
			return false;
	} else {
		run = (struct cardmark_run){ from, to };
	}
	if (run.end > to)
		run.end = to;
	if (run.start >= run.end)
		return false;
	*out = run;
	return true;
}

bool cardmark_table_all_dirty(const struct cardmark_table *table)
{
	return table->all_dirty;
}

size_t cardmark_table_count(const struct cardmark_table *table)
{
	return table->all_dirty ? SIZE_MAX : cm_cards_count(&table->cards);
}

int cardmark_table_union(struct cardmark_table *dst, const struct cardmark_table *src)
{
	/* All tables of a tracker have room for all tracked memory. */
	if (dst->owner != src->owner || dst->owner == NULL)
		return cm_fail(-EINVAL,
			       "cardmark_table_union: the tables belong to different trackers");
	/* An allocator's thread may be untracking memory, which clears bits in the same words:
	 * without the lock, bits were lost. */
	if (!cm_tracker_lock(dst->owner, CM_WAIT_COLLECT_NS)) {
		dst->all_dirty = true;
		return 0;
	}
	cm_cards_or(&dst->cards, &src->cards);
	dst->all_dirty |= src->all_dirty;
	cm_tracker_unlock(dst->owner);
	return 0;
}

int cardmark_table_set_range(struct cardmark_table *table, const void *addr, size_t len)
{
	struct cardmark_run run = { (uintptr_t)addr, (uintptr_t)addr + len };
	struct cardmark *cm = table->owner;
	bool all;

	if (len == 0 || run.start >= CM_ADDRESS_LIMIT || len > CM_ADDRESS_LIMIT - run.start)
		return cm_fail(
			-EINVAL,
			"cardmark_table_set_range: %#zx + %#zx is empty, or not in user space",
			(size_t)run.start, len);
	if (cm == NULL) {
		table->all_dirty = true;
		return cm_fail(-EINVAL, "cardmark_table_set_range: the tracker of this table is "
					"closed: the table is all dirty now");
	}
	whole_cards(&run.start, &run.end);
	if (!cm_tracker_lock(cm, CM_WAIT_COLLECT_NS)) {
		table->all_dirty = true;
		return 0;
	}
	cm_ranges_mark(&cm->ranges, run, &table->cards);
	all = cm_cards_cover(&cm->tracked, run.start, run.end);
	cm_tracker_unlock(cm);
	if (all)
		return 0;
	return cm_fail(-ENOENT,
		       "cardmark_table_set_range: part of %#zx + %#zx is not tracked: the tracked "
		       "cards were set; remember the rest elsewhere",
		       (size_t)run.start, (size_t)(run.end - run.start));
}

void cardmark_table_clear(struct cardmark_table *table)
{
	cm_cards_clear_all(&table->cards);
	table->all_dirty = false;
}

int cardmark_table_clear_range(struct cardmark_table *table, const void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;

	if ((start | len) % cardmark_card_size() != 0 || start > CM_ADDRESS_LIMIT ||
	    len > CM_ADDRESS_LIMIT - start)
		return cm_fail(
			-EINVAL,
			"cardmark_table_clear_range: %#zx + %#zx is not a range of whole cards",
			(size_t)start, len);
	if (len != 0)
		cm_cards_clear(&table->cards, start, start + len);
	return 0;
}
