/* SPDX-License-Identifier: MIT
 *
 * Soft-dirty bits: /proc/self/clear_refs clears and write-protects, pagemap bit
 * 55 tells (R12). Reading and clearing are two steps and the clear is for the
 * whole process, so writers must stand still and one tracker is all that fits.
 *
 * `held` joins what one tracker call cleared in the kernel but did not report.
 * Every call first folds the kernel's bits into it; from then on the clear loses
 * nothing.
 *
 * Only cards that hold data count. A hole needs no bit: when it is written, the
 * fault that populates it makes the new entry dirty and with that soft-dirty
 * (do_anonymous_page() and the copy of a zero page, all versions); swap entries
 * carry the bit along. What VM_SOFTDIRTY says of a new mapping's holes is noise.
 *
 * Not for shared or file memory: reclaim drops such a page's entry, and the
 * bit with it; the page then comes back clean. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#define MOST_FDS 1024 /* looked at for clear_refs */

struct softdirty {
	struct cm_backend b; /* first */
	int pagemap, clear_refs;
	struct cm_cards held;
};

/* The clear is process-wide: a second tracker would lose the first one's bits. */
static atomic_flag in_use = ATOMIC_FLAG_INIT;

static struct softdirty *self(struct cm_backend *b)
{
	return (struct softdirty *)b;
}

static bool files_are_ours(const struct softdirty *t)
{
	return cm_os->fd_is(t->pagemap, "/pagemap") && cm_os->fd_is(t->clear_refs, "/clear_refs");
}

static void close_files(struct softdirty *t)
{
	if (cm_os->fd_is(t->pagemap, "/pagemap"))
		(void)cm_os->close(t->pagemap);
	if (cm_os->fd_is(t->clear_refs, "/clear_refs"))
		(void)cm_os->close(t->clear_refs);
	t->pagemap = t->clear_refs = -1;
}

static int open_files(struct softdirty *t, const char **why)
{
	t->clear_refs = -1;
	t->pagemap = cm_os->open_self("pagemap", O_RDONLY);
	if (t->pagemap < 0) {
		*why = "/proc/self/pagemap cannot be opened";
		return t->pagemap;
	}
	t->clear_refs = cm_os->open_self("clear_refs", O_WRONLY);
	if (t->clear_refs < 0) {
		int error = t->clear_refs;
		*why = "/proc/self/clear_refs cannot be opened";
		close_files(t);
		return error;
	}
	return 0;
}

/* libgc's own soft-dirty mode or another copy of this library: both keep
 * clear_refs open. Our clear would take their bits, the probe's already. */
static bool used_by_others(void)
{
	for (int fd = 0; fd < MOST_FDS; fd++)
		if (cm_os->fd_is(fd, "/clear_refs"))
			return true;
	return false;
}

static int softdirty_open(struct cm_backend **out, const struct cm_backend_params *params,
			  const char **why)
{
	void *memory;
	int error;

	if (atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
		*why = "the soft-dirty bits of a process serve one tracker at a time";
		return -EBUSY;
	}
	if (used_by_others()) {
		*why = "something else in this process clears its soft-dirty bits: "
		       "/proc/self/clear_refs is open";
		error = -EBUSY;
		goto fail;
	}
	error = cm_os->map(sizeof(struct softdirty), &memory);
	if (error < 0) {
		*why = "no memory for the tracker";
		goto fail;
	}
	struct softdirty *t = memory;
	t->b.ops = &cm_backend_softdirty;
	t->b.params = *params;
	error = cm_cards_init(&t->held);
	if (error < 0) {
		*why = "no memory for the tracker";
		goto fail_unmap;
	}
	error = open_files(t, why);
	if (error < 0) {
		cm_cards_free(&t->held);
		goto fail_unmap;
	}
	*out = &t->b;
	return 0;

fail_unmap:
	(void)cm_os->unmap(memory, sizeof(struct softdirty));
fail:
	atomic_flag_clear_explicit(&in_use, memory_order_release);
	return error;
}

static void softdirty_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct softdirty *t = self(b);

	(void)all;
	close_files(t);
	cm_cards_free(&t->held);
	(void)cm_os->unmap(t, sizeof *t);
	atomic_flag_clear_explicit(&in_use, memory_order_release);
}

