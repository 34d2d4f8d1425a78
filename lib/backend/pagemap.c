/* SPDX-License-Identifier: MIT
 *
 * The backend the library exists for: asynchronous userfaultfd write-protect,
 * and PAGEMAP_SCAN, which returns the written pages and protects them again in
 * one step per page, under the page-table lock (Linux 6.7). The first write to
 * a protected page is resolved inside the kernel: no signal, no message. */
#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct pagemap {
	struct cm_backend base;
	int uffd, pagemap; /* -1 when closed */
	uint64_t guard;    /* PAGE_IS_GUARD if this kernel knows it, else 0 */
	uint64_t categories;
	size_t bytes; /* of this object, vec included */
	struct page_region vec[];
};

static struct pagemap *self(struct cm_backend *b)
{
	return (struct pagemap *)b;
}

/* Programs close descriptors they do not know, and the number is somebody
 * else's then. */
static bool uffd_is_ours(const struct pagemap *p)
{
	return cm_os->fd_is(p->uffd, "[userfaultfd]");
}

static bool pagemap_is_ours(const struct pagemap *p)
{
	return cm_os->fd_is(p->pagemap, "/pagemap");
}

static void close_files(struct pagemap *p)
{
	if (uffd_is_ours(p))
		(void)cm_os->close(p->uffd);
	if (pagemap_is_ours(p))
		(void)cm_os->close(p->pagemap);
	p->uffd = p->pagemap = -1;
}

static int open_files(struct pagemap *p, const char **why)
{
	/* USER_MODE_ONLY needs no privilege, and in async mode the kernel's own
	 * writes are tracked all the same: no message has to reach us. */
	p->uffd = cm_os->uffd_open(true, UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	if (p->uffd < 0) {
		int error = p->uffd;
		p->uffd = -1;
		*why = error == -EINVAL
			       ? "userfaultfd here has no asynchronous write-protect mode: "
				 "Linux 6.7 or newer (arm64: 6.10) has it"
		       : error == -ENOSYS ? "this kernel is built without userfaultfd"
		       : error == -EPERM  ? "this process may not use userfaultfd (seccomp or a "
					    "security module)"
					  : "userfaultfd could not be opened";
		return error == -EINVAL || error == -ENOSYS ? -ENOTSUP : error;
	}
	p->pagemap = cm_os->open_self("pagemap", O_RDONLY);
	if (p->pagemap < 0) {
		int error = p->pagemap;
		close_files(p);
		*why = "/proc/self/pagemap could not be opened";
		return error == -EACCES ? -EPERM : error == -ENOENT ? -ENOTSUP : error;
	}
	return 0;
}

/* A category the kernel does not know is refused with EINVAL before it looks
 * at any page, so an empty get tells. */
static bool knows(struct pagemap *p, uint64_t category)
{
	struct pm_scan_arg arg = { .size = sizeof arg, .vec = (uintptr_t)p->vec, .vec_len = 1 };

	/* SOFT_DIRTY came with 6.8, GUARD with 6.16. */
	arg.category_mask = category;
	arg.return_mask = category;
	arg.start = 0;
	arg.end = cardmark_card_size();
	return cm_os->scan(p->pagemap, &arg) >= 0;
}

static int pagemap_open(struct cm_backend **out, const struct cm_backend_params *params,
			const char **why)
{
	size_t bytes = sizeof(struct pagemap) + params->vec_len * sizeof(struct page_region);
	void *mem;
	int error = cm_os->map(bytes, &mem);
	struct pagemap *p = mem;

	if (error < 0) {
		*why = "no memory";
		return error;
	}
	p->base.ops = &cm_backend_pagemap;
	p->base.params = *params;
	p->bytes = bytes;
	p->uffd = p->pagemap = -1;
	error = open_files(p, why);
	if (error < 0) {
		(void)cm_os->unmap(p, bytes);
		return error;
	}
	if (!knows(p, PAGE_IS_WRITTEN)) {
		close_files(p);
		(void)cm_os->unmap(p, bytes);
		*why = "this kernel has no PAGEMAP_SCAN: Linux 6.7 or newer has it";
		return -ENOTSUP;
	}
	p->categories = CARDMARK_PAGE_ALL & ~(CARDMARK_PAGE_SOFT_DIRTY | CARDMARK_PAGE_GUARD);
	if (knows(p, PAGE_IS_SOFT_DIRTY))
		p->categories |= CARDMARK_PAGE_SOFT_DIRTY;
	if (knows(p, PAGE_IS_GUARD)) {
		p->categories |= CARDMARK_PAGE_GUARD;
		p->guard = PAGE_IS_GUARD;
	}
	*out = &p->base;
	return 0;
}

static void pagemap_remove(struct cm_backend *b, const struct cm_range *piece)
{
	/* EINVAL where the memory is gone already: nothing to give back. */
	CM_COUNT(b->params.counters->kernel_calls);
	(void)cm_os->uffd_unregister(self(b)->uffd, piece->start, piece->end - piece->start);
}

static void pagemap_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct pagemap *p = self(b);

	/* Unregister before closing: before 6.9 pages stayed protected (R9). */
	for (size_t i = 0; i < all->n && p->uffd >= 0; i++)
		pagemap_remove(b, &all->v[i]);
	close_files(p);
	(void)cm_os->unmap(p, p->bytes);
}

