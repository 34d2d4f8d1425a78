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
 * written, then protects exactly those. A write to one of them before it is
 * protected falls on a reported card; after it, the write traps. A card that
 * was protected when read, or empty, is left alone: the monitor's unprotecting,
 * or the fault that populates it, leaves it unprotected for the next harvest.
 * Protecting one card more than was read as written would break this: its write
 * in between would be protected over. For the same reason empty cards stay
 * unprotected, and WP_UNPOPULATED (6.4) is not asked for. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/backend/monitor.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#define PME_UFFD_WP (UINT64_C(1) << 57) /* 5.14 */

static struct uffd *self(struct cm_backend *b)
{
	return (struct uffd *)b;
}

/* From what the kernel says of ranges to the closed list. */
static int listed(int error)
{
	return error == -ENOENT ? -ENOMEM : error == -EAGAIN ? -EBUSY : error;
}

/* ---- Open and close -------------------------------------------------------- */

static int open_files(struct uffd *t, const char **why)
{
	uint64_t features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;

	t->stop = t->pagemap = -1;
	t->privileged = true;
	t->uffd = cm_os->uffd_open(false, features);
	if (t->uffd < 0) {
		/* Without privilege (5.11): the kernel's own writes to a protected
		 * card fail with EFAULT. */
		t->privileged = false;
		t->uffd = cm_os->uffd_open(true, features);
	}
	if (t->uffd < 0) {
		*why = t->uffd == -EINVAL
			       ? "the kernel has no userfaultfd write-protection (5.7, x86-64)"
		       : t->uffd == -ENOSYS ? "the kernel has no userfaultfd"
					    : "userfaultfd is refused to this process";
		return t->uffd == -EINVAL || t->uffd == -ENOSYS ? -ENOTSUP : t->uffd;
	}
	t->pagemap = cm_os->open_self("pagemap", O_RDONLY);
	if (t->pagemap < 0) {
		*why = "/proc/self/pagemap cannot be opened";
		return t->pagemap;
	}
	t->stop = cm_os->eventfd();
	if (t->stop < 0) {
		*why = "no eventfd for the monitor thread";
		return t->stop;
	}
	return 0;
}

static int uffd_open(struct cm_backend **out, const struct cm_backend_params *params,
		     const char **why)
{
	void *memory;

	*why = "no memory for the tracker";
	if (cm_os->map(sizeof(struct uffd), &memory) < 0)
		return -ENOMEM;
	struct uffd *t = memory;
	t->b.ops = &cm_backend_uffd;
	t->b.params = *params;
	int error = cm_cards_init(&t->snapshot);
	if (error < 0)
		goto fail_unmap;
	error = open_files(t, why);
	if (error == 0) {
		*why = "no thread for the monitor";
		error = start_monitor(t);
	}
	if (error < 0)
		goto fail;
	*out = &t->b;
	return 0;

fail:
	close_files(t);
	cm_cards_free(&t->snapshot);
fail_unmap:
	(void)cm_os->unmap(memory, sizeof(struct uffd));
	return listed(error);
}

/* Before 6.4 one call must stay within one mapping, or it does nothing and says
 * ENOENT: then mapping by mapping. Not for the monitor: one card is never in two. */
static int protect_mappings(struct uffd *t, uintptr_t start, uintptr_t end, bool protect)
{
	int result = set_protection(t, start, end, protect);
	struct cm_vma vma;

	if (result != -ENOENT)
		return result;
	result = 0;
	while (start < end) {
		int error = cm_os->vma_at(start, &vma);
		if (error < 0)
			return result < 0 ? result : error;
		if (vma.start > start)
			result = -ENOENT; /* a hole */
		if (vma.start >= end)
			break;
		if (vma.start < start)
			vma.start = start;
		if (vma.end > end)
			vma.end = end;
		error = set_protection(t, vma.start, vma.end, protect);
		if (error < 0)
			result = error;
		start = vma.end;
	}
	return result;
}

static void uffd_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct uffd *t = self(b);

	/* Unprotect first: before 6.9 unregistering left pages protected (R9).
	 * Unregistering wakes writers whose message is still in the queue. */
	(void)protect_mappings(t, piece->start, piece->end, false);
	(void)cm_os->uffd_unregister(t->uffd, piece->start, piece->end - piece->start);
	cm_cards_clear(&t->snapshot, piece->start, piece->end);
}

static void uffd_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct uffd *t = self(b);

	for (size_t i = 0; t->uffd >= 0 && i < all->n; i++)
		uffd_remove(b, &all->v[i]);
	stop_monitor(t); /* last: writers wait for it until here */
	close_files(t);
	cm_cards_free(&t->snapshot);
	(void)cm_os->unmap(t, sizeof *t);
}

