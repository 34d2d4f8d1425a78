/* SPDX-License-Identifier: MIT
 *
 * mprotect and SIGSEGV: runs anywhere. A card is armed by taking PROT_WRITE
 * away; the first write traps, and the handler notes the card and gives
 * PROT_WRITE back.
 *
 * One spin lock for the process makes "set the bit, unprotect" and "take the
 * bits, protect" each one step. Without it a write is lost: the handler sets the
 * bit, a harvest takes it and protects the card, and then the handler unprotects
 * a card that counts as clean. See sigsegv.h for what may be done under it. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/backend/pagescan.h"
#include "lib/backend/protection.h"
#include "lib/backend/sigsegv.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

static struct cm_trap *self(struct cm_backend *b)
{
	return (struct cm_trap *)b;
}

/* Makes sure that our handler is in place. If the program has replaced it, nobody knows what became
 * of our faults: then everything is made writable and counts as written. If our handler can't be
 * put back, nothing may be protected either. */
static enum cm_handler check_handler(int *error)
{
	enum cm_handler handler = cm_sigsegv_install(error);

	if (handler == CM_HANDLER_IN_PLACE)
		return handler;
	for (struct cm_trap *t = cm_traps; t != NULL; t = t->next) {
		(void)cm_trap_make_written(t, 0, CM_ADDRESS_LIMIT);
		cm_note_guess(t->b.params.counters, 0, CM_ADDRESS_LIMIT);
		cm_note_errno(t->b.params.counters, EBUSY);
	}
	return handler;
}

/* ---- The backend ----------------------------------------------------------- */

static void free_memory(struct cm_trap *t)
{
	cm_cards_free(&t->snapshot);
	cm_cards_free(&t->fresh);
	cm_cards_free(&t->written);
	cm_ranges_free(&t->copy[0]);
	cm_ranges_free(&t->copy[1]);
	(void)cm_os->unmap(t, sizeof *t);
}

/* From the list. */
static void take_out(struct cm_trap *t)
{
	struct cm_trap **link = &cm_traps;

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
}

/* The tracker was closed while some of its memory could not be made writable. Its ranges stay until
 * that succeeds, so that the handler tries again at each fault. */
static struct cm_trap *orphan(void)
{
	struct cm_trap *t = cm_traps;

	while (t != NULL && !t->orphan)
		t = t->next;
	return t;
}

static void bury_orphans(void)
{
	struct cm_trap *t;

	while ((t = orphan()) != NULL && cm_trap_make_written(t, 0, CM_ADDRESS_LIMIT)) {
		take_out(t);
		free_memory(t);
	}
}

static int mprotect_open(struct cm_backend **out, const struct cm_backend_params *params,
			 const char **why)
{
	void *memory;
	sigset_t before;

	*why = "no memory for the tracker";
	if (cm_sigsegv_make_lock() < 0 || cm_os->map(sizeof(struct cm_trap), &memory) < 0)
		return -ENOMEM;
	struct cm_trap *t = memory;
	t->b = (struct cm_backend){ &cm_backend_mprotect, *params };
	t->opener = pthread_self();
	t->pagemap = CM_NO_FILE;
	int error = cm_cards_init(&t->written);
	if (error == 0)
		error = cm_cards_init(&t->fresh);
	if (error == 0)
		error = cm_cards_init(&t->snapshot);
	if (error < 0) {
		free_memory(t);
		return error;
	}
	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	bury_orphans();
	/* A later harvest could not see that the memory had been replaced. */
	bool good = check_handler(&error) != CM_HANDLER_NOT_IN_PLACE;
	if (good) {
		t->next = cm_traps;
		cm_traps = t;
		*out = &t->b;
	}
	cm_sigsegv_leave(&before);
	if (good)
		return 0;
	*why = "the SIGSEGV handler cannot be set";
	free_memory(t);
	return error;
}

