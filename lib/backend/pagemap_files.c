/* SPDX-License-Identifier: MIT
 *
 * The pagemap backend's descriptors and registrations: opens them, repairs them after a failure,
 * and opens them again when the program has closed them. */
#include "lib/backend/pagemap.h"
#include "lib/backend/unregister.h"
#include "lib/backend/userfaultfd.h"

void cm_pagemap_close_files(struct pagemap *p)
{
	cm_file_close(&p->uffd);
	cm_file_close(&p->pagemap);
}

int cm_pagemap_open_files(struct pagemap *p, const char **why)
{
	/* USER_MODE_ONLY needs no privilege, and in async mode the kernel's own writes are still
	 * tracked, because no message has to reach us. */
	int error = cm_userfaultfd_open(&p->uffd,
					UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED, NULL,
					"userfaultfd here has no asynchronous write-protect mode: "
					"Linux 6.7 or newer (arm64: 6.10) has it",
					why);

	p->pagemap = CM_NO_FILE;
	if (error < 0)
		return error;
	error = cm_file_take(&p->pagemap, cm_os->open_self("pagemap", O_RDONLY));
	if (error < 0) {
		cm_pagemap_close_files(p);
		*why = "/proc/self/pagemap cannot be opened";
	}
	return error;
}

void cm_pagemap_unwatch(struct pagemap *p, uintptr_t start, uintptr_t end)
{
	cm_unregister(p->uffd.fd, start, end, p->base.params.counters);
}

/* Unregisters before it closes: before 6.9 pages stayed protected (R9). */
void cm_pagemap_unwatch_and_close(struct pagemap *p, const struct cm_ranges *all)
{
	bool lost = cm_file_state(&p->uffd) == CM_FILE_LOST;

	for (size_t i = 0; !lost && i < all->n; i++)
		cm_pagemap_unwatch(p, all->v[i].start, all->v[i].end);
	cm_pagemap_close_files(p);
}

static int register_piece(struct pagemap *p, const struct cm_range *piece)
{
	int error;

	CM_COUNT(p->base.params.counters->kernel_calls);
	error = cm_os->uffd_register(p->uffd.fd, piece->start, piece->end - piece->start);
	if (error < 0)
		cm_note_errno(p->base.params.counters, error);
	return error;
}

/* A page that is not protected reads as written, and the first harvest arms it. A hole stays a hole
 * until it is touched: no page tables are built for it. Memory may already be protected: it is
 * tracked already, or the kernel kept the protection of an earlier registration (R9). Register
 * first, because that call refuses memory of another userfaultfd. */
int cm_pagemap_watch(struct pagemap *p, const struct cm_range *piece)
{
	int error = register_piece(p, piece);

	if (error < 0)
		return error;
	CM_COUNT(p->base.params.counters->kernel_calls);
	if (cm_os->uffd_protect(p->uffd.fd, piece->start, piece->end - piece->start, false) < 0) {
		cm_pagemap_unwatch(p, piece->start, piece->end); /* takes it off as well */
		error = register_piece(p, piece);
	}
	return error;
}

/* After new files: the registrations went with the old files, and all present memory counts as
 * written. A range that is gone is no reason to give up: a scan of it fails, and then it is dirty.
 * But a scan does not fail if something else is mapped there now. -EBUSY: an old userfaultfd still
 * has some of the memory. When another thread closes it, its number is free first, and its armed
 * memory is released later; until then a scan would find that memory armed, and call it clean. */
int cm_pagemap_watch_all(struct pagemap *p, const struct cm_ranges *all)
{
	int error = 0;

	for (size_t i = 0; i < all->n; i++) {
		if (cm_pagemap_watch(p, &all->v[i]) == -EBUSY)
			error = -EBUSY;
		cm_note_anew(p->base.params.counters, all->v[i].start, all->v[i].end);
	}
	return error;
}

enum cm_files_ready cm_pagemap_check_files(struct pagemap *p, const struct cm_ranges *all)
{
	enum cm_file_state uffd = cm_file_state(&p->uffd), pagemap = cm_file_state(&p->pagemap);
	const char *why;
	int error;

	if (uffd == CM_FILE_OURS && pagemap == CM_FILE_OURS)
		return CM_FILES_AS_BEFORE;
	if (uffd != CM_FILE_LOST && pagemap != CM_FILE_LOST)
		return CM_FILES_NONE;
	cm_pagemap_unwatch_and_close(p, all);
	error = cm_pagemap_open_files(p, &why);
	if (error == 0)
		error = cm_pagemap_watch_all(p, all);
	if (error < 0) {
		cm_pagemap_unwatch_and_close(p, all);
		cm_note_errno(p->base.params.counters, error);
		return CM_FILES_NONE;
	}
	CM_COUNT(p->base.params.counters->reopened);
	return CM_FILES_ANEW;
}

void cm_pagemap_recover(struct pagemap *p, int error, uintptr_t start, uintptr_t end)
{
	struct cm_range piece = { .start = start, .end = end };

	cm_note_guess(p->base.params.counters, start, end);
	cm_note_errno(p->base.params.counters, error);
	if (error == -EPERM) {
		/* A mapping that is not registered has replaced ours (R2). Before 6.12.11, memory
		 * that mremap moved there kept its protection and would read as clean (fixed by
		 * 0cef0bb836e3). */
		CM_COUNT(p->base.params.counters->rearmed);
		cm_note_anew(p->base.params.counters, start, end);
		(void)cm_pagemap_watch(p, &piece);
	}
}
