/* SPDX-License-Identifier: MIT
 *
 * The soundness oracle: random writes over ranges that come and go; page hashes are compared
 * with a tracker's reports. */
#ifndef CM_TESTS_WORLD_H
#define CM_TESTS_WORLD_H

#include "cardmark/cardmark.h"

#include <stdint.h>

struct world_options {
	enum cardmark_backend backend;
	uint64_t seed;
	double seconds;
	uint64_t rounds; /* stop after this many collects, if not 0 */
	bool remap;      /* replace tracked memory, where the backend can tell */
	bool never_concurrent;
	bool verify;      /* the tracker verifies itself */
	bool faulty;      /* kernel calls fail on purpose: track may, too */
	unsigned threads; /* that share in a collect; 0: one */
};

struct world_counts {
	uint64_t operations; /* on ranges: map, track, untrack, remap ... */
	uint64_t writes;     /* by program and kernel */
	uint64_t busy;       /* tracks refused with -EBUSY: a lock was held too long */
	uint64_t refused;    /* kernel writes refused with EFAULT */
	uint64_t collects, concurrent_collects, scans;
	uint64_t checked;  /* tracked pages compared */
	uint64_t changed;  /* had to be reported */
	uint64_t reported; /* were */
	uint64_t over;     /* reported, not changed */
	uint64_t guessed;  /* collects that were not exact */
	uint64_t lost;     /* changed and never reported: must be 0 */
	uint64_t verify_checked, verify_changed, verify_missed, verify_false; /* its counters */
};

/* 0, or -errno if the tracker cannot be opened. */
int world_run(const struct world_options *options, struct world_counts *counts);

#endif