static uint64_t pagemap_categories(struct cm_backend *b)
{
	return self(b)->categories;
}

static int pagemap_add(struct cm_backend *b, const struct cm_range *piece)
{
	int error;

	/* Pages start unprotected, which reads as written; the first harvest arms
	 * them. A hole is not protected either, and stays so until it is touched:
	 * no page tables are built for it. */
	CM_COUNT(b->params.counters->kernel_calls);
	error = cm_os->uffd_register(self(b)->uffd, piece->start, piece->end - piece->start);
	if (error < 0)
		cm_note_errno(b->params.counters, error);
	return error;
}

static int pagemap_restart(struct cm_backend *b, const struct cm_range *piece)
{
	int error = pagemap_add(b, piece);

	if (error < 0)
		return error;
	/* Take the protection away: that reads as written. Register first: it is
	 * what refuses memory of another userfaultfd. */
	CM_COUNT(b->params.counters->kernel_calls);
	if (cm_os->uffd_protect(self(b)->uffd, piece->start, piece->end - piece->start, false) <
	    0) {
		pagemap_remove(b, piece);
		error = pagemap_add(b, piece);
	}
	return error;
}

/* The kernel's four masks for our four. */
static void set_masks(struct pm_scan_arg *arg, const struct cm_masks *m)
{
	arg->category_inverted = m->excluded;
	arg->category_mask = m->required | m->excluded;
	/* An excluded bit reads as 1 once inverted: it must not satisfy any-of. */
	arg->category_anyof_mask = m->any_of & ~m->excluded;
	arg->return_mask = m->returned;
}

/* What a collector wants to know of a piece (R6, R15). */
static struct cm_masks collector_masks(const struct pagemap *p, enum cm_kind kind)
{
	struct cm_masks m = { .required = PAGE_IS_WRITTEN,
			      .excluded = p->guard,
			      .returned = PAGE_IS_WRITTEN };

	if (kind == CM_KIND_PRIVATE)
		m.any_of = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	return m;
}

/* After a failed call over [start, end), which is reported whole: put right
 * what can be, so that the next one works. */
static void recover(struct pagemap *p, const struct cm_ranges *all, int error, uintptr_t start,
		    uintptr_t end)
{
	struct cm_range piece = { .start = start, .end = end };

	CM_COUNT(p->base.params.counters->guessed);
	cm_note_errno(p->base.params.counters, error);
	if (!uffd_is_ours(p) || !pagemap_is_ours(p)) {
		/* The program closed them: registrations went with the uffd. */
		(void)cm_backend_pagemap.fork_child(&p->base, all);
	} else if (error == -EPERM) {
		/* A mapping that is not registered has replaced ours (R2). */
		cm_note_anew(p->base.params.counters, start, end);
		(void)pagemap_add(&p->base, &piece);
	}
}

/* One PAGEMAP_SCAN call from arg->start. Regions are in p->vec afterwards.
 * Returns their number, or -errno with the whole of [start, end) to be taken as
 * written: the kernel may have cleared part of it before it failed (R3).
 * *next is where to go on, arg->end when done. walk_end alone can't be trusted
 * (R4): done is when the vector had room left and no page limit was met. */
static long scan_once(struct pagemap *p, struct pm_scan_arg *arg, uintptr_t *next)
{
	uint64_t bytes = 0;
	long n;

	CM_COUNT(p->base.params.counters->kernel_calls);
	arg->walk_end = arg->start;
	n = cm_os->scan(p->pagemap, arg);
	if (n < 0)
		return n;
	if (arg->max_pages != 0)
		for (long i = 0; i < n; i++)
			bytes += p->vec[i].end - p->vec[i].start;
	if ((uint64_t)n < arg->vec_len &&
	    (arg->max_pages == 0 || bytes < arg->max_pages * cardmark_card_size())) {
		*next = (uintptr_t)arg->end;
		return n;
	}
	*next = (uintptr_t)arg->walk_end;
	if (n > 0 && p->vec[n - 1].end > *next)
		*next = (uintptr_t)p->vec[n - 1].end;
	/* No progress, or a position outside: a kernel we do not understand. */
	return *next > arg->start && *next <= arg->end ? n : -EIO;
}

