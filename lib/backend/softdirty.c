/* SPDX-License-Identifier: MIT
 *
 * Soft-dirty bits: /proc/self/clear_refs clears and write-protects, pagemap bit 55 shows the bit
 * (R12). Reading and clearing are two steps, and the clear is for the whole process. So writers
 * must stand still, and there can be only one tracker.
 *
 * `held` has the cards that a call cleared in the kernel but did not report. Every call first adds
 * the kernel's bits to it; from then on the clear loses nothing. Of `fresh` memory it takes all
 * cards that hold data, because an earlier clear may have taken their bits.
 *
 * Only cards that hold data count. A hole needs no bit: when it is written, the
 * fault that populates it makes the new entry dirty and with that soft-dirty
 * (do_anonymous_page() and the copy of a zero page, all versions); swap entries
 * carry the bit along. What VM_SOFTDIRTY shows for a new mapping's holes is noise.
 *
 * Not for shared or file memory: reclaim drops such a page's entry, and the
 * bit with it; the page then comes back clean.
 *
 * KSM drops the bits of the pages that it merges (replace_page(), all versions).
 * While it looks at this process, and once more after that, everything counts as
 * written. KSM is not noticed if it forgets the process again (MADV_UNMERGEABLE) before the next
 * question. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/backend/files.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#define MOST_FDS 1024 /* looked at for clear_refs */

struct softdirty {
	struct cm_backend b; /* first */
	struct cm_file pagemap, clear_refs, ksm;
	bool tells_merges; /* this kernel has the file */
	bool merged;       /* KSM was at work at the last harvest */
	struct cm_cards held, fresh;
};

/* The clear is process-wide: a second tracker would lose the first one's bits. */
static atomic_flag in_use = ATOMIC_FLAG_INIT;

static struct softdirty *self(struct cm_backend *b)
{
	return (struct softdirty *)b;
}

static void close_files(struct softdirty *t)
{
	cm_file_close(&t->pagemap);
	cm_file_close(&t->clear_refs);
	cm_file_close(&t->ksm);
}

/* Both start with a number that is 0 as long as KSM leaves the process alone. Kernels before 5.19
 * have neither, and do not report KSM. If a file existed before and is missing now, that does not
 * mean an old kernel. */
static int open_ksm(struct softdirty *t)
{
	int error = cm_file_take(&t->ksm, cm_os->open_self("ksm_stat", O_RDONLY)); /* 6.1 */

	if (error == -ENOENT) /* 5.19 */
		error = cm_file_take(&t->ksm, cm_os->open_self("ksm_merging_pages", O_RDONLY));
	t->tells_merges |= error == 0;
	return error == -ENOENT && !t->tells_merges ? 0 : error;
}

static int open_files(struct softdirty *t, const char **why)
{
	t->clear_refs = t->ksm = CM_NO_FILE;
	int error = cm_file_take(&t->pagemap, cm_os->open_self("pagemap", O_RDONLY));
	if (error < 0) {
		*why = "/proc/self/pagemap cannot be opened";
		return error;
	}
	error = cm_file_take(&t->clear_refs, cm_os->open_self("clear_refs", O_WRONLY));
	if (error < 0) {
		*why = "/proc/self/clear_refs cannot be opened";
	} else {
		*why = "/proc/self/ksm_stat cannot be opened";
		error = open_ksm(t);
	}
	if (error < 0)
		close_files(t);
	return error;
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

static void free_memory(struct softdirty *t)
{
	cm_cards_free(&t->fresh);
	cm_cards_free(&t->held);
	(void)cm_os->unmap(t, sizeof *t);
}

static int softdirty_open(struct cm_backend **out, const struct cm_backend_params *params,
			  const char **why)
{
	void *memory;
	int error;

	if (atomic_flag_test_and_set_explicit(&in_use, memory_order_acquire)) {
		*why = "the soft-dirty bits of a process serve only one tracker, and there is one "
		       "already";
		return -EBUSY;
	}
	if (used_by_others()) {
		*why = "something else in this process clears its soft-dirty bits: "
		       "/proc/self/clear_refs is open";
		error = -EBUSY;
		goto fail;
	}
	error = -ENOMEM;
	if (cm_os->map(sizeof(struct softdirty), &memory) < 0) {
		*why = "no memory for the tracker";
		goto fail;
	}
	struct softdirty *t = memory;
	t->b.ops = &cm_backend_softdirty;
	t->b.params = *params;
	*why = "no memory for the tracker";
	error = cm_cards_init(&t->held);
	if (error == 0)
		error = cm_cards_init(&t->fresh);
	if (error == 0)
		error = open_files(t, why);
	if (error < 0) {
		free_memory(t);
		goto fail;
	}
	*out = &t->b;
	return 0;

fail:
	atomic_flag_clear_explicit(&in_use, memory_order_release);
	return error;
}

static void softdirty_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct softdirty *t = self(b);

	(void)all;
	close_files(t);
	free_memory(t);
	atomic_flag_clear_explicit(&in_use, memory_order_release);
}

