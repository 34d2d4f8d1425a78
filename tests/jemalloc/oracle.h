/* SPDX-License-Identifier: MIT
 *
 * Two threads allocate, write, move and free in an arena under watch. Between their turns each
 * page of the arena and of each live object is hashed, and compared with the reports. The
 * oracle knows its objects' addresses itself, and does not ask the adapter. */
#ifndef CM_TESTS_ORACLE_H
#define CM_TESTS_ORACLE_H

#include "tests/jemalloc/je.h"

enum oracle_break {
	BREAK_NOTHING,
	BREAK_COMMIT, /* the commit hook does not register again */
	BREAK_TCACHE, /* MALLOCX_ARENA without a cache of the thread's own */
	BREAK_APART,  /* the other arena is collected by a collect of all */
};

struct oracle_options {
	enum cardmark_backend backend;
	enum oracle_break broken;
	bool metadata; /* tracked as well */
	bool none;     /* MALLOCX_TCACHE_NONE instead of caches */
	bool remap;    /* inner hooks that decommit and commit by mapping anew */
	bool apart;    /* another arena of the tracker has a table of its own */
	uint64_t seed;
	uint64_t pages; /* goes on until this many have changed */
};

struct oracle_counts {
	uint64_t rounds, changed, reported, over, missed;
	uint64_t emptied; /* pages that held data and now hold none: that is no lost write */
	uint64_t emptied_checked, emptied_missed; /* of those, not in the list of discards */
	uint64_t objects, outside;                /* live objects checked; of these not in the
						   * arena */
	struct cardmark_jemalloc_stats je;
};

/* 0, or -errno with a note. */
int oracle_run(const struct oracle_options *options, struct oracle_counts *out);

#endif
