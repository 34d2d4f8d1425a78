/* SPDX-License-Identifier: MIT
 *
 * Synchronous userfaultfd write-protection (Linux 5.7; 5.14 to be readable): a
 * write to a protected card stops the writer until our monitor thread has
 * unprotected the card.
 *
 * The page table itself is the record: a card that holds data and is not
 * write-protected was written. pagemap shows that as bit 57. There is no bit of
 * our own to set, hence no lock between the monitor and the harvest, and
 * whatever drops the protection (MADV_DONTNEED, a new mapping in the place)
 * shows as written instead of going unseen.
 *
 * Why nothing is lost while mutators write. The harvest reads which cards are
 * written, then protects exactly those. A write to one of them before it is protected hits a
 * reported card; a write after that traps. A card that was protected when read, or empty, is left
 * alone: the monitor, or the fault that populates it, leaves it unprotected for the next harvest.
 * Protecting one card more than was read as written would break this: its write in between would be
 * protected over. For the same reason empty cards stay unprotected, and WP_UNPOPULATED (6.4) is not
 * asked for. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/backend/monitor.h"
#include "lib/backend/unregister.h"
#include "lib/backend/userfaultfd.h"
#include "lib/os/os.h"
#include "lib/os/valgrind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define PME_UFFD_WP (UINT64_C(1) << 57) /* 5.14 */

static struct cm_uffd *self(struct cm_backend *b)
{
	return (struct cm_uffd *)b;
}

/* From the kernel's errors about ranges to the closed list. */
static int listed(int error)
{
	return error == -ENOENT ? -ENOMEM : error == -EAGAIN ? -EBUSY : error;
}

/* ---- Open and close -------------------------------------------------------- */

static int open_pipe(struct cm_uffd *t)
{
	int ends[2], error = cm_os->pipe(ends), other;

	if (error < 0)
		return error;
	error = cm_file_take(&t->ear, ends[0]);
	other = cm_file_take(&t->bell, ends[1]);
	return error < 0 ? error : other;
}

static int open_files(struct cm_uffd *t, const char **why)
{
	t->pagemap = t->ear = t->bell = CM_NO_FILE;
	int error = cm_userfaultfd_open(&t->uffd, UFFD_FEATURE_PAGEFAULT_FLAG_WP, &t->privileged,
					"the kernel has no userfaultfd write-protection: Linux "
					"5.14 or newer (arm64: 6.10) has it",
					why);
	if (error < 0)
		return error;
	error = cm_file_take(&t->pagemap, cm_os->open_self("pagemap", O_RDONLY));
	if (error < 0) {
		*why = "/proc/self/pagemap cannot be opened";
	} else {
		*why = "no pipe can be opened for the monitor thread";
		error = open_pipe(t);
	}
	if (error < 0)
		cm_uffd_close_files(t);
	return error;
}

static int map_nowhere(struct cm_uffd *t)
{
	size_t card = cardmark_card_size();

	if (cm_os->map(card, &t->nowhere) < 0 ||
	    cm_os->mprotect((uintptr_t)t->nowhere, card, PROT_NONE) < 0)
		return -ENOMEM;
	return 0;
}

static void free_memory(struct cm_uffd *t)
{
	if (t->nowhere != NULL)
		(void)cm_os->unmap(t->nowhere, cardmark_card_size());
	cm_cards_free(&t->snapshot);
	(void)cm_os->unmap(t, sizeof *t);
}

static int uffd_open(struct cm_backend **out, const struct cm_backend_params *params,
		     const char **why)
{
	void *memory;

	/* And a thread that waits in a page fault keeps its turn. */
	*why = "valgrind runs one thread at a time, so the thread that answers a waiting writer "
	       "would never run";
	if (cm_on_valgrind())
		return -ENOTSUP;
	*why = "no memory for the tracker";
	if (cm_os->map(sizeof(struct cm_uffd), &memory) < 0)
		return -ENOMEM;
	struct cm_uffd *t = memory;
	t->registered = true;
	t->b.ops = &cm_backend_uffd;
	t->b.params = *params;
	int error = map_nowhere(t);
	if (error == 0)
		error = cm_cards_init(&t->snapshot);
	if (error == 0)
		error = open_files(t, why);
	if (error == 0) {
		*why = "the monitor thread cannot be started (see RLIMIT_NPROC)";
		error = cm_monitor_start(t);
		if (error < 0)
			cm_uffd_close_files(t);
	}
	if (error == 0)
		*out = &t->b;
	else
		free_memory(t);
	return error;
}

