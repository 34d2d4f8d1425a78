/* SPDX-License-Identifier: MIT
 *
 * The dump file: a header, then records in ascending order of address. A mapping is
 * followed by its runs of pages, a run of data by that many bytes. All numbers are in
 * the machine's byte order. README.md describes it in words. */
#ifndef SNAPSHOT_FORMAT_H
#define SNAPSHOT_FORMAT_H

#include <stdint.h>

#define SNAP_MAGIC "CMSNAP1"

enum snap_kind {
	SNAP_FULL = 1,     /* pages that no run names are empty */
	SNAP_INCREMENT = 2 /* pages that no run names are as in the dump before */
};

struct snap_header {
	char magic[8];
	uint32_t page_size;
	uint32_t kind;   /* enum snap_kind */
	uint64_t number; /* of the dump in its series: an increment follows dump number - 1 */
};

enum snap_type {
	SNAP_MAPPING = 1, /* flags: SNAP_FILE, or 0 */
	SNAP_DATA = 2,    /* end - start bytes follow */
	SNAP_EMPTY = 3,   /* as mapped: zero, or what the file holds */
	SNAP_END = 4      /* last: start is the number of records before, end of data pages */
};

#define SNAP_FILE 1u /* a private mapping of a file */

struct snap_record {
	uint32_t type; /* enum snap_type */
	uint32_t flags;
	uint64_t start, end; /* addresses */
};

#endif