static int softdirty_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct softdirty *t = self(b);

	if (piece->kind != CM_KIND_PRIVATE)
		return -EINVAL;
	int error = cm_cards_reserve(&t->held, piece->start, piece->end);
	if (error < 0)
		return error;
	cm_cards_set(&t->held, piece->start, piece->end);
	return 0;
}

static void softdirty_remove(struct cm_backend *b, const struct cm_range *piece)
{
	cm_cards_clear(&self(b)->held, piece->start, piece->end);
}

/* Programs close descriptors they do not know; the number is then another's.
 * The bits are the kernel's, so nothing is lost by opening again, and if that
 * fails every read does. */
static void check_files(struct softdirty *t)
{
	const char *why;

	if (!files_are_ours(t)) {
		close_files(t);
		(void)open_files(t, &why);
	}
}

/* Adds the kernel's bits of a piece to held. False: it is held whole. */
static bool fold(struct softdirty *t, struct cm_entries *e, const struct cm_range *piece)
{
	bool sure = cm_entries_fold(e, piece, CM_PME_SOFT_DIRTY, CM_PME_SOFT_DIRTY, &t->held);

	if (!sure)
		CM_COUNT(t->b.params.counters->guessed);
	return sure;
}

static size_t fold_all(struct softdirty *t, const struct cm_ranges *all)
{
	struct cm_entries e;
	size_t guessed = 0;

	check_files(t);
	cm_entries_init(&e, t->pagemap, t->b.params.counters);
	for (size_t i = 0; i < all->n; i++)
		guessed += !fold(t, &e, &all->v[i]);
	return guessed;
}

/* If it fails the bits stay set and are reported again: that is all. */
static void clear_refs(struct softdirty *t)
{
	CM_COUNT(t->b.params.counters->kernel_calls);
	ssize_t n = cm_os->write(t->clear_refs, "4", 1);
	if (n != 1)
		cm_note_errno(t->b.params.counters, n < 0 ? (int)n : -EIO);
}

static size_t softdirty_harvest(struct cm_backend *b, const struct cm_ranges *all,
				struct cm_cards *into)
{
	struct softdirty *t = self(b);
	struct cardmark_run run;
	size_t guessed = fold_all(t, all);

	clear_refs(t);
	for (uintptr_t at = 0; cm_cards_next(&t->held, at, &run); at = run.end)
		cm_cards_set(into, run.start, run.end);
	cm_cards_clear_all(&t->held);
	return guessed;
}

static void rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	cm_cards_clear(&self(b)->held, start, end); /* the kernel's bits are clear already */
}

static void softdirty_scan(struct cm_backend *b, const struct cm_ranges *all,
			   const struct cm_range *piece, const struct cm_masks *masks,
			   enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct softdirty *t = self(b);
	struct cm_entries e;

	if (op == CARDMARK_SCAN_GET) {
		check_files(t);
		cm_entries_init(&e, t->pagemap, b->params.counters);
		sink->guessed |= !fold(t, &e, piece);
	} else {
		sink->guessed |= fold_all(t, all) != 0;
		clear_refs(t);
	}
	cm_composed_scan(b, piece, masks, op, sink, resume, &t->held, rearm);
}

static int softdirty_fork_child(struct cm_backend *b, const struct cm_ranges *all)
{
	struct softdirty *t = self(b);
	const char *why;

	/* The files are the parent's: a write would clear the parent's bits (R5). */
	close_files(t);
	for (size_t i = 0; i < all->n; i++)
		cm_cards_set(&t->held, all->v[i].start, all->v[i].end);
	int error = open_files(t, &why);
	return error;
}

const struct cm_backend_ops cm_backend_softdirty = {
	.id = CARDMARK_BACKEND_SOFTDIRTY,
	.level = 3,
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP |
			CARDMARK_CAP_MPROTECT | CARDMARK_CAP_NO_TRAP,
	.open = softdirty_open,
	.close = softdirty_close,
	.categories = cm_composed_categories,
	.add = softdirty_add,
	.remove = softdirty_remove,
	.harvest = softdirty_harvest,
	.scan = softdirty_scan,
	.fork_child = softdirty_fork_child,
};