/* Before 6.4 one call must stay within one mapping, or it does nothing and returns
 * ENOENT: then mapping by mapping. Not for the monitor: one card is never in two. */
static int protect_mappings(struct cm_uffd *t, uintptr_t start, uintptr_t end, bool protect)
{
	int result = cm_uffd_protect(t, start, end, protect);
	struct cm_vma vma;

	if (result != -ENOENT)
		return result;
	result = 0;
	while (start < end) {
		int error = cm_os->vma_at(start, &vma);
		if (error < 0)
			return -ENOENT; /* can't ask: as it stands, some of it is not done */
		if (vma.start > start)
			result = -ENOENT; /* a hole */
		if (vma.start >= end)
			break;
		if (vma.start < start)
			vma.start = start;
		if (vma.end > end)
			vma.end = end;
		error = cm_uffd_protect(t, vma.start, vma.end, protect);
		if (error < 0)
			result = error;
		start = vma.end;
	}
	return result;
}

/* The same as protect_mappings() for memory that is certainly registered, if the mappings are not
 * known. */
static int unprotect_halves(struct cm_uffd *t, uintptr_t start, uintptr_t end)
{
	size_t card = cardmark_card_size();
	uintptr_t middle = start + (end - start) / 2 / card * card;
	int error = cm_uffd_protect(t, start, end, false), other;

	if (error != -ENOENT || middle == start)
		return error;
	error = unprotect_halves(t, start, middle);
	other = unprotect_halves(t, middle, end);
	return error < 0 ? error : other;
}

static void uffd_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct cm_uffd *t = self(b);

	/* Unprotect first, because before 6.9 unregistering left pages protected (R9).
	 * Unregistering wakes writers whose message is still in the queue. */
	if (!t->suspended && cm_file_state(&t->uffd) != CM_FILE_LOST) {
		(void)protect_mappings(t, piece->start, piece->end, false);
		cm_unregister(t->uffd.fd, piece->start, piece->end, t->b.params.counters);
	}
	cm_cards_clear(&t->snapshot, piece->start, piece->end);
}

static void uffd_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct cm_uffd *t = self(b);

	for (size_t i = 0; i < all->n; i++)
		uffd_remove(b, &all->v[i]);
	cm_monitor_stop(t); /* last: writers wait for it until here */
	cm_uffd_close_files(t);
	free_memory(t);
}

static unsigned uffd_capabilities_now(struct cm_backend *b)
{
	unsigned caps = cm_backend_uffd.capabilities;

	return self(b)->privileged ? caps : caps & ~(unsigned)CARDMARK_CAP_KERNEL_WRITES;
}

/* ---- Ranges ---------------------------------------------------------------- */

static int watch(struct cm_uffd *t, const struct cm_range *piece)
{
	if (t->suspended)
		return 0;
	CM_COUNT(t->b.params.counters->kernel_calls);
	int error = cm_os->uffd_register(t->uffd.fd, piece->start, piece->end - piece->start);
	if (error < 0) {
		cm_note_errno(t->b.params.counters, error);
		return error;
	}
	/* Earlier protection must not read as clean. If it cannot be removed, the memory is not
	 * watched, and the protection bit means nothing (add_unwatched()). Before 6.1.191 a card
	 * could have the bit and be writable. */
	error = protect_mappings(t, piece->start, piece->end, false);
	if (error == -ENOENT && cm_os->covered(piece->start, piece->end - piece->start) == 0)
		error = unprotect_halves(t, piece->start, piece->end);
	if (error < 0)
		cm_unregister(t->uffd.fd, piece->start, piece->end, t->b.params.counters);
	return error;
}

