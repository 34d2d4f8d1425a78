/* SPDX-License-Identifier: MIT */
#include "lib/consumer.h"

#include "lib/os/os.h"
#include "lib/tracker.h"

#include <errno.h>

/* ---- What others have taken ------------------------------------------------ */

struct cm_cards *cm_take(struct cardmark *cm)
{
	if (cm->consumers != NULL) {
		cm_cards_clear_all(&cm->report);
		return &cm->report;
	}
	/* Set first: everything that happens in there is added. */
	cm->kept.any = true;
	return &cm->kept.cards;
}

void cm_taken(struct cardmark *cm, size_t guessed)
{
	if (cm->consumers == NULL) {
		cm->kept.guessed += guessed;
		return;
	}
	cm_keep(cm, &cm->report, guessed, NULL);
	if (cm->discards)
		cm_cards_or(&cm->populated, &cm->report);
}

static void keep(struct cm_kept *kept, const struct cm_cards *cards, size_t guessed)
{
	kept->any = true;
	kept->guessed += guessed;
	cm_cards_or(&kept->cards, cards);
}

void cm_keep(struct cardmark *cm, const struct cm_cards *cards, size_t guessed,
	     const struct cm_kept *but)
{
	if (but != &cm->kept)
		keep(&cm->kept, cards, guessed);
	for (struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next)
		if (but != &c->kept)
			keep(&c->kept, cards, guessed);
}

static void keep_run(struct cardmark *cm, struct cm_kept *kept, struct cardmark_run run,
		     size_t guessed)
{
	kept->any = true;
	kept->guessed += guessed;
	cm_ranges_mark(&cm->ranges, run, &kept->cards);
}

void cm_keep_run(struct cardmark *cm, struct cardmark_run run, size_t guessed)
{
	keep_run(cm, &cm->kept, run, guessed);
	for (struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next)
		keep_run(cm, &c->kept, run, guessed);
	if (cm->discards && cm->consumers != NULL)
		cm_ranges_mark(&cm->ranges, run, &cm->populated);
}

/* ---- Their sets ------------------------------------------------------------ */

static int reserve(struct cardmark_consumer *c, uintptr_t start, uintptr_t end)
{
	int error = cm_cards_reserve(&c->kept.cards, start, end);

	return error < 0 ? error : cm_cards_reserve(&c->unseen, start, end);
}

int cm_consumers_reserve(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	int error = 0;

	for (struct cardmark_consumer *c = cm->consumers; c != NULL && error == 0; c = c->next)
		error = reserve(c, start, end);
	return error;
}

void cm_consumers_clear(struct cardmark *cm, uintptr_t start, uintptr_t end)
{
	for (struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next) {
		cm_cards_clear(&c->kept.cards, start, end);
		cm_cards_clear(&c->unseen, start, end);
	}
}

size_t cm_consumers_bytes(const struct cardmark *cm)
{
	size_t bytes = 0;

	for (const struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next)
		bytes += cm_cards_bytes(&c->kept.cards) + cm_cards_bytes(&c->unseen);
	return bytes;
}

void cm_consumers_detach(struct cardmark *cm)
{
	for (struct cardmark_consumer *c = cm->consumers; c != NULL; c = c->next)
		c->owner = NULL;
}

/* ---- New and delete -------------------------------------------------------- */

static size_t consumer_bytes(void)
{
	size_t card = cardmark_card_size();

	return (sizeof(struct cardmark_consumer) + card - 1) & ~(card - 1);
}

static void free_consumer(struct cardmark_consumer *c)
{
	cm_cards_free(&c->unseen);
	cm_cards_free(&c->kept.cards);
	(void)cm_os->unmap(c, consumer_bytes());
}

/* The set that a harvest goes to before it is given to all. It stays with the tracker. */
static int make_report(struct cardmark *cm)
{
	int error = 0;

	if (cm->has_report)
		return 0;
	if (cm_cards_init(&cm->report) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < cm->ranges.n && error == 0; i++)
		error = cm_cards_reserve(&cm->report, cm->ranges.v[i].start, cm->ranges.v[i].end);
	cm->has_report = error == 0;
	if (error < 0)
		cm_cards_free(&cm->report);
	return error;
}

static int enter_list(struct cardmark *cm, struct cardmark_consumer *c)
{
	int error = make_report(cm);

	for (size_t i = 0; i < cm->ranges.n && error == 0; i++)
		error = reserve(c, cm->ranges.v[i].start, cm->ranges.v[i].end);
	if (error < 0)
		return error;
	/* Without consumers, kept cards are noted as populated when they are reported; with
	 * consumers, when they are taken. */
	if (cm->discards && cm->consumers == NULL)
		cm_cards_or(&cm->populated, &cm->kept.cards);
	cm_ranges_mark(&cm->ranges, CM_ALL, &c->unseen);
	c->any_unseen = true;
	c->owner = cm;
	c->next = cm->consumers;
	cm->consumers = c;
	return 0;
}

int cardmark_consumer_new(struct cardmark_consumer **out, struct cardmark *cm)
{
	struct cardmark_consumer *c;
	void *mem;
	int error;

	*out = NULL;
	if (cm_os->map(consumer_bytes(), &mem) < 0)
		return cm_fail(-ENOMEM, "no memory for a consumer");
	c = mem;
	error = cm_cards_init(&c->kept.cards);
	if (error == 0)
		error = cm_cards_init(&c->unseen);
	if (error < 0) {
		free_consumer(c);
		return cm_fail(error, "no memory for a consumer's cards");
	}
	error = cm_tracker_enter(cm);
	if (error < 0) {
		free_consumer(c);
		return error; /* and why has been said */
	}
	error = enter_list(cm, c);
	cm_tracker_unlock(cm);
	if (error < 0) {
		free_consumer(c);
		return cm_fail(error, "no memory for a consumer's cards");
	}
	*out = c;
	return 0;
}

void cardmark_consumer_delete(struct cardmark_consumer **handle)
{
	struct cardmark_consumer *c = handle == NULL ? NULL : *handle;

	if (c == NULL)
		return;
	*handle = NULL;
	if (c->owner != NULL) {
		struct cardmark *cm = c->owner;
		/* As in cardmark_table_delete(): the list of a torn tracker stays as it is. */
		while (!cm_tracker_lock(cm, CM_WAIT_CALL_NS))
			if (cm_fork_done() && cm->torn)
				return;
		for (struct cardmark_consumer **p = &cm->consumers; *p != NULL; p = &(*p)->next) {
			if (*p == c) {
				*p = c->next;
				break;
			}
		}
		cm_tracker_unlock(cm);
	}
	free_consumer(c);
}
