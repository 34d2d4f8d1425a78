/* SPDX-License-Identifier: MIT
 *
 * Description: a queue of constant length. A removed node still points to the nodes after it,
 * so one old node that is kept keeps all later garbage. Prints the number of collections, and
 * how large the heap became. */
#include <gc.h>

#include <stdio.h>

#define LENGTH 100000
#define ROUNDS 3000000

struct node {
	struct node *next;
	long payload[7];
};

static struct node *first, *last;

static void put_in(long value)
{
	struct node *n = GC_MALLOC(sizeof *n);

	n->payload[0] = value;
	if (last) {
		last->next = n;
		GC_END_STUBBORN_CHANGE(last);
	} else {
		first = n;
	}
	last = n;
	GC_END_STUBBORN_CHANGE(n);
}

int main(void)
{
	long wrong = 0;

	GC_INIT();
	for (long i = 0; i < LENGTH; i++)
		put_in(i);
	for (long i = 0; i < ROUNDS; i++) {
		wrong += first->payload[0] != i;
		first = first->next;
		put_in(LENGTH + i);
	}
	printf("wrong: %ld collections: %lu heap: %lu\n", wrong, (unsigned long)GC_get_gc_no(),
	       (unsigned long)GC_get_heap_size());
	return wrong != 0;
}
