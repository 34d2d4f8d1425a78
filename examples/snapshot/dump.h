/* SPDX-License-Identifier: MIT
 *
 * Writes the memory of a process into a file. */
#ifndef SNAPSHOT_DUMP_H
#define SNAPSHOT_DUMP_H

#include "format.h"

#include <cardmark/cardmark.h>

struct snap_mapping {
	uintptr_t start, end;
	bool writable, file;
};

#define SNAP_MAX_MAPPINGS 65536 /* vm.max_map_count's default is a few less */

/* The private mappings of a process (0: this one) that hold memory of the program, without the
 * kernel's own and libcardmark's. Returns how many, or -errno. Calls no malloc and no stdio. */
long snap_read_maps(int pid, struct snap_mapping *v, size_t max);

/* The working memory of a dump. It is shared memory, and only private memory is dumped: so a
 * dump never changes the memory that it dumps, even in a fork child. */
struct snap_work;
struct snap_work *snap_work_new(void);

struct snap_job {
	int pid; /* 0: this process */
	enum snap_kind kind;
	uint64_t number;
	/* For an increment: pages known to be as in the dump before, ascending. All other
	 * pages are dumped, so a list that is too short only costs space. */
	const struct cardmark_run *clean;
	size_t n_clean;
	bool lose_a_run; /* negative control: leaves out the first anonymous data */
};

struct snap_result {
	uint64_t mappings, data_pages, empty_pages, bytes;
	const char *failed; /* what failed, NULL if nothing did; static storage */
};

/* 0 or -errno. Calls no malloc and no stdio, takes no lock: fit for a fork child. */
int snap_dump(struct snap_work *work, const struct snap_job *job, int fd,
	      struct snap_result *result);

#endif
