/* SPDX-License-Identifier: MIT
 *
 * What the files of the pagemap backend share. */
#ifndef CM_BACKEND_PAGEMAP_H
#define CM_BACKEND_PAGEMAP_H

#include "lib/backend/backend.h"
#include "lib/backend/crew.h"
#include "lib/backend/files.h"
#include "lib/backend/owed.h"
#include "lib/backend/pagescan.h"
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { CM_BUSY_WORDS = 16 };

struct pagemap {
	struct cm_backend base;
	struct cm_file uffd, pagemap;
	uint64_t guard; /* PAGE_IS_GUARD if this kernel knows it, else 0 */
	uint64_t categories;
	bool suspended;
	struct {
		unsigned skip, in_vain; /* pieces to go without; how many the last time */
	} looks;
	uint64_t busy[CM_BUSY_WORDS]; /* a bit for each piece, by a hash of its address */
	struct cm_crew crew;
	uint64_t owed_seen; /* see owed.h */
	size_t bytes;       /* of this object, vec included */
	struct page_region vec[];
};

static inline struct pagemap *cm_pagemap_self(struct cm_backend *b)
{
	return (struct pagemap *)b;
}

/* lib/backend/pagemap_files.c. On failure -errno, and *why is a sentence for the user. */
int cm_pagemap_open_files(struct pagemap *p, const char **why);
void cm_pagemap_close_files(struct pagemap *p);
/* Unregisters first. */
void cm_pagemap_unwatch_and_close(struct pagemap *p, const struct cm_ranges *all);
int cm_pagemap_watch(struct pagemap *p, const struct cm_range *piece);
int cm_pagemap_watch_all(struct pagemap *p, const struct cm_ranges *all);
void cm_pagemap_unwatch(struct pagemap *p, uintptr_t start, uintptr_t end);
/* Are the files still ours? Opens again what the program has closed. */
enum cm_files_ready cm_pagemap_check_files(struct pagemap *p, const struct cm_ranges *all);
/* After a failed call over [start, end), which is reported whole: repairs registrations, so that
 * the next call works. */
void cm_pagemap_recover(struct pagemap *p, int error, uintptr_t start, uintptr_t end);

/* lib/backend/pagemap_harvest.c: the operation, and what a helper of the crew does. */
size_t cm_pagemap_harvest(struct cm_backend *b, const struct cm_ranges *all,
			  struct cardmark_run span, struct cm_cards *into);
void cm_pagemap_help(struct cm_unit *u, struct page_region *vec, size_t vec_len,
		     struct cm_counters *counters);

#endif
