/* SPDX-License-Identifier: MIT
 *
 * Fires each of the core's static probes, and prints how often by the library's own counts:
 * "PROBE N" lines. Run under gdb, which counts as well (probes_test.sh). */
#include "cardmark/cardmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark_stats stats = CARDMARK_STATS_INIT;
	struct cardmark *cm;
	struct cardmark_table *table;
	size_t card = cardmark_card_size(), len = 64 * card;
	char *heap = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (heap == MAP_FAILED || cardmark_open(&cm, &options) < 0 ||
	    cardmark_table_new(&table, cm) < 0 || cardmark_track(cm, heap, len, 0) < 0)
		return 77;
	for (size_t round = 0; round < 20; round++) {
		*(volatile char *)(heap + round * card) = 1;
		/* What is mapped anew in the place has to be guessed. */
		if (round % 5 == 4 &&
		    mmap(heap + 32 * card, card, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return 1;
		(void)cardmark_collect(cm, table);
	}
	if (cardmark_stats(cm, &stats) < 0)
		return 1;
	printf("collect__begin %llu\ncollect__end %llu\nharvest %llu\nrange__guessed %llu\n",
	       (unsigned long long)stats.collects, (unsigned long long)stats.collects,
	       (unsigned long long)stats.collects, (unsigned long long)stats.guessed_ranges);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	return 0;
}
