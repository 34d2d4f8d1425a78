/* SPDX-License-Identifier: MIT */
#include "gc-glue/jemalloc/util.h"

#include <sys/mman.h>
#include <time.h>

void cm_je_block_signals(sigset_t *saved)
{
	sigset_t all;

	(void)sigfillset(&all);
	/* Those that our own instructions raise, on a trap backend or if we are wrong. */
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGTRAP);
	(void)sigdelset(&all, SIGSYS);
	(void)pthread_sigmask(SIG_BLOCK, &all, saved);
}

void cm_je_unblock_signals(const sigset_t *saved)
{
	(void)pthread_sigmask(SIG_SETMASK, saved, NULL);
}

uint64_t cm_je_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void *cm_je_map_memory(size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* So that it merges with no neighbour (R14). */
	if (madvise(p, len, MADV_DONTDUMP) != 0) {
		(void)munmap(p, len);
		return NULL;
	}
	return p;
}

void cm_je_unmap_memory(void *p, size_t len)
{
	(void)munmap(p, len);
}