static void mprotect_close(struct cm_backend *b, const struct cm_ranges *all)
{
	static struct cm_counters nobodys;
	struct cm_trap *t = self(b);
	sigset_t before;

	(void)all;
	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	bury_orphans();
	if (!cm_trap_make_written(t, 0, CM_ADDRESS_LIMIT)) {
		t->orphan = true;
		t->b.params.counters = &nobodys; /* ours go with the tracker */
		cm_sigsegv_leave(&before);
		return;
	}
	take_out(t);
	/* Not if threads other than the opener have trapped: one of them may have faulted just
	 * before its card became writable, and the default action would kill it. */
	if (cm_traps == NULL && !t->other_threads)
		cm_sigsegv_uninstall();
	cm_sigsegv_leave(&before);
	free_memory(t);
}

/* One tracker would make writable what the other protected. */
static bool watched_by_another(const struct cm_trap *t, const struct cm_range *piece)
{
	for (const struct cm_trap *o = cm_traps; o != NULL; o = o->next) {
		if (o != t && cm_ranges_touch(cm_trap_ranges(o), piece->start, piece->end))
			return true;
	}
	return false;
}

static int mprotect_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct cm_trap *t = self(b);
	sigset_t before;
	int error;

	if ((piece->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		return -EINVAL;
	/* Waits longer than a harvest does: busy writers are no reason to refuse. */
	if (!cm_sigsegv_enter(&before, CM_BACKEND_WAIT_ADD_NS))
		return -EBUSY;
	bury_orphans();
	error = watched_by_another(t, piece) ? -EBUSY : 0;
	if (error == 0)
		error = cm_cards_reserve(&t->written, piece->start, piece->end);
	if (error == 0)
		error = cm_cards_reserve(&t->fresh, piece->start, piece->end);
	if (error == 0)
		error = cm_cards_reserve(&t->snapshot, piece->start, piece->end);
	if (error == 0)
		error = cm_trap_reserve_ranges(t, 2);
	if (error == 0 && !cm_trap_make_written(t, piece->start, piece->end))
		error = -ENOMEM;
	if (error == 0) {
		cm_trap_change_ranges(t, piece, true);
		cm_cards_set(&t->written, piece->start, piece->end);
		cm_cards_set(&t->fresh, piece->start, piece->end);
	}
	cm_sigsegv_leave(&before);
	return error;
}

static void mprotect_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct cm_trap *t = self(b);
	sigset_t before;

	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	/* If the memory cannot be made writable now, the handler must do so later: then the range
	 * stays, and is over-reported. */
	if (cm_trap_make_written(t, piece->start, piece->end) && cm_trap_reserve_ranges(t, 1) == 0)
		cm_trap_change_ranges(t, piece, false);
	cm_cards_clear(&t->written, piece->start, piece->end);
	cm_cards_clear(&t->fresh, piece->start, piece->end);
	cm_sigsegv_leave(&before);
}

/* The first run of a set in [from, end). */
static bool next_run(const struct cm_cards *set, uintptr_t from, uintptr_t end,
		     struct cardmark_run *out)
{
	if (!cm_cards_next(set, from, out) || out->start >= end)
		return false;
	if (out->start < from)
		out->start = from;
	if (out->end > end)
		out->end = end;
	return true;
}

/* Adds what was written of [start, end) to a set. */
static void copy_written(const struct cm_trap *t, uintptr_t start, uintptr_t end,
			 struct cm_cards *into)
{
	struct cardmark_run run;

	for (uintptr_t at = start; next_run(&t->written, at, end, &run); at = run.end)
		cm_cards_set(into, run.start, run.end);
}

/* Adds the cards of [start, end) that hold data to a set. A step is one jump over a hole, or as
 * many cards as a chunk has. Returns where it could not go on. */
