/* SPDX-License-Identifier: MIT
 *
 * Writes a random pattern that it knows, for cardmark watch to see: one page after the other, and
 * in some rounds other ways to write, with the time before and after each write. Prints lines
 * "BEFORE AFTER ADDRESS BYTES" on standard output, CLOCK_MONOTONIC in nanoseconds, MEMORY
 * lines with what is its own alone, so that nothing else is written there, and
 * "GONE BEFORE AFTER ADDRESS" where it emptied or replaced a page.
 *
 * pattern SEED ROUNDS */
#include "common/clock.h"
#include "common/die.h"
#include "common/random.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 512, WRITES = 60 };

static size_t page;
static FILE *out;

static void note(uint64_t before, const char *at, size_t bytes)
{
	(void)fprintf(out, "%llu %llu %zu %zu\n", (unsigned long long)before,
		      (unsigned long long)cm_now_ns(), (size_t)at, bytes);
}

/* What was written there before, and is in no look yet, nobody can see any more. */
static void gone(uint64_t before, const char *at)
{
	(void)fprintf(out, "GONE %llu %llu %zu\n", (unsigned long long)before,
		      (unsigned long long)cm_now_ns(), (size_t)at);
}

static char *map(size_t pages)
{
	char *at = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	if (at == MAP_FAILED)
		die_of("mmap");
	(void)madvise(at, pages * page, MADV_NOHUGEPAGE);
	(void)fprintf(out, "MEMORY %zu %zu\n", (size_t)at, pages * page);
	return at;
}

static void touch(char *at)
{
	uint64_t before = cm_now_ns();

	(*(volatile char *)at)++;
	note(before, at, 1);
}

static void *in_thread(void *at)
{
	touch(at);
	return NULL;
}

/* By the kernel, by another thread, into memory that is mapped anew, or emptied before. */
static void otherwise(char *mem, char **moving, unsigned way, size_t i)
{
	char *at = mem + i * page;
	uint64_t before = cm_now_ns();
	pthread_t thread;
	int fd;

	switch (way) {
	case 0:
		fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, at, 64) != 64)
			die_of("read");
		note(before, at, 64);
		(void)close(fd);
		break;
	case 1:
		if (pthread_create(&thread, NULL, in_thread, at) == 0)
			(void)pthread_join(thread, NULL);
		break;
	case 2:
		(void)madvise(at, page, MADV_DONTNEED);
		gone(before, at);
		touch(at);
		break;
	case 3: /* the same place, other memory */
		if (mmap(at, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) == MAP_FAILED)
			die_of("mmap");
		gone(before, at);
		touch(at);
		break;
	case 4: /* the kernel's break */
		before = cm_now_ns();
		at = sbrk((intptr_t)page);
		if (at != (char *)-1)
			touch(at);
		break;
	case 5: /* what was not writable a moment ago */
		(void)mprotect(at, page, PROT_READ);
		(void)mprotect(at, page, PROT_READ | PROT_WRITE);
		touch(at);
		break;
	default: /* memory that comes, and stays for long enough to be looked at */
		*moving = map(4);
		touch(*moving + page);
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	char *mem, *moving;
	/* Shared memory is not watched, so the lines disturb nothing. */
	size_t room = (size_t)64 << 20;
	char *text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (rounds == 0 || text == MAP_FAILED)
		die("takes a seed and a number of rounds");
	out = fmemopen(text, room, "w");
	if (out == NULL)
		die_of("fmemopen");
	page = (size_t)sysconf(_SC_PAGESIZE);
	mem = moving = map(PAGES);
	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < WRITES; i++)
			touch(mem + random_below(&seed, PAGES) * page);
		otherwise(mem, &moving, (unsigned)random_below(&seed, 7),
			  random_below(&seed, PAGES));
		(void)usleep((useconds_t)random_below(&seed, 8000));
	}
	(void)fflush(out);
	(void)usleep(300000); /* what was mapped last is looked at */
	for (size_t n = strlen(text), done = 0; done < n;) {
		ssize_t more = write(STDOUT_FILENO, text + done, n - done);

		if (more <= 0)
			die_of("write");
		done += (size_t)more;
	}
	return 3;
}
