/* SPDX-License-Identifier: MIT
 * The effect of pauses on a program, from the begin and end of each. */
#ifndef CARDMARK_TOOL_PAUSES_H
#define CARDMARK_TOOL_PAUSES_H

#include <stddef.h>
#include <stdint.h>

/* In ns since the process began; end is not before start. */
struct pause {
	uint64_t start, end;
};

/* The time in pauses before each. */
void pause_sums(const struct pause *p, size_t n, uint64_t *before);

/* Minimum mutator utilisation: of all windows of that length within [0, total],
 * the smallest share of time in which the program ran. A window that does not fit
 * is as long as total. Pauses are sorted and do not overlap; what lies beyond total
 * does not count. before is from pause_sums(). NaN if window or total is 0. */
double pause_mmu(const struct pause *p, size_t n, const uint64_t *before, uint64_t total,
		 uint64_t window);

#endif
