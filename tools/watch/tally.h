/* SPDX-License-Identifier: MIT
 *
 * Adds up the looks, in memory that grows with the written pages and not with time. */
#ifndef CARDMARK_WATCH_TALLY_H
#define CARDMARK_WATCH_TALLY_H

#include "tools/histogram.h"
#include "tools/watch/shared.h"

#include <cardmark/cardmark.h>

enum {
	TALLY_WINDOWS = 4,
	TALLY_BINS = 112,  /* two for each column of a terminal's heat map */
	TALLY_PAGES = 512, /* in a block */
	TALLY_SHIFT = 3,   /* heat is known for groups of this many pages, a power of two */
	TALLY_GROUPS = TALLY_PAGES >> TALLY_SHIFT,
	TALLY_NAMES = 64,
};

struct tally_page {
	uint32_t window[TALLY_WINDOWS]; /* the number of the last one in which it was written */
	uint32_t looks;                 /* in which it was written */
	uint32_t name;
};

struct tally_block {
	uintptr_t start;
	struct tally_page page[TALLY_PAGES];
	uint32_t heat[TALLY_GROUPS][TALLY_BINS]; /* pages written, sum of the looks */
};

/* A window is the shortest series of looks that lasts at least this long, so that it does not hold
 * too little. */
struct tally_window {
	uint64_t length_ns, begin_ns;
	uint32_t number;
	uint64_t pages;     /* of the one under way */
	double sum_ns;      /* of those that are over */
	struct histogram h; /* their pages */
};

struct tally_name {
	char name[WATCH_NAME];
	uint64_t looks, pages, mapped; /* pages at all looks; different ones; most bytes mapped */
	uint64_t refused;              /* most bytes at one look that could not be tracked */
	char why[200];
};

struct tally {
	uint64_t begin_ns, end_ns, interval_ns;
	uint64_t answered_ns; /* the end of the last look that did not fail */
	size_t page;
	uint64_t looks, failed, guessed, put_off, unanswered;
	uint32_t why;                 /* the last look that failed did so: errno, or 0 */
	uint64_t written, distinct;   /* pages: of all looks; different */
	uint64_t faults, unexplained; /* faults; those that no written page explains, at most */
	uint64_t gone, gone_mappings, mapped, shared, refused_bytes, cpu_ns;
	uint64_t longest_ns; /* from one look to the next */
	struct tally_window window[TALLY_WINDOWS];
	unsigned n_windows, n_names;
	struct tally_name name[TALLY_NAMES]; /* the last one: all others */
	uint64_t bin_ns;                     /* of the heat: doubles when the last bin is full */
	uint32_t bin_looks[TALLY_BINS];
	struct tally_block **block; /* ascending */
	size_t n_blocks, capacity;
	/* Of the look under way, and of the one before. */
	struct watch_mapping *mapping;
	size_t n_mappings;
	struct cardmark_region *run;
	size_t n_runs, runs_capacity;
	struct watch_look last;
};

struct tally *tally_new(uint64_t interval_ns);
/* Another program begins. */
void tally_start(struct tally *t);
void tally_mapped(struct tally *t, const struct watch_mapping *v, size_t n);
void tally_refused(struct tally *t, const struct watch_mapping *w, const char *why);
void tally_runs(struct tally *t, const struct cardmark_region *v, size_t n);
void tally_look(struct tally *t, const struct watch_look *look);
/* Closes the windows under way. */
void tally_end(struct tally *t);

/* A line of a heat map: pages of which some were written. */
struct tally_row {
	uintptr_t start;
	const char *name;
	uint32_t pages; /* that were written */
	bool apart;     /* from the row before: what lies between was not written */
	uint64_t cell[TALLY_BINS];
};

/* At most most rows (an array to be freed) of *pages each, in ascending order. */
struct tally_row *tally_rows(const struct tally *t, size_t most, size_t *n, size_t *pages);
unsigned tally_bins(const struct tally *t);
/* Of a row of bins: what a look found in some of them, mean. A bin without a look has what the
 * next one found, which was written since the one before. */
double tally_mean(const struct tally *t, const uint64_t *cell, unsigned bin, unsigned bins);
/* 0 nothing, 1 to TALLY_LEVELS: how much of a row's pages is written at a look. */
enum { TALLY_LEVELS = 5 };
extern const double tally_levels[TALLY_LEVELS - 1];
unsigned tally_level(double share);

#endif
