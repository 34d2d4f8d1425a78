/* SPDX-License-Identifier: MIT
 *
 * Description: makes libgc's mark stack grow again and again, by writing to all of a heap
 * whose objects are then all pushed on it. The old stacks become heap. Prints the heap's size;
 * exit status 0.
 *
 * With the argument "deep": some collections of a small heap, in a program with a second
 * thread, and then lists that need more than 4096 entries of the mark stack. */
#define GC_THREADS
#include <gc.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVE ((size_t)64 << 20)
#define ROUNDS 6

struct node {
	struct node *next, *other;
	long payload[6];
};

/* Whichever end libgc marks from first, one of the lists leaves its leaves on the stack. */
#define DEPTH 12000
struct link {
	struct link *first;
	void *leaf[3];
	struct link *last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_the_end(void *unused)
{
	(void)pthread_mutex_lock(&lock);
	(void)pthread_mutex_unlock(&lock);
	return unused;
}

static int deep(void)
{
	static struct link *lists[2];
	pthread_t thread;
	size_t n = 0;

	(void)pthread_mutex_lock(&lock);
	if (pthread_create(&thread, NULL, wait_for_the_end, NULL) != 0)
		return 1;
	for (int i = 0; i < 8; i++)
		GC_gcollect();
	for (int i = 0; i < 2 * DEPTH; i++) {
		struct link *link = GC_MALLOC(sizeof *link);

		for (int k = 0; k < 3; k++)
			link->leaf[k] = GC_MALLOC(16);
		*(i % 2 ? &link->first : &link->last) = lists[i % 2];
		GC_END_STUBBORN_CHANGE(link);
		lists[i % 2] = link;
	}
	for (int i = 0; i < 3; i++)
		GC_gcollect();
	for (struct link *link = lists[0]; link; link = link->last)
		n++;
	for (struct link *link = lists[1]; link; link = link->first)
		n++;
	(void)pthread_mutex_unlock(&lock);
	(void)pthread_join(thread, NULL);
	printf("links: %zu\n", n);
	return n == 2 * DEPTH ? 0 : 1;
}

int main(int argc, char **argv)
{
	size_t n = LIVE / sizeof(struct node);
	struct node **all;

	GC_INIT();
	if (argc > 1 && strcmp(argv[1], "deep") == 0)
		return deep();
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
