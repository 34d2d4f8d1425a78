/* SPDX-License-Identifier: MIT
 *
 * Description: a program with a stop function of its own, under a pause target far too
 * short for its heap. Its function is asked and is what it set; a collection that it
 * asks for is not cut short; one that its function cuts short is; and the target
 * works on after that.
 * Prints "asked: N full: N cut: N wrong: N"; exit status 0 whatever they are. */
#include <gc.h>

#include <stdio.h>

#define LISTS 64
#define CELLS 20000

struct cell {
	struct cell *next;
	void *payload[3];
};

static unsigned long asked;
static int cut;

static int stop(void)
{
	asked++;
	return cut;
}

static struct cell *list(void)
{
	struct cell *head = NULL;

	for (int i = 0; i < CELLS; i++) {
		struct cell *c = GC_MALLOC(sizeof *c);

		c->next = head;
		head = c;
	}
	return head;
}

int main(void)
{
	static struct cell *lists[LISTS];
	unsigned long full = 0, stopped = 0, wrong = 0;

	GC_INIT();
	if (GC_get_version() < (8u << 16 | 2 << 8)) {
		printf("libgc before 8.2 asks its stop function only between slices\n");
		return 77;
	}
	GC_set_stop_func(stop);
	wrong += GC_get_stop_func() != stop;
	for (int i = 0; i < LISTS; i++)
		lists[i] = list();
	for (int i = 0; i < 8; i++) {
		GC_word before = GC_get_gc_no();

		cut = i % 2;
		GC_gcollect();
		if (GC_get_gc_no() != before)
			full++;
		else
			stopped++;
		cut = 0;
		for (int k = 0; k < LISTS / 4; k++)
			lists[k] = list();
	}
	for (int i = 0; i < LISTS; i++) {
		int n = 0;

		for (struct cell *c = lists[i]; c != NULL; c = c->next)
			n++;
		wrong += n != CELLS;
	}
	printf("asked: %lu full: %lu cut: %lu wrong: %lu\n", asked, full, stopped, wrong);
	return 0;
}
