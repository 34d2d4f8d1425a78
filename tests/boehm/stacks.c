/* SPDX-License-Identifier: MIT
 *
 * Description: makes libgc's mark stack outgrow itself again and again, by writing to all
 * of a heap whose objects are then all put on it. What it has outgrown becomes heap.
 * Prints the heap's size; exit status 0. */
#include <gc.h>

#include <stdio.h>
#include <stdlib.h>

#define LIVE ((size_t)64 << 20)
#define ROUNDS 6

struct node {
	struct node *next, *other;
	long payload[6];
};

int main(void)
{
	size_t n = LIVE / sizeof(struct node);
	struct node **all;

	GC_INIT();
	all = GC_MALLOC(n * sizeof *all);
	for (size_t i = 0; i < n; i++) {
		all[i] = GC_MALLOC(sizeof **all);
		all[i]->next = i ? all[i - 1] : NULL;
		GC_END_STUBBORN_CHANGE(all);
	}
	for (int round = 0; round < ROUNDS; round++) {
		size_t before = GC_get_gc_no();

		while (GC_get_gc_no() < before + 2) {
			for (size_t i = 0; i < n; i += 8) {
				all[i]->other = all[i * 7919 % n];
				GC_END_STUBBORN_CHANGE(all[i]);
			}
			for (int i = 0; i < 20000; i++)
				(void)GC_MALLOC(sizeof **all);
		}
	}
	printf("heap: %zu MiB\n", GC_get_heap_size() >> 20);
	return 0;
}
