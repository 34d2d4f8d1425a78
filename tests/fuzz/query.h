/* SPDX-License-Identifier: MIT
 *
 * What the parts of query_fuzz share: the tracker, and what is known without it. */
#ifndef CM_TESTS_FUZZ_QUERY_H
#define CM_TESTS_FUZZ_QUERY_H

#include "lib/tracker.h"

#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_kernel.h"

#define PAGES 1400 /* over 4 MiB: the harvest looks before it takes */
#define HOLDS 6
#define W CARDMARK_PAGE_WRITTEN

enum rule {
	NONE,
	NO_EXCLUDED,
	NO_ANY_OF,
	NO_REQUIRED,
	ALL_RETURNED,
	NO_LIMIT,
	RESUME_SKIPS,
	ARMS_ALL,
	KEPT_FORGOTTEN,
	ERROR_IS_CLEAN,
	UNCHECKED,
};

/* What is known of a page without asking the library. */
struct page {
	unsigned char kind; /* enum cm_kind; 0: not tracked */
	bool written;       /* with failures: and must be reported */
	bool kept, fresh;
};

extern struct page model[PAGES];
extern struct query_hold {
	size_t from, to;
} held[HOLDS];
extern size_t n_held;

extern struct cardmark cm;
extern struct cm_cards composed_written; /* what the composed backend knows */
extern unsigned broken;
extern bool composed, failures;
extern unsigned pread_fails_at;

/* query_kernel.c: a tracker on what the first bytes ask for. */
const char *query_begin(struct fuzz_input *in);
void query_end(void);

/* query_scan.c: the reference. */
bool query_is_held(size_t page);
/* Is it for a collector, if it is written? R6, R15. */
bool query_holds_data(size_t page);
/* After each step. */
const char *query_compare(void);
/* One question, to the end of its range. */
const char *query_scan(struct fuzz_input *in);

#endif
