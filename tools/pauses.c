/* SPDX-License-Identifier: MIT */
#include "tools/pauses.h"

#include <math.h>

/* Time in pauses before t, given the sums before each pause. */
static uint64_t paused_before(const struct pause *p, size_t n, const uint64_t *before, uint64_t t)
{
	size_t low = 0, high = n; /* the first pause that begins at t or later */

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p[mid].start < t)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return 0;
	low--;
	return before[low] + (p[low].end < t ? p[low].end : t) - p[low].start;
}

double pause_mmu(const struct pause *p, size_t n, const uint64_t *before, uint64_t total,
		 uint64_t window)
{
	uint64_t worst = 0;

	if (window == 0 || total == 0)
		return NAN;
	if (window > total)
		window = total;
	/* A window that begins between pauses may move right to the next pause (or as far as the
	 * run goes), and a window that begins within a pause may move left to its start. It does
	 * not lose pause time: it gains at least as much at one end as it loses at the other. */
	for (size_t i = 0; i < n; i++) {
		uint64_t from = p[i].start, in;

		if (from > total - window)
			from = total - window;
		in = paused_before(p, n, before, from + window) - paused_before(p, n, before, from);
		if (in > worst)
			worst = in;
	}
	return 1 - (double)worst / (double)window;
}

void pause_sums(const struct pause *p, size_t n, uint64_t *before)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		before[i] = sum;
		sum += p[i].end - p[i].start;
	}
}