static uintptr_t scan_populated(struct cm_trap *t, uintptr_t start, uintptr_t end,
				struct cm_cards *into)
{
	struct page_region v[64] = { 0 }; /* memcheck does not know that PAGEMAP_SCAN fills it in */
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .vec = (uintptr_t)v,
				   .vec_len = sizeof v / sizeof *v,
				   .max_pages = t->b.params.chunk_bytes / cardmark_card_size(),
				   .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
				   .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED };

	while (start < end) {
		uintptr_t next;

		arg.start = start;
		arg.end = end - start > CM_ENTRIES_JUMP ? start + CM_ENTRIES_JUMP : end;
		CM_COUNT(t->b.params.counters->kernel_calls);
		long n = cm_pagescan_once(t->pagemap.fd, &arg, &next);
		if (n < 0)
			break;
		for (long i = 0; i < n; i++)
			cm_cards_set(into, (uintptr_t)v[i].start, (uintptr_t)v[i].end);
		start = next;
	}
	return start;
}

/* In private memory that was never armed, only cards that hold data can have been written (R6),
 * which may be few in terabytes. The memory is armed by now: a thread that writes waits for us. */
static void copy_fresh(struct cm_trap *t, uintptr_t start, uintptr_t end, struct cm_cards *into)
{
	struct cm_range piece = { .start = start, .end = end };
	struct cm_entries e;

	if (t->pagemap.fd < 0)
		(void)cm_file_take(&t->pagemap, cm_os->open_self("pagemap", O_RDONLY));
	if (t->pagemap.fd >= 0) {
		piece.start = scan_populated(t, start, end, into);
		cm_entries_init(&e, t->pagemap.fd, t->b.params.counters);
		(void)cm_entries_fold(&e, &piece, 0, 0, into);
	}
	/* Not open, or exchanged meanwhile: another process may have answered. */
	if (!cm_file_is_ours(&t->pagemap))
		cm_cards_set(into, start, end);
}

static void copy_armed(struct cm_trap *t, const struct cm_range *r, struct cm_cards *into)
{
	uintptr_t at = r->start;
	struct cardmark_run run;

	if (r->kind == CM_KIND_PRIVATE)
		for (; next_run(&t->fresh, at, r->end, &run); at = run.end) {
			copy_written(t, at, run.start, into);
			copy_fresh(t, run.start, run.end, into);
		}
	copy_written(t, at, r->end, into);
}

/* Reports the written cards of a range and arms the whole range in one call: the kernel skips
 * memory that is protected already, and the pieces that the faults made become one mapping again.
 * False: reported whole. into NULL: it has been reported. */
static bool take(struct cm_trap *t, const struct cm_range *r, struct cm_cards *into)
{
	struct cardmark_run run;

	if (!next_run(&t->written, r->start, r->end, &run))
		return true;
	if (cm_trap_protect(t, r->start, r->end, r->prot & ~PROT_WRITE) == 0) {
		if (into != NULL)
			copy_armed(t, r, into);
		cm_cards_clear(&t->written, r->start, r->end);
		cm_cards_clear(&t->fresh, r->start, r->end);
		return true;
	}
	(void)cm_trap_make_written(t, r->start, r->end);
	if (into != NULL)
		cm_cards_set(into, r->start, r->end);
	cm_note_guess(t->b.params.counters, r->start, r->end);
	return false;
}

static size_t mprotect_harvest(struct cm_backend *b, const struct cm_ranges *all,
			       struct cardmark_run span, struct cm_cards *into)
{
	struct cm_trap *t = self(b);
	enum cm_handler handler;
	sigset_t before;
	size_t guessed;
	int error;

	if (!cm_sigsegv_enter(&before, CM_SIGSEGV_WAIT_NS)) {
		cm_ranges_mark(all, span, into);
		cm_note_guess(b->params.counters, span.start, span.end);
		return all->n;
	}
	handler = check_handler(&error);
	if (handler == CM_HANDLER_NOT_IN_PLACE)
		cm_ranges_mark(all, span, into);
	guessed = handler != CM_HANDLER_IN_PLACE;
	for (size_t i = cm_ranges_find(cm_trap_ranges(t), span.start);
	     handler != CM_HANDLER_NOT_IN_PLACE && i < cm_trap_ranges(t)->n; i++) {
		struct cm_range piece = cm_ranges_clip(cm_trap_ranges(t), i, span.start, span.end);
		if (piece.start >= piece.end)
			break;
		guessed += !take(t, &piece, into);
	}
	cm_file_close(&t->pagemap);
	cm_sigsegv_leave(&before);
	return guessed;
}

