/* SPDX-License-Identifier: MIT
 *
 * Description: a program with libgc linked into it, whose heap grows beside the tracker's own
 * memory: lists of some hundred thousand links are made and dropped. Prints "lost: N". */
#include <cardmark/gc.h>
#include <gc.h>

#include <stdio.h>

#define LENGTH 20000
#define LISTS 200

struct link {
	struct link *next;
	long number;
};

int main(void)
{
	struct cardmark_gc_options options = CARDMARK_GC_OPTIONS_INIT;
	unsigned long lost = 0;

	if (cardmark_gc_enable(&options) != 0) {
		printf("%s\n", cardmark_last_error());
		return 77;
	}
	for (int list = 0; list < LISTS; list++) {
		struct link *head = NULL;

		for (long i = 0; i < LENGTH; i++) {
			struct link *l = GC_MALLOC(sizeof(*l));

			l->next = head;
			l->number = i;
			head = l;
		}
		for (long i = LENGTH; i-- > 0; head = head->next)
			lost += head->number != i;
	}
	printf("lost: %lu\n", lost);
	return lost != 0;
}
