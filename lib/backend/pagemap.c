/* SPDX-License-Identifier: MIT
 *
 * The main backend: asynchronous userfaultfd write-protect, and PAGEMAP_SCAN, which returns the
 * written pages and protects them again in one step per page, under the page-table lock (Linux
 * 6.7). The first write to a protected page is resolved inside the kernel: no signal, no
 * message. */
#include "lib/backend/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int pagemap_open(struct cm_backend **out, const struct cm_backend_params *params,
			const char **why)
{
	size_t bytes = sizeof(struct pagemap) + params->vec_len * sizeof(struct page_region);
	void *mem;
	int error;

	if (cm_os->map(bytes, &mem) < 0) {
		*why = "no memory for the tracker";
		return -ENOMEM;
	}
	struct pagemap *p = mem;
	p->base.ops = &cm_backend_pagemap;
	p->base.params = *params;
	p->bytes = bytes;
	error = cm_pagemap_open_files(p, why);
	if (error < 0) {
		(void)cm_os->unmap(p, bytes);
		return error;
	}
	error = cm_pagescan_categories(p->pagemap.fd, &p->categories);
	if (error < 0) {
		cm_pagemap_close_files(p);
		(void)cm_os->unmap(p, bytes);
		*why = cm_pagescan_why(error);
		return error;
	}
	p->guard = p->categories & PAGE_IS_GUARD;
	error = cm_crew_open(&p->crew, params, cm_pagemap_help);
	if (error < 0) {
		cm_pagemap_close_files(p);
		(void)cm_os->unmap(p, bytes);
		*why = "the threads that share a collect cannot be started (see RLIMIT_NPROC)";
		return error;
	}
	p->owed_seen = cm_owed_seen();
	*out = &p->base;
	return 0;
}

static void pagemap_remove(struct cm_backend *b, const struct cm_range *piece)
{
	struct pagemap *p = cm_pagemap_self(b);

	if (cm_file_state(&p->uffd) != CM_FILE_LOST)
		cm_pagemap_unwatch(p, piece->start, piece->end);
}

static void pagemap_close(struct cm_backend *b, const struct cm_ranges *all)
{
	struct pagemap *p = cm_pagemap_self(b);

	cm_crew_close(&p->crew);
	cm_pagemap_unwatch_and_close(p, all);
	(void)cm_os->unmap(p, p->bytes);
}

static uint64_t pagemap_categories(struct cm_backend *b)
{
	return cm_pagemap_self(b)->categories;
}

static int pagemap_add(struct cm_backend *b, const struct cm_range *piece)
{
	struct pagemap *p = cm_pagemap_self(b);

	return p->suspended ? 0 : cm_pagemap_watch(p, piece);
}

static void pagemap_check(struct cm_backend *b, const struct cm_ranges *all)
{
	if (!cm_pagemap_self(b)->suspended)
		(void)cm_pagemap_check_files(cm_pagemap_self(b), all);
}

static size_t pagemap_take_owed(struct cm_backend *b, const struct cm_ranges *all,
				struct cm_cards *into)
{
	return cm_owed_mark(&cm_pagemap_self(b)->owed_seen, all, into);
}

static unsigned pagemap_threads(struct cm_backend *b)
{
	return cm_crew_threads(&cm_pagemap_self(b)->crew);
}

/* ---- The full query --------------------------------------------------------------- */

/* Does the answer depend on bits that a late helper may have cleared? */
static bool asks_for_written(const struct cm_masks *m, enum cardmark_scan_op op)
{
	return op != CARDMARK_SCAN_GET ||
	       ((m->required | m->any_of | m->excluded | m->returned) & PAGE_IS_WRITTEN) != 0;
}