static void rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	struct cm_trap *t = self(b);
	sigset_t before;

	if (!cm_sigsegv_enter(&before, CM_SIGSEGV_WAIT_NS))
		return; /* stays written */
	for (size_t i = cm_ranges_find(cm_trap_ranges(t), start);
	     i < cm_trap_ranges(t)->n && cm_trap_ranges(t)->v[i].start < end; i++) {
		struct cm_range r = cm_ranges_clip(cm_trap_ranges(t), i, start, end);
		(void)take(t, &r, NULL);
	}
	cm_sigsegv_leave(&before);
}

static void mprotect_scan(struct cm_backend *b, const struct cm_ranges *all,
			  const struct cm_range *piece, const struct cm_masks *masks,
			  enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct cm_trap *t = self(b);
	enum cm_handler handler = CM_HANDLER_NOT_IN_PLACE;
	sigset_t before;
	int error;

	(void)all;
	if (cm_sigsegv_enter(&before, CM_SIGSEGV_WAIT_NS)) {
		handler = check_handler(&error);
		cm_cards_clear(&t->snapshot, piece->start, piece->end);
		copy_written(t, piece->start, piece->end, &t->snapshot);
		cm_sigsegv_leave(&before);
	}
	sink->guessed |= handler != CM_HANDLER_IN_PLACE;
	if (handler == CM_HANDLER_NOT_IN_PLACE) {
		cm_composed_scan(b, piece, masks, op, sink, resume, NULL, NULL);
		return;
	}
	/* Without the lock: the answer's memory may be tracked. */
	cm_composed_scan(b, piece, masks, op, sink, resume, &t->snapshot, rearm);
}

/* The handler stays: it does not prevent a dump, and finds everything writable. */
static void mprotect_suspend(struct cm_backend *b, const struct cm_ranges *all)
{
	struct cm_trap *t = self(b);
	sigset_t before;

	(void)all;
	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	(void)cm_trap_make_written(t, 0, CM_ADDRESS_LIMIT);
	cm_sigsegv_leave(&before);
}

/* The copy has the parent's protections and its handler; the lock is free. */
static int mprotect_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	struct cm_trap *t = self(b);
	sigset_t before;

	(void)all;
	(void)cm_sigsegv_enter(&before, UINT64_MAX);
	t->opener = pthread_self();
	int error = cm_trap_make_written(t, 0, CM_ADDRESS_LIMIT) ? 0 : -ENOMEM;
	cm_ranges_mark(cm_trap_ranges(t), CM_ALL, &t->fresh);
	cm_sigsegv_leave(&before);
	return error;
}

/* The tracker stays in the handler's list for ever. Protected memory was tracked, and its range is
 * entered before that and removed after that, so at any moment a whole copy has the range. */
static void mprotect_abandon(struct cm_backend *b)
{
	const struct cm_ranges none = { .n = 0 };

	(void)mprotect_rebuild(b, &none);
}

const struct cm_backend_ops cm_backend_mprotect = {
	.id = CARDMARK_BACKEND_MPROTECT,
	.level = 2,
	/* Shared memory too: it is the mapping that is protected, and reclaim
	 * changes nothing about that. */
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_SHARED,
	.ignores_zero_page = true,
	.open = mprotect_open,
	.close = mprotect_close,
	.categories = cm_composed_categories,
	.add = mprotect_add,
	.remove = mprotect_remove,
	.harvest = mprotect_harvest,
	.scan = mprotect_scan,
	.suspend = mprotect_suspend,
	.rebuild = mprotect_rebuild,
	.abandon = mprotect_abandon,
};
