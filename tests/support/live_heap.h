/* SPDX-License-Identifier: MIT
 *
 * The heap that most live tests need: some cards that hold data, all clean and armed,
 * and which of them the next collect must tell. Included once, by the test itself. */
#ifndef CM_TESTS_LIVE_HEAP_H
#define CM_TESTS_LIVE_HEAP_H

#include "tests/support/live.h"

#include <string.h>

#define CARDS 64

static struct cardmark *cm;
static struct cardmark_table *table;
static unsigned char *mem;
static bool want[CARDS];

static void set_up(void)
{
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	cm = live_armed(mem, CARDS, &table);
	memset(want, 0, sizeof want);
}

/* Writes to the cards first, first + step, ...: they and no others are wanted. */
static inline void write_some(size_t first, size_t step)
{
	memset(want, 0, sizeof want);
	for (size_t i = first; i < CARDS; i += step) {
		live_store(mem + i * live_card, (unsigned char)(mem[i * live_card] + 1));
		want[i] = true;
	}
}

#endif