static unsigned uffd_capabilities_now(struct cm_backend *b)
{
	unsigned caps = cm_backend_uffd.capabilities;

	return self(b)->privileged ? caps : caps & ~(unsigned)CARDMARK_CAP_KERNEL_WRITES;
}

/* ---- Ranges ---------------------------------------------------------------- */

static int watch(struct uffd *t, const struct cm_range *piece)
{
	CM_COUNT(t->b.params.counters->kernel_calls);
	int error = cm_os->uffd_register(t->uffd, piece->start, piece->end - piece->start);
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	/* Protection that was there already must not read as clean. */
	return error < 0 ? error : protect_mappings(t, piece->start, piece->end, false);
}

static int uffd_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct uffd *t = self(b);

	/* Sync mode needs private anonymous memory: shared memory's markers are
	 * another feature (5.19), files are refused. */
	if (piece->kind != CM_KIND_PRIVATE)
		return -EINVAL;
	int error = cm_cards_reserve(&t->snapshot, piece->start, piece->end);
	return error < 0 ? error : listed(watch(t, piece));
}

/* ---- Harvest and scan ------------------------------------------------------ */

/* Arms cards known to be written. If it fails they stay unprotected, which is
 * to say dirty. ENOENT: something new was mapped there, so it is registered for
 * the next time; all of the range if it can be, to keep mappings whole. */
static bool arm(struct uffd *t, const struct cm_range *range, uintptr_t start, uintptr_t end)
{
	int error = protect_mappings(t, start, end, true);

	if (error == -ENOENT) {
		error = cm_os->uffd_register(t->uffd, range->start, range->end - range->start);
		if (error < 0)
			error = cm_os->uffd_register(t->uffd, start, end - start);
		if (error == 0) {
			CM_COUNT(t->b.params.counters->rearmed);
			error = protect_mappings(t, start, end, true);
		}
	}
	if (error < 0)
		CM_COUNT(t->b.params.counters->guessed);
	return error == 0;
}

/* Makes the snapshot of a piece. What cannot be read counts as written. */
static bool look(struct uffd *t, const struct cm_range *piece)
{
	struct cm_entries e;

	cm_cards_clear(&t->snapshot, piece->start, piece->end);
	cm_entries_init(&e, t->pagemap, t->b.params.counters);
	if (!is_broken(t) && cm_entries_fold(&e, piece, PME_UFFD_WP, 0, &t->snapshot))
		return true;
	if (is_broken(t))
		cm_cards_set(&t->snapshot, piece->start, piece->end);
	CM_COUNT(t->b.params.counters->guessed);
	return false;
}

static size_t uffd_harvest(struct cm_backend *b, const struct cm_ranges *all, struct cm_cards *into)
{
	struct uffd *t = self(b);
	size_t guessed = 0;

	check_files(t);
	for (size_t i = 0; i < all->n; i++) {
		const struct cm_range *range = &all->v[i];
		struct cardmark_run run;
		bool sure = look(t, range), armed = true;

		for (uintptr_t at = range->start;
		     cm_cards_next(&t->snapshot, at, &run) && run.start < range->end;
		     at = run.end) {
			if (run.end > range->end)
				run.end = range->end;
			cm_cards_set(into, run.start, run.end);
			armed &= arm(t, range, run.start, run.end);
		}
		guessed += !(sure && armed);
	}
	return guessed;
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
	struct uffd *t = self(b);
	struct cm_range part = *piece;

	(void)all;
	check_files(t);
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

/* ---- Fork ------------------------------------------------------------------ */

/* The child has no monitor, its memory no registration (EVENT_FORK is not asked
 * for), and the descriptors serve the parent's memory: closing them here does
 * nothing to it. */
static int uffd_fork_child(struct cm_backend *b, const struct cm_ranges *all)
{
	struct uffd *t = self(b);
	const char *why;

	t->running = false;
	close_files(t);
	atomic_store_explicit(&t->broken, false, memory_order_relaxed);
	int error = open_files(t, &why);
	if (error == 0)
		error = start_monitor(t);
	/* What cannot be watched (MADV_DONTFORK) is not protected either, and so
	 * reads as written until a harvest can register it. */
	for (size_t i = 0; error == 0 && i < all->n; i++)
		(void)watch(t, &all->v[i]);
	if (error < 0)
		close_files(t);
	return listed(error);
}

const struct cm_backend_ops cm_backend_uffd = {
	.id = CARDMARK_BACKEND_UFFD,
	.level = 2,
	/* REMAP: what is mapped anew is not protected, so it shows as written. */
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT |
			CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP | CARDMARK_CAP_MPROTECT,
	.starts_thread = true,
	.open = uffd_open,
	.close = uffd_close,
	.categories = cm_composed_categories,
	.capabilities_now = uffd_capabilities_now,
	.add = uffd_add,
	.remove = uffd_remove,
	.harvest = uffd_harvest,
	.scan = uffd_scan,
	.fork_child = uffd_fork_child,
};