static int softdirty_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct softdirty *t = self(b);

	if (piece->kind != CM_KIND_PRIVATE)
		return -EINVAL;
	int error = cm_cards_reserve(&t->held, piece->start, piece->end);
	if (error == 0)
		error = cm_cards_reserve(&t->fresh, piece->start, piece->end);
	if (error == 0)
		cm_cards_set(&t->fresh, piece->start, piece->end);
	return error;
}

static void softdirty_remove(struct cm_backend *b, const struct cm_range *piece)
{
	cm_cards_clear(&self(b)->held, piece->start, piece->end);
	cm_cards_clear(&self(b)->fresh, piece->start, piece->end);
}

static enum cm_file_state files_state(const struct softdirty *t)
{
	const struct cm_file *files[] = { &t->pagemap, &t->clear_refs, &t->ksm };

	return cm_files_state(files, t->tells_merges ? 3 : 2);
}

/* Opens again what the program has closed. The bits are the kernel's, so nothing is
 * lost by that. False: nothing can be read now. */
static bool ready(struct softdirty *t)
{
	enum cm_file_state state = files_state(t);
	const char *why;

	if (state != CM_FILE_LOST)
		return state == CM_FILE_OURS;
	close_files(t);
	int error = open_files(t, &why);
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	else
		CM_COUNT(t->b.params.counters->reopened);
	return error == 0;
}

/* Adds the cards of a piece that hold data and have the bit to held (all, if it is 0). False: from
 * some card on, all are held. */
static bool fold(struct softdirty *t, const struct cm_range *piece, uint64_t bit)
{
	struct cm_entries e;

	cm_entries_init(&e, t->pagemap.fd, t->b.params.counters);
	bool sure = cm_entries_fold(&e, piece, bit, bit, &t->held);
	if (!sure)
		cm_note_guess(t->b.params.counters, piece->start, piece->end);
	return sure;
}

/* Those of a range that hold data, where it is fresh. */
static bool fold_fresh(struct softdirty *t, const struct cm_range *range)
{
	struct cm_range piece = *range;
	struct cardmark_run run;
	bool sure = true;

	while (cm_cards_next(&t->fresh, piece.start, &run) && run.start < range->end) {
		if (run.start > piece.start)
			piece.start = run.start;
		piece.end = run.end < range->end ? run.end : range->end;
		sure &= fold(t, &piece, 0);
		piece.start = piece.end;
	}
	cm_cards_clear(&t->fresh, range->start, range->end);
	return sure;
}

/* Asked after the bits were read: a merge before that is seen. */
static bool is_merging(struct softdirty *t)
{
	char text[64];

	if (!t->tells_merges)
		return false;
	CM_COUNT(t->b.params.counters->kernel_calls);
	ssize_t n = cm_os->pread(t->ksm.fd, text, sizeof text, 0);
	if (n <= 0)
		cm_note_errno(t->b.params.counters, n < 0 ? (int)n : -EIO);
	for (ssize_t i = 0; i < n && text[i] != '\n'; i++)
		if (text[i] >= '1' && text[i] <= '9')
			return true;
	return n <= 0;
}