static int uffd_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct cm_uffd *t = self(b);

	/* Sync mode needs private anonymous memory: shared memory's markers are
	 * another feature (5.19), files are refused. */
	if (piece->kind != CM_KIND_PRIVATE)
		return -EINVAL;
	int error = cm_cards_reserve(&t->snapshot, piece->start, piece->end);
	if (error == 0)
		error = watch(t, piece);
	/* The program closed the userfaultfd, and on a busy machine the monitor has not let go of
	 * it yet: the next call opens another one. */
	if (error < 0 && !cm_file_is_ours(&t->uffd))
		error = -EBUSY;
	return listed(error);
}

static enum cm_files_ready register_all(struct cm_uffd *t, const struct cm_ranges *all)
{
	t->registered = true;
	for (size_t i = 0; i < all->n; i++)
		(void)watch(t, &all->v[i]); /* or the harvest does, as it is ENOENT */
	return CM_FILES_ANEW;
}

/* Are the files still ours? If not, everything is unprotected and reads as written once the monitor
 * has let go of the files. */
static enum cm_files_ready check_files(struct cm_uffd *t, const struct cm_ranges *all)
{
	const struct cm_file *files[4] = { &t->uffd, &t->pagemap, &t->ear, &t->bell };
	enum cm_file_state state = cm_files_state(files, 4);
	const char *why;

	if (state == CM_FILE_OURS && !cm_monitor_is_parked(t)) {
		if (!cm_monitor_has_files(t))
			return CM_FILES_NONE;
		if (t->registered)
			return CM_FILES_AS_BEFORE;
		return register_all(t, all);
	}
	if (state == CM_FILE_UNKNOWN || !cm_monitor_recall(t))
		return CM_FILES_NONE;
	if (cm_monitor_keeps_files(t) && state != CM_FILE_OURS) {
		cm_note_errno(t->b.params.counters, -EBADF);
		cm_monitor_go_on(t);
		return CM_FILES_NONE;
	}
	for (size_t i = 0; i < all->n; i++)
		uffd_remove(&t->b, &all->v[i]); /* a child may have a copy of the descriptor */
	cm_uffd_close_files(t);
	int error = open_files(t, &why);
	if (error < 0) {
		cm_note_errno(t->b.params.counters, error);
		return CM_FILES_NONE;
	}
	CM_COUNT(t->b.params.counters->reopened);
	t->registered = false;
	cm_monitor_resume(t);
	if (cm_monitor_has_files(t))
		return register_all(t, all);
	/* The monitor has another table: a userfaultfd that it cannot answer must not exist. */
	if (cm_monitor_is_parked(t))
		cm_uffd_close_files(t);
	return CM_FILES_NONE;
}

static void uffd_check(struct cm_backend *b, const struct cm_ranges *all)
{
	if (!self(b)->suspended)
		(void)check_files(self(b), all);
}

/* ---- Harvest and scan ------------------------------------------------------ */

/* Does a userfaultfd watch all of it? False if this can't be asked. */
static bool is_watched(struct cm_uffd *t, uintptr_t start, uintptr_t end)
{
	int error;

	CM_COUNT(t->b.params.counters->kernel_calls);
	error = cm_os->uffd_watched(t->uffd.fd, start, end - start, t->nowhere);
	if (error < 0 && error != -ENOENT)
		cm_note_errno(t->b.params.counters, error);
	return error == 0;
}

/* The first mapping in [at, end) that no userfaultfd watches: 1, 0 if there is
 * none, or -errno: can't be asked. A hole is not a mapping. */
static int next_unwatched(struct cm_uffd *t, uintptr_t at, uintptr_t end, struct cm_range *out)
{
	struct cm_vma vma;

	for (; at < end; at = vma.end) {
		int error = cm_os->vma_at(at, &vma);
		if (error < 0)
			return error;
		if (vma.start >= end)
			return 0;
		out->start = vma.start > at ? vma.start : at;
		out->end = vma.end < end ? vma.end : end;
		out->kind = vma.shared || vma.file ? CM_KIND_FILE : CM_KIND_PRIVATE;
		if (!is_watched(t, out->start, out->end))
			return 1;
	}
	return 0;
}

