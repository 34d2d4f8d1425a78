/* SPDX-License-Identifier: MIT
 *
 * Description: allocates the same each time. Prints the number of collections, and the free
 * space divisor that it sees, or sets (argument). */
#include <gc.h>

#include <stdio.h>
#include <stdlib.h>

#define LIVE 200000

struct node {
	struct node *next;
	long payload[3];
};

int main(int argc, char **argv)
{
	struct node *live = NULL;

	GC_INIT();
	if (argc > 1)
		GC_set_free_space_divisor(strtoul(argv[1], NULL, 10));
	for (int i = 0; i < LIVE; i++) {
		struct node *n = GC_MALLOC(sizeof *n);

		n->next = live;
		live = n;
		GC_END_STUBBORN_CHANGE(n);
	}
	for (int i = 0; i < 20 * LIVE; i++)
		(void)GC_MALLOC(sizeof *live);
	printf("divisor: %lu collections: %lu\n", (unsigned long)GC_get_free_space_divisor(),
	       (unsigned long)GC_get_gc_no());
	return live == NULL;
}