/* Adds the kernel's bits of some ranges to held. Returns how many it had to guess. */
static size_t fold_all(struct softdirty *t, const struct cm_range *range, size_t n)
{
	size_t guessed = 0;
	bool sure = ready(t);

	for (size_t i = 0; sure && i < n; i++) {
		bool all = fold_fresh(t, &range[i]);
		guessed += !(fold(t, &range[i], CM_PME_SOFT_DIRTY) && all);
	}
	bool before = t->merged;
	t->merged = sure && is_merging(t);
	if (sure && (before || t->merged)) {
		guessed = n;
		for (size_t i = 0; i < n; i++) {
			(void)fold(t, &range[i], 0);
			cm_note_guess(t->b.params.counters, range[i].start, range[i].end);
		}
	}
	/* Looked at again: if it was exchanged in between, it may have been another
	 * process that answered. */
	if (!sure || files_state(t) != CM_FILE_OURS) {
		guessed = n;
		t->merged = true; /* not known */
		for (size_t i = 0; i < n; i++) {
			cm_cards_set(&t->held, range[i].start, range[i].end);
			cm_note_guess(t->b.params.counters, range[i].start, range[i].end);
		}
	}
	return guessed;
}

/* If it fails, the bits only stay set and are reported again. */
static void clear_refs(struct softdirty *t)
{
	ssize_t n = -EBADF;

	if (t->clear_refs.fd < 0)
		return; /* why it could not be opened has been noted */
	if (cm_file_is_ours(&t->clear_refs)) {
		CM_COUNT(t->b.params.counters->kernel_calls);
		n = cm_os->write(t->clear_refs.fd, "4", 1);
	}
	if (n != 1)
		cm_note_errno(t->b.params.counters, n < 0 ? (int)n : -EIO);
}

static size_t softdirty_harvest(struct cm_backend *b, const struct cm_ranges *all,
				struct cardmark_run span, struct cm_cards *into)
{
	struct softdirty *t = self(b);
	struct cardmark_run run;
	size_t guessed = fold_all(t, all->v, all->n);

	(void)span; /* the clear is for the whole process */
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

	if (op == CARDMARK_SCAN_GET) {
		bool before = t->merged;
		sink->guessed |= fold_all(t, piece, 1) != 0;
		t->merged |= before; /* the next harvest needs it still */
	} else {
		sink->guessed |= fold_all(t, all->v, all->n) != 0;
		clear_refs(t);
	}
	cm_composed_scan(b, piece, masks, op, sink, resume, &t->held, rearm);
}

static void softdirty_suspend(struct cm_backend *b, const struct cm_ranges *all)
{
	(void)all;
	close_files(self(b));
}

static int softdirty_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	struct softdirty *t = self(b);
	const char *why;

	/* The files are the parent's: a write would clear the parent's bits (R5). */
	close_files(t);
	cm_ranges_mark(all, CM_ALL, &t->fresh);
	int error = open_files(t, &why);
	return error;
}

static void softdirty_abandon(struct cm_backend *b)
{
	close_files(self(b));
}

const struct cm_backend_ops cm_backend_softdirty = {
	.id = CARDMARK_BACKEND_SOFTDIRTY,
	.level = 3,
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP |
			CARDMARK_CAP_MPROTECT | CARDMARK_CAP_NO_TRAP,
	.ignores_zero_page = true,
	.open = softdirty_open,
	.close = softdirty_close,
	.categories = cm_composed_categories,
	.add = softdirty_add,
	.remove = softdirty_remove,
	.harvest = softdirty_harvest,
	.scan = softdirty_scan,
	.suspend = softdirty_suspend,
	.rebuild = softdirty_rebuild,
	.abandon = softdirty_abandon,
};