static void pagemap_scan(struct cm_backend *b, const struct cm_ranges *all,
			 const struct cm_range *piece, const struct cm_masks *masks,
			 enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct pagemap *p = cm_pagemap_self(b);
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .flags = PM_SCAN_CHECK_WPASYNC,
				   .vec = (uintptr_t)p->vec };
	enum cm_files_ready files = cm_pagemap_check_files(p, all);
	bool written = asks_for_written(masks, op);
	uint64_t rested = b->params.concurrent ? cm_os->now() : 0;
	uintptr_t at = piece->start;

	if (files != CM_FILES_AS_BEFORE) {
		sink->guessed = true;
		cm_note_guess(b->params.counters, piece->start, piece->end);
	}
	if (files == CM_FILES_NONE) {
		cm_sink_guess(sink, piece->start, piece->end, masks);
		*resume = piece->end;
		return;
	}
	cm_pagescan_masks(&arg, masks);
	if (op != CARDMARK_SCAN_GET)
		arg.flags |= PM_SCAN_WP_MATCHING;
	/* Clearing without a vector would ignore the masks (R8). So CLEAR fetches the regions too,
	 * into its own vector, and drops them. */
	while (at < piece->end && !cm_sink_full(sink)) {
		uintptr_t end = piece->end, next;
		size_t room = sink->v == NULL ? SIZE_MAX : sink->cap - sink->n;
		size_t left = sink->max_pages - sink->pages;
		long n;

		if (end - at > b->params.chunk_bytes)
			end = at + b->params.chunk_bytes;
		if (room == 0)
			break; /* the last region could only grow: the caller must call again */
		if (written && cm_owed_at(p->owed_seen, at, &end)) {
			cm_note_guess(b->params.counters, at, end);
			cm_sink_guess(sink, at, end, masks);
			at = end;
			continue;
		}
		if (b->params.concurrent && at != piece->start)
			cm_rest(&rested);
		arg.vec_len = room < b->params.vec_len ? room : b->params.vec_len;
		arg.max_pages = sink->max_pages == SIZE_MAX ? 0 : left;
		arg.start = at;
		arg.end = end;
		CM_COUNT(b->params.counters->kernel_calls);
		n = cm_pagescan_once(p->pagemap.fd, &arg, &next);
		if (n < 0) {
			cm_pagemap_recover(p, (int)n, at, end);
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

/* A late helper uses the descriptor's number, and after a close that number may become another
 * file's, for example the pagemap of another process. */
static bool pagemap_settle(struct cm_backend *b)
{
	return cm_crew_settle(&cm_pagemap_self(b)->crew, CM_BACKEND_WAIT_ADD_NS);
}

static void pagemap_suspend(struct cm_backend *b, const struct cm_ranges *all)
{
	cm_pagemap_unwatch_and_close(cm_pagemap_self(b), all);
	cm_pagemap_self(b)->suspended = true;
}

static int pagemap_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	struct pagemap *p = cm_pagemap_self(b);
	const char *why;
	int error;

	/* The inherited descriptors act on the parent (R5): only close them. */
	cm_pagemap_close_files(p);
	error = cm_pagemap_open_files(p, &why);
	if (error == 0)
		error = cm_pagemap_watch_all(p, all);
	if (error < 0) {
		cm_pagemap_unwatch_and_close(p, all);
		cm_note_errno(b->params.counters, error);
		return error;
	}
	p->suspended = false;
	/* A child has a list of owed units of its own. */
	p->owed_seen = cm_owed_seen();
	return 0;
}

/* The memory is not registered here, and not protected. */
static void pagemap_abandon(struct cm_backend *b)
{
	cm_pagemap_close_files(cm_pagemap_self(b));
}

const struct cm_backend_ops cm_backend_pagemap = {
	.id = CARDMARK_BACKEND_PAGEMAP,
	.level = 4,
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT |
			CARDMARK_CAP_KERNEL_WRITES | CARDMARK_CAP_REMAP | CARDMARK_CAP_MPROTECT |
			CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_SHARED | CARDMARK_CAP_CATEGORIES,
	.tells_huge = true,
	.open = pagemap_open,
	.close = pagemap_close,
	.categories = pagemap_categories,
	.threads = pagemap_threads,
	.add = pagemap_add,
	.remove = pagemap_remove,
	.harvest = cm_pagemap_harvest,
	.scan = pagemap_scan,
	.take_owed = pagemap_take_owed,
	.check = pagemap_check,
	.settle = pagemap_settle,
	.suspend = pagemap_suspend,
	.abandon = pagemap_abandon,
	.rebuild = pagemap_rebuild,
};
