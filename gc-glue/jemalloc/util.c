/* SPDX-License-Identifier: MIT */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* initial-exec: others are allocated at a thread's first use, by malloc, which must
 * not be in a call that an allocator makes. */
static _Thread_local char text[320] __attribute__((tls_model("initial-exec")));

int cm_je_fail(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return error;
}

const char *cardmark_jemalloc_error(void)
{
	return text;
}

const char *cm_je_words(int error)
{
	switch (error) {
	case ENOENT:
		return "it knows no such name or arena (ENOENT)";
	case EPERM:
		return "it allows no such access (EPERM)";
	case EINVAL:
		return "it does not take the value (EINVAL)";
	case EAGAIN:
		return "it has no number left (EAGAIN)";
	case ENOMEM:
		return "it has no memory (ENOMEM)";
	case EFAULT:
		return "the arena is one of its own, or does not exist (EFAULT)";
	default:
		return "it does not say why";
	}
}

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

void cm_je_pause(unsigned turn)
{
	static const struct timespec time = { .tv_nsec = 100000 };
	int saved = errno;

	(void)sched_yield();
	if (turn % 64 == 63)
		(void)syscall(SYS_nanosleep, &time, NULL);
	errno = saved;
}

bool cm_je_lock(pthread_mutex_t *lock)
{
	uint64_t since = 0;

	if (!cm_je_is_copy())
		return pthread_mutex_lock(lock) == 0;
	for (unsigned turn = 0; pthread_mutex_trylock(lock) != 0; turn++) {
		uint64_t now = cm_je_now();

		if (since == 0)
			since = now;
		else if (now - since > CM_JE_WAIT_LONG_NS)
			return false;
		cm_je_pause(turn);
	}
	return true;
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
