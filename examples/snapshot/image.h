/* SPDX-License-Identifier: MIT
 *
 * Dump files read back: one, or a full one with increments laid over it. */
#ifndef SNAPSHOT_IMAGE_H
#define SNAPSHOT_IMAGE_H

#include "format.h"

#include <stdbool.h>
#include <stddef.h>

/* A run of pages and where their bytes are. */
struct image_run {
	uint64_t start, end;
	const unsigned char *bytes;
};

struct image {
	uint32_t page_size;
	uint64_t number;
	struct snap_record *mappings;
	size_t n_mappings;
	struct image_run *runs; /* ascending, none crosses a mapping's end */
	size_t n_runs;
};

/* Lays the dump in path over *image, which starts zeroed. Prints errors on standard error. The
 * file stays mapped. */
bool image_apply(struct image *image, const char *path);

/* Writes it as a full dump. */
bool image_write(const struct image *image, const char *path);

/* Page by page; pages in neither are not counted. In anonymous memory a missing page equals a
 * zero page. Returns the number of pages that differ; *compared is the number of pages
 * compared. */
uint64_t image_compare(const struct image *a, const struct image *b, uint64_t *compared);

/* The page at addr, NULL if it is empty. */
const unsigned char *image_page(const struct image *image, uint64_t addr);

/* Prints the contents of one dump file, for people. */
bool image_describe(const char *path);

#endif