/* Registers what was mapped anew in [start, end), each mapping to its end or the
 * range's, to keep mappings whole. */
static int watch_anew(struct cm_uffd *t, const struct cm_range *range, uintptr_t start,
		      uintptr_t end)
{
	struct cm_range piece;
	int found;

	while ((found = next_unwatched(t, start, range->end, &piece)) > 0 && piece.start < end) {
		/* As in add. Such memory could be watched, but once reclaimed it reads as a
		 * hole. */
		if (piece.kind != CM_KIND_PRIVATE)
			return -EINVAL;
		CM_COUNT(t->b.params.counters->rearmed);
		int error = watch(t, &piece);
		if (error < 0)
			return error;
		start = piece.end;
	}
	return found < 0 ? found : 0;
}

/* Arms cards known to be written. If it fails they stay unprotected, so they are reported as dirty.
 * ENOENT: something new was mapped there. */
static bool arm(struct cm_uffd *t, const struct cm_range *range, uintptr_t start, uintptr_t end)
{
	int error = protect_mappings(t, start, end, true);

	if (error == -ENOENT) {
		error = watch_anew(t, range, start, end);
		if (error == 0)
			error = protect_mappings(t, start, end, true);
	}
	if (error < 0)
		cm_note_guess(t->b.params.counters, start, end);
	return error == 0;
}

/* Adds the cards of a piece that hold data and have no bit of mask. Not inlined, so that its window
 * is off the stack when /proc/self/maps is read: a mutator's stack may have only 16 KiB. */
static __attribute__((noinline)) bool fold(struct cm_uffd *t, const struct cm_range *piece,
					   uint64_t mask)
{
	struct cm_entries e;

	cm_entries_init(&e, t->pagemap.fd, t->b.params.counters);
	return cm_entries_fold(&e, piece, mask, 0, &t->snapshot);
}

/* Where no userfaultfd watches, a protection bit means nothing: before 6.12.11 and 6.1.191 mremap
 * moved it along, and the next write left it set (R9). */
static bool add_unwatched(struct cm_uffd *t, const struct cm_range *piece)
{
	struct cm_range anew;
	uintptr_t at = piece->start;
	bool sure = true;
	int found;

	if (is_watched(t, piece->start, piece->end))
		return true;
	while ((found = next_unwatched(t, at, piece->end, &anew)) > 0) {
		if (anew.kind == CM_KIND_PRIVATE) {
			sure &= fold(t, &anew, 0);
		} else {
			cm_cards_set(&t->snapshot, anew.start, anew.end);
			sure = false;
		}
		at = anew.end;
	}
	if (found < 0)
		cm_cards_set(&t->snapshot, at, piece->end);
	return sure && found == 0;
}

/* Makes the snapshot of a piece. What cannot be read counts as written. */
static bool look(struct cm_uffd *t, const struct cm_range *piece)
{
	cm_cards_clear(&t->snapshot, piece->start, piece->end);
	if (fold(t, piece, PME_UFFD_WP) && add_unwatched(t, piece))
		return true;
	cm_note_guess(t->b.params.counters, piece->start, piece->end);
	return false;
}

static size_t harvest_ranges(struct cm_uffd *t, const struct cm_ranges *all,
			     struct cardmark_run span, struct cm_cards *into)
{
	size_t guessed = 0;

	for (size_t i = cm_ranges_find(all, span.start); i < all->n; i++) {
		struct cm_range piece = cm_ranges_clip(all, i, span.start, span.end);
		struct cardmark_run run;
		bool sure, armed = true;

		if (piece.start >= piece.end)
			break;
		sure = look(t, &piece);
		for (uintptr_t at = piece.start;
		     cm_cards_next(&t->snapshot, at, &run) && run.start < piece.end; at = run.end) {
			if (run.end > piece.end)
				run.end = piece.end;
			cm_cards_set(into, run.start, run.end);
			armed &= arm(t, &all->v[i], run.start, run.end);
		}
		guessed += !(sure && armed);
	}
	return guessed;
}

