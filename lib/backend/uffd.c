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
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PME_UFFD_WP (UINT64_C(1) << 57) /* 5.14 */
#define MESSAGES 16
#define TRIES 100

struct uffd {
	struct cm_backend b; /* first */
	int uffd, stop, pagemap;
	bool privileged, running;
	pthread_t monitor;
	/* The program closed our descriptor: faults no longer come, the page
	 * table tells nothing. Everything is dirty from then on. */
	_Atomic bool broken;
	struct cm_cards snapshot; /* what a scan found written */
};

static struct uffd *self(struct cm_backend *b)
{
	return (struct uffd *)b;
}

static bool is_broken(const struct uffd *t)
{
	return atomic_load_explicit(&t->broken, memory_order_relaxed);
}

/* From what the kernel says of ranges to the closed list. */
static int listed(int error)
{
	return error == -ENOENT ? -ENOMEM : error == -EAGAIN ? -EBUSY : error;
}

/* EAGAIN: the address space is changing (fork, mremap, munmap under way). */
static int set_protection(struct uffd *t, uintptr_t start, uintptr_t end, bool protect)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		CM_COUNT(t->b.params.counters->kernel_calls);
		error = cm_os->uffd_protect(t->uffd, start, end - start, protect);
		if (error != -EAGAIN)
			break;
		(void)sched_yield();
	}
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	return error;
}

/* ---- Descriptors ----------------------------------------------------------- */

static bool uffd_is_ours(const struct uffd *t)
{
	return cm_os->fd_is(t->uffd, "[userfaultfd]");
}

/* Programs close descriptors they do not know; the number is then another's. */
static void check_files(struct uffd *t)
{
	if (!uffd_is_ours(t))
		atomic_store_explicit(&t->broken, true, memory_order_relaxed);
	if (!cm_os->fd_is(t->pagemap, "/pagemap"))
		t->pagemap = cm_os->open_self("pagemap", O_RDONLY); /* or every read fails */
}

static void close_files(struct uffd *t)
{
	if (uffd_is_ours(t))
		(void)cm_os->close(t->uffd);
	if (cm_os->fd_is(t->pagemap, "/pagemap"))
		(void)cm_os->close(t->pagemap);
	if (cm_os->fd_is(t->stop, "[eventfd]"))
		(void)cm_os->close(t->stop);
	t->uffd = t->pagemap = t->stop = -1;
}

/* ---- The monitor ----------------------------------------------------------- */

static void resolve(struct uffd *t, const struct uffd_msg *msg)
{
	size_t card = cardmark_card_size();

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		return;
	uintptr_t addr = (uintptr_t)msg->arg.pagefault.address & ~(uintptr_t)(card - 1);
	CM_COUNT(t->b.params.counters->faults);
	/* Also wakes the writers. If it fails the range was unregistered since,
	 * which woke them too. */
	(void)set_protection(t, addr, addr + card, false);
}

/* Waits for no lock and touches nothing but the tracker and its own stack:
 * nothing that anybody could have protected. */
static void *monitor(void *arg)
{
	struct uffd *t = arg;
	struct uffd_msg msgs[MESSAGES];

	for (;;) {
		struct pollfd fds[2] = { { .fd = t->stop, .events = POLLIN },
					 { .fd = t->uffd, .events = POLLIN } };
		if (is_broken(t))
			fds[1].fd = -1;
		int n = cm_os->poll(fds, 2, -1);
		if (n <= 0)
			continue;
		if (fds[0].revents != 0)
			return NULL;
		if (fds[1].revents == 0)
			continue;
		ssize_t got = uffd_is_ours(t) ? cm_os->read(t->uffd, msgs, sizeof msgs) : -EBADF;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof *msgs; i++)
			resolve(t, &msgs[i]);
		if (got <= 0 && got != -EAGAIN && got != -EINTR) {
			cm_note_errno(t->b.params.counters, got < 0 ? (int)got : -EIO);
			atomic_store_explicit(&t->broken, true, memory_order_relaxed);
		}
	}
}

