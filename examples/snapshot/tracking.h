/* SPDX-License-Identifier: MIT
 *
 * The host program's private writable memory, tracked. */
#ifndef SNAPSHOT_TRACKING_H
#define SNAPSHOT_TRACKING_H

#include "dump.h"

/* Lies in shared memory, like all data that changes while a snapshot is taken. */
struct tracking {
	struct cardmark *cm;
	struct cardmark_table *table;
	size_t n_tracked, n_wanted, n_refused;
	struct cardmark_run tracked[SNAP_MAX_MAPPINGS], wanted[SNAP_MAX_MAPPINGS],
		refused[SNAP_MAX_MAPPINGS];
	struct snap_mapping mappings[SNAP_MAX_MAPPINGS];
	struct cardmark_region regions[4096];
};

/* 0, or -errno and cardmark_last_error(). */
int tracking_open(struct tracking *t);

/* Tracks new mappings and untracks those that are gone. Then collects the written pages and
 * arms them. Memory that cannot be tracked is never clean. 0 or -errno. */
int tracking_collect(struct tracking *t);

/* Pages that did not change since the collect before the last one, ascending: populated,
 * armed, and not in the last answer. At most cap runs. */
size_t tracking_clean(struct tracking *t, struct cardmark_run *out, size_t cap);

#endif
