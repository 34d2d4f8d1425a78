/* SPDX-License-Identifier: MIT
 * What the collector did, and how long the world was stopped. */
#ifndef MINIGC_STATS_H
#define MINIGC_STATS_H

#include <stdbool.h>
#include <stdint.h>

enum phase {
	PHASE_STOP,  /* until the last mutator stopped */
	PHASE_CARDS, /* asking what was written */
	PHASE_SCAN,  /* looking at the old objects that were written */
	PHASE_MARK,
	PHASE_SWEEP,
	PHASES
};

struct pause {
	bool full;
	uint64_t start, end; /* ns of CLOCK_MONOTONIC */
	uint64_t phase[PHASES];
	uint64_t cpu;     /* ns that the collector itself ran: other programs affect it less */
	uint64_t dirty;   /* cards; objects with --barrier=oracle */
	uint64_t scanned; /* old objects looked at */
};

uint64_t stats_now(void);

/* This thread's CPU time, ns. */
uint64_t stats_cpu(void);

/* One more. Called by the collector that stopped the world. */
void stats_add(const struct pause *p);

void stats_allocated(uint64_t bytes);

/* As --stats, --json and --pauses ask. False: the file could not be written. */
bool stats_print(uint64_t wall_ns);

#endif
