/* SPDX-License-Identifier: MIT
 *
 * Description: libgc's issue 949. A thread writes to a page of an old object and waits until the
 * page is unprotected. Meanwhile another one collects: it takes the dirty bit and protects the
 * page. If the page is unprotected only after that, it ends writable and clean, and later
 * stores there are lost. breakuffd.so (lag) makes the window as long as a collection. Prints
 * "rounds: N lost: N"; exit status 1 if any was lost. */
#ifndef GC_THREADS
#define GC_THREADS
#endif
#include <gc.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 8
#define LEAVES 400
#define SLOTS 2048 /* some pages of pointers */

struct leaf {
	uintptr_t magic, number;
};

static struct leaf **volatile page;          /* one of its pages */
static _Atomic int may_write, writes, wrote; /* rounds, from 1 on */

/* Kept out of line, so that no register or stack slot keeps the leaf alive. */
__attribute__((noinline)) static void store(struct leaf **slot, uintptr_t number)
{
	struct leaf *l = GC_MALLOC(sizeof(*l));

	l->magic = 0x1eaf;
	l->number = number;
	*slot = l;
}

__attribute__((noinline)) static void litter(int n)
{
	for (int i = 0; i < n; i++)
		memset(GC_MALLOC(sizeof(struct leaf)), 0x55, sizeof(struct leaf));
}

static void await(_Atomic int *what, int round)
{
	while (atomic_load(what) < round)
		;
}

static void *writer(void *arg)
{
	for (int round = 1; round <= ROUNDS; round++) {
		await(&may_write, round);
		atomic_store(&writes, round);
		page[1] = NULL; /* waits here until the page is unprotected */
		for (int i = 0; i < LEAVES; i++)
			store(&page[2 + i], (uintptr_t)(round * LEAVES + i));
		atomic_store(&wrote, round);
	}
	return arg;
}

static void collect(void)
{
	GC_start_incremental_collection();
	while (GC_collect_a_little())
		;
}

static int lost_leaves(int round)
{
	int lost = 0;

	collect();
	litter(20000);
	for (int i = 0; i < LEAVES; i++) {
		struct leaf *l = page[2 + i];
		lost += l->magic != 0x1eaf || l->number != (uintptr_t)(round * LEAVES + i);
	}
	return lost;
}

int main(void)
{
	pthread_t thread;
	static struct leaf **object;
	void (*lag_at)(const void *);
	int lost = 0;

	GC_set_full_freq(1000000);
	GC_INIT();
	GC_enable_incremental();
	object = GC_MALLOC(SLOTS * sizeof(*object));
	page = object + SLOTS / 2;
	lag_at = (void (*)(const void *))dlsym(RTLD_DEFAULT, "break_uffd_at");
	if (lag_at != NULL)
		lag_at((const void *)page);
	GC_gcollect(); /* it is old now */
	if (pthread_create(&thread, NULL, writer, NULL) != 0)
		return 99;
	for (int round = 1; round <= ROUNDS; round++) {
		litter(1000);
		collect(); /* it is protected now */
		/* A thread writes to the heap in order to stop: it must not wait for the
		 * monitor then. */
		GC_stop_world_external();
		GC_start_world_external();
		atomic_store(&may_write, round);
		await(&writes, round);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		collect();
		await(&wrote, round);
		lost += lost_leaves(round);
	}
	pthread_join(thread, NULL);
	printf("rounds: %d lost: %d\n", ROUNDS, lost);
	return lost != 0;
}