static size_t uffd_harvest(struct cm_backend *b, const struct cm_ranges *all,
			   struct cardmark_run span, struct cm_cards *into)
{
	struct cm_uffd *t = self(b);
	enum cm_files_ready files = check_files(t, all);
	size_t guessed = files == CM_FILES_NONE ? 0 : harvest_ranges(t, all, span, into);

	/* Looked at again: if files were exchanged in between, it may have been another
	 * process that answered. */
	if (files == CM_FILES_AS_BEFORE && cm_file_is_ours(&t->pagemap) &&
	    cm_file_is_ours(&t->uffd))
		return guessed;
	cm_ranges_mark(all, span, into);
	cm_note_guess(b->params.counters, span.start, span.end);
	return guessed + 1;
}

static void rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	struct cm_range run = { .start = start, .end = end };

	(void)arm(self(b), &run, start, end);
}

static void uffd_scan(struct cm_backend *b, const struct cm_ranges *all,
		      const struct cm_range *piece, const struct cm_masks *masks,
		      enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct cm_uffd *t = self(b);
	struct cm_range part = *piece;
	enum cm_files_ready files = check_files(t, all);

	if (files != CM_FILES_AS_BEFORE) {
		sink->guessed = true;
		cm_note_guess(b->params.counters, piece->start, piece->end);
	}
	if (files == CM_FILES_NONE) {
		cm_sink_guess(sink, piece->start, piece->end, masks);
		*resume = piece->end;
		return;
	}
	/* In chunks, so that a scan that stops early has not read everything. */
	do {
		part.end = piece->end - part.start > b->params.chunk_bytes
				   ? part.start + b->params.chunk_bytes
				   : piece->end;
		sink->guessed |= !look(t, &part);
		cm_composed_scan(b, &part, masks, op, sink, resume, &t->snapshot, rearm);
		part.start = *resume;
	} while (*resume == part.end && part.end < piece->end);
}

/* ---- Fork, suspend --------------------------------------------------------- */

static void uffd_suspend(struct cm_backend *b, const struct cm_ranges *all)
{
	struct cm_uffd *t = self(b);

	for (size_t i = 0; i < all->n; i++)
		uffd_remove(b, &all->v[i]);
	cm_monitor_stop(t); /* last: writers wait for it until here */
	cm_uffd_close_files(t);
	t->suspended = true;
}

/* The child has no monitor, its memory no registration (EVENT_FORK is not asked
 * for), and the descriptors serve the parent's memory: closing them here does
 * nothing to it. */
static int uffd_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	struct cm_uffd *t = self(b);
	const char *why;

	t->running = false;
	cm_uffd_close_files(t);
	int error = open_files(t, &why);
	if (error < 0)
		return listed(error);
	error = cm_monitor_start(t);
	if (error < 0)
		cm_uffd_close_files(t);
	else
		t->suspended = false;
	t->registered = true;
	/* Memory that cannot be watched (MADV_DONTFORK) is not protected either, so it reads as
	 * written until a harvest can register it. */
	for (size_t i = 0; error == 0 && i < all->n; i++)
		(void)watch(t, &all->v[i]);
	return listed(error);
}

/* The monitor is in the parent, and nothing of ours is protected here. */
static void uffd_abandon(struct cm_backend *b)
{
	self(b)->running = false;
	cm_uffd_close_files(self(b));
}

const struct cm_backend_ops cm_backend_uffd = {
	.id = CARDMARK_BACKEND_UFFD,
	.level = 2,
	/* REMAP: a new mapping is not protected, so it reads as written. */
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT |
			CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP | CARDMARK_CAP_MPROTECT,
	.starts_thread = true,
	.tells_huge = true,
	.open = uffd_open,
	.close = uffd_close,
	.categories = cm_composed_categories,
	.capabilities_now = uffd_capabilities_now,
	.add = uffd_add,
	.remove = uffd_remove,
	.harvest = uffd_harvest,
	.scan = uffd_scan,
	.check = uffd_check,
	.suspend = uffd_suspend,
	.rebuild = uffd_rebuild,
	.abandon = uffd_abandon,
};