static size_t harvest_chunk(struct pagemap *p, const struct cm_ranges *all, enum cm_kind kind,
			    uintptr_t start, uintptr_t end, struct cm_cards *into)
{
	struct cm_masks masks = collector_masks(p, kind);
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
				   .end = end,
				   .vec = (uintptr_t)p->vec,
				   .vec_len = p->base.params.vec_len };
	size_t guessed = 0;

	set_masks(&arg, &masks);
	while (start < end) {
		uintptr_t next = end;
		long n;

		arg.start = start;
		n = scan_once(p, &arg, &next);
		if (n < 0) {
			cm_cards_set(into, start, end);
			recover(p, all, (int)n, start, end);
			if (guessed++ != 0)
				break;
			continue; /* arms what is watched again, or fails once more */
		}
		for (long i = 0; i < n; i++)
			cm_cards_set(into, (uintptr_t)p->vec[i].start, (uintptr_t)p->vec[i].end);
		start = next;
	}
	return guessed;
}

static size_t pagemap_harvest(struct cm_backend *b, const struct cm_ranges *all,
			      struct cm_cards *into)
{
	size_t guessed = 0, chunk = b->params.chunk_bytes;

	for (size_t i = 0; i < all->n; i++) {
		const struct cm_range *r = &all->v[i];
		for (uintptr_t at = r->start; at < r->end;) {
			uintptr_t end = r->end - at > chunk ? at + chunk : r->end;
			guessed += harvest_chunk(self(b), all, r->kind, at, end, into);
			at = end;
		}
	}
	return guessed;
}

static void pagemap_scan(struct cm_backend *b, const struct cm_ranges *all,
			 const struct cm_range *piece, const struct cm_masks *masks,
			 enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct pagemap *p = self(b);
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_CHECK_WPASYNC,
				   .vec = (uintptr_t)p->vec };
	uintptr_t at = piece->start;

	set_masks(&arg, masks);
	if (op != CARDMARK_SCAN_GET)
		arg.flags |= PM_SCAN_WP_MATCHING;
	/* Clearing without a vector would ignore the masks (R8): CLEAR fetches
	 * the regions too, into its own vector, and drops them. */
	while (at < piece->end && !cm_sink_full(sink)) {
		uintptr_t end = piece->end, next;
		size_t room = sink->v == NULL ? SIZE_MAX : sink->cap - sink->n;
		size_t left = sink->max_pages - sink->pages;
		long n;

		if (end - at > b->params.chunk_bytes)
			end = at + b->params.chunk_bytes;
		if (room == 0)
			break; /* the last region could only grow: let the caller come again */
		arg.vec_len = room < b->params.vec_len ? room : b->params.vec_len;
		arg.max_pages = sink->max_pages == SIZE_MAX ? 0 : left;
		arg.start = at;
		arg.end = end;
		n = scan_once(p, &arg, &next);
		if (n < 0) {
			recover(p, all, (int)n, at, end);
			cm_sink_guess(sink, at, end, masks);
			next = end;
		}
		for (long i = 0; i < n; i++)
			cm_sink_put(sink, (uintptr_t)p->vec[i].start, (uintptr_t)p->vec[i].end,
				    p->vec[i].categories);
		at = next;
	}
	*resume = at;
}

/* Also how a program's closing of our descriptors is mended: everything is
 * registered anew, so everything present counts as written. */
static int pagemap_fork_child(struct cm_backend *b, const struct cm_ranges *all)
{
	struct pagemap *p = self(b);
	const char *why;
	int error;

	/* The inherited descriptors act on the parent (R5): only close them. */
	close_files(p);
	error = open_files(p, &why);
	for (size_t i = 0; i < all->n && error == 0; i++) {
		CM_COUNT(b->params.counters->kernel_calls);
		/* A range that is gone is no reason to give up: scanning it fails,
		 * and then it is dirty. */
		(void)cm_os->uffd_register(p->uffd, all->v[i].start,
					   all->v[i].end - all->v[i].start);
	}
	if (error < 0)
		cm_note_errno(b->params.counters, error);
	return error;
}

const struct cm_backend_ops cm_backend_pagemap = {
	.id = CARDMARK_BACKEND_PAGEMAP,
	.level = 4,
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT |
			CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP | CARDMARK_CAP_MPROTECT |
			CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_SHARED | CARDMARK_CAP_CATEGORIES,
	.open = pagemap_open,
	.close = pagemap_close,
	.categories = pagemap_categories,
	.add = pagemap_add,
	.restart = pagemap_restart,
	.remove = pagemap_remove,
	.harvest = pagemap_harvest,
	.scan = pagemap_scan,
	.fork_child = pagemap_fork_child,
};
