/* SPDX-License-Identifier: MIT
 *
 * A program to take snapshots of: threads that write, empty, unmap, map anew, move
 * and protect private memory for SECONDS, at random. Takes a seed. Shows nothing of
 * its own: the dumps are compared with each other. */
#include "tests/support/random.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 3
#define PAGES ((size_t)4096)
#define FILE_PAGES ((size_t)16)

static atomic_bool done;
static size_t page;
static int file;
static unsigned char statics[64 * 4096];

struct worker {
	uint64_t rng;
	unsigned char *mem, *of_file;
	unsigned char *heap[64], *guest[8];
};

static void *map_private(void *at, size_t bytes, int fd)
{
	void *p = mmap(at, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0) | (at != NULL ? MAP_FIXED : 0),
		       fd, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static void store(struct worker *w, unsigned char *at)
{
	memset(at + random_below(&w->rng, page - 16), (int)random_next(&w->rng), 16);
}

/* Away and back again. Nothing else may come to lie in between, so what is left there
 * stays mapped (MREMAP_DONTUNMAP, 5.7). */
static void move(unsigned char *at, size_t bytes)
{
	void *to = map_private(NULL, bytes, -1);
	void *moved =
		mremap(at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);

	if (moved == MAP_FAILED ||
	    mremap(moved, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at) {
		(void)munmap(to, bytes);
		(void)map_private(at, bytes, -1);
	}
}

/* One operation on a random piece; what was there stays writable. */
static void step(struct worker *w)
{
	size_t from = random_below(&w->rng, PAGES - 16), n = 1 + random_below(&w->rng, 16);
	unsigned char *at = w->mem + from * page;
	size_t slot = random_below(&w->rng, 64);

	unsigned what = (unsigned)random_below(&w->rng, 64);

	/* These make a whole range dirty. */
	if (what <= 2 && what > 0 && random_below(&w->rng, 30) != 0)
		return;
	switch (what) {
	case 0:
		(void)madvise(at, n * page, MADV_DONTNEED);
		break;
	case 1: /* anew, as another kind now and then */
		(void)map_private(at, n * page, random_below(&w->rng, 4) == 0 ? file : -1);
		break;
	case 2:
		move(at, n * page);
		break;
	case 3:
		(void)mprotect(at, n * page, PROT_READ);
		(void)usleep((unsigned)random_below(&w->rng, 3000));
		(void)mprotect(at, n * page, PROT_READ | PROT_WRITE);
		break;
	case 4:
		free(w->heap[slot]);
		w->heap[slot] = malloc(1 + random_below(&w->rng, 300000));
		break;
	case 5:
		if (w->heap[slot] != NULL)
			memset(w->heap[slot], (int)slot, 1);
		break;
	case 6: /* by the kernel */
		if (pread(file, at, n * page, 0) < 0)
			perror("pread");
		break;
	case 7: /* comes, or goes for good */
		slot %= 8;
		if (w->guest[slot] != NULL) {
			(void)munmap(w->guest[slot], 16 * page);
			w->guest[slot] = NULL;
		} else {
			w->guest[slot] = map_private(NULL, 16 * page, -1);
			memset(w->guest[slot], (int)n, n * page);
		}
		break;
	case 8: /* read only: zero pages */
		(void)*(volatile unsigned char *)at;
		break;
	case 9:
		store(w, statics + random_below(&w->rng, sizeof statics - page));
		break;
	case 10: /* private pages of a file, which emptied show the file again */
		at = w->of_file + random_below(&w->rng, FILE_PAGES) * page;
		if (random_below(&w->rng, 2) == 0)
			store(w, at);
		else
			(void)madvise(at, page, MADV_DONTNEED);
		break;
	case 11 ... 30:
		(void)usleep((unsigned)random_below(&w->rng, 30000));
		break;
	default:
		for (size_t i = 0; i < n; i++)
			store(w, at + i * page);
	}
}

static void *run(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load_explicit(&done, memory_order_relaxed))
		step(w);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	pthread_t threads[THREADS];
	uint64_t rng = random_seed(argc > 2 ? argv[2] : NULL);
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
	FILE *f = tmpfile();

	page = (size_t)sysconf(_SC_PAGESIZE);
	if (f == NULL || ftruncate(fileno(f), (off_t)(FILE_PAGES * page)) < 0)
		return 1;
	file = fileno(f);
	for (size_t i = 0; i < FILE_PAGES * page / sizeof rng; i++)
		if (fwrite(&rng, sizeof rng, 1, f) != 1)
			return 1;
	(void)fflush(f);
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].rng = random_next(&rng);
		workers[i].mem = map_private(NULL, PAGES * page, -1);
		workers[i].of_file = map_private(NULL, FILE_PAGES * page, file);
		memset(workers[i].mem, (int)i + 1, PAGES * page / 2);
		if (pthread_create(&threads[i], NULL, run, &workers[i]) != 0)
			return 1;
	}
	for (unsigned i = 0; i < 100 * seconds && getppid() != 1; i++)
		(void)usleep(10000);
	atomic_store_explicit(&done, true, memory_order_relaxed);
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	return 0;
}