static int start_monitor(struct uffd *t)
{
	sigset_t every, before;

	/* It inherits the mask: a collector that stops threads by signal must
	 * not stop this one, or a writer in a fault never gets to its own stop. */
	(void)sigfillset(&every);
	(void)pthread_sigmask(SIG_SETMASK, &every, &before);
	int error = pthread_create(&t->monitor, NULL, monitor, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	t->running = error == 0;
	return error == 0 ? 0 : -ENOMEM; /* EAGAIN: no more threads */
}

static void stop_monitor(struct uffd *t)
{
	uint64_t one = 1;

	if (!t->running)
		return;
	if (cm_os->fd_is(t->stop, "[eventfd]"))
		(void)cm_os->write(t->stop, &one, sizeof one);
	else /* closed by the program; poll(2) is a cancellation point */
		(void)pthread_cancel(t->monitor);
	(void)pthread_join(t->monitor, NULL);
	t->running = false;
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
		return t->uffd == -EINVAL ? -ENOTSUP : t->uffd;
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

/* Does pagemap show the protection? Without it every card would be dirty. */
static int check_visible(struct uffd *t, const char **why)
{
	size_t card = cardmark_card_size();
	struct cm_entries e;
	uint64_t entry = 0;
	void *page;
	int error = cm_os->map(card, &page);

	*why = "write-protection of a scratch page failed";
	if (error < 0)
		return error;
	uintptr_t addr = (uintptr_t)page;
	*(volatile char *)page = 1;
	cm_entries_init(&e, t->pagemap, t->b.params.counters);
	error = cm_os->uffd_register(t->uffd, addr, card);
	if (error == 0) {
		error = set_protection(t, addr, addr + card, true);
		if (error == 0)
			error = cm_entries_at(&e, addr, addr + card, &entry);
		(void)cm_os->uffd_unregister(t->uffd, addr, card);
	}
	(void)cm_os->unmap(page, card);
	if (error == 0 && (entry & PME_UFFD_WP) == 0) {
		*why = "pagemap does not show write-protection (5.14)";
		error = -ENOTSUP;
	}
	return error;
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
	if (error == 0)
		error = check_visible(t, why);
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

static void uffd_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct uffd *t = self(b);

	/* Unprotect first: before 6.9 unregistering left pages protected (R9).
	 * Unregistering wakes writers whose message is still in the queue. */
	(void)set_protection(t, piece->start, piece->end, false);
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

static uint64_t uffd_categories(struct cm_backend *b)
{
	(void)b;
	return CM_COMPOSED_CATEGORIES;
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
	return error < 0 ? error : set_protection(t, piece->start, piece->end, false);
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
	int error = set_protection(t, start, end, true);

	if (error == -ENOENT) {
		error = cm_os->uffd_register(t->uffd, range->start, range->end - range->start);
		if (error < 0)
			error = cm_os->uffd_register(t->uffd, start, end - start);
		if (error == 0) {
			CM_COUNT(t->b.params.counters->rearmed);
			error = set_protection(t, start, end, true);
		}
	}
	return error == 0;
}

/* Makes the snapshot of a piece. What cannot be read counts as written. */
static bool look(struct uffd *t, const struct cm_range *piece)
{
	struct cardmark_run run;
	struct cm_entries e;
	uintptr_t at = piece->start;
	int found = -EBADF;

	cm_cards_clear(&t->snapshot, piece->start, piece->end);
	cm_entries_init(&e, t->pagemap, t->b.params.counters);
	while (!is_broken(t) &&
	       (found = cm_entries_next(&e, at, piece->end, PME_UFFD_WP, 0, &run)) > 0) {
		cm_cards_set(&t->snapshot, run.start, run.end);
		at = run.end;
	}
	if (found < 0)
		cm_cards_set(&t->snapshot, at, piece->end);
	return found == 0;
}

static size_t uffd_harvest(struct cm_backend *b, const struct cm_ranges *all, struct cm_cards *into)
{
	struct uffd *t = self(b);
	size_t guessed = 0;

	check_files(t);
	for (size_t i = 0; i < all->n; i++) {
		const struct cm_range *range = &all->v[i];
		struct cardmark_run run;
		bool sure = look(t, range);

		for (uintptr_t at = range->start;
		     cm_cards_next(&t->snapshot, at, &run) && run.start < range->end;
		     at = run.end) {
			if (run.end > range->end)
				run.end = range->end;
			cm_cards_set(into, run.start, run.end);
			sure &= arm(t, range, run.start, run.end);
		}
		if (!sure) {
			CM_COUNT(b->params.counters->guessed);
			guessed++;
		}
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
		if (!look(t, &part)) {
			sink->guessed = true;
			CM_COUNT(b->params.counters->guessed);
		}
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
	.open = uffd_open,
	.close = uffd_close,
	.categories = uffd_categories,
	.capabilities_now = uffd_capabilities_now,
	.add = uffd_add,
	.remove = uffd_remove,
	.harvest = uffd_harvest,
	.scan = uffd_scan,
	.fork_child = uffd_fork_child,
};
