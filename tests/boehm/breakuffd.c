/* SPDX-License-Identifier: MIT
 *
 * A kernel whose userfaultfd fails, to be preloaded into a program with a libgc that has our
 * patches 03 or 04 (check-async.sh). BREAK_UFFD names what goes wrong:
 *
 *   absent: there is no userfaultfd(2)
 *   blind: everything is accepted and nothing is ever reported
 *   scan: every third get-and-clear clears, and then fails
 *   register: nothing can be registered
 *   close: both descriptors are closed before every hundredth get-and-clear
 *   reuse: the same, and their numbers then belong to other files
 *   lag: the monitor thread of libgc's synchronous mode stands still before it unprotects
 *     the page of break_uffd_at(), until that is protected anew or 200 ms are over; the
 *     thread that protects it waits until it is unprotected: so that happens in a stop
 *
 * Only blind breaks libgc's trial at its start too, whose pages are few. When the process
 * ends, it prints what it saw. */
#include "lib/os/uapi.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MUCH ((uint64_t)16 * 4096)

static _Atomic unsigned scans, failed, registered, opened, late;
static _Atomic int uffd = -1;

static bool breaks(const char *how)
{
	const char *wanted = getenv("BREAK_UFFD");

	return wanted != NULL && strcmp(wanted, how) == 0;
}

static long next_syscall(long number, const long a[6])
{
	static long (*next)(long, ...);

	if (next == NULL) {
		void *found = dlsym(RTLD_NEXT, "syscall");
		memcpy(&next, &found, sizeof next);
	}
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long syscall(long number, ...)
{
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_userfaultfd && breaks("absent")) {
		errno = ENOSYS;
		return -1;
	}
	result = next_syscall(number, a);
	if (number == SYS_userfaultfd && result >= 0) {
		atomic_store(&uffd, (int)result);
		atomic_fetch_add(&opened, 1);
	}
	return result;
}

static int next_ioctl(int fd, unsigned long request, void *arg)
{
	static int (*next)(int, unsigned long, ...);

	if (next == NULL) {
		void *found = dlsym(RTLD_NEXT, "ioctl");
		memcpy(&next, &found, sizeof next);
	}
	return next(fd, request, arg);
}

static void take_away(int fd)
{
	if (breaks("close")) {
		(void)close(fd);
		return;
	}
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup3(null, fd, O_CLOEXEC) < 0)
		abort();
	(void)close(null);
}

static int scan(int fd, struct pm_scan_arg *arg)
{
	unsigned number;
	int n;

	if (breaks("blind"))
		return 0;
	if (arg->end - arg->start < MUCH)
		return next_ioctl(fd, PAGEMAP_SCAN, arg);
	number = atomic_fetch_add(&scans, 1);
	if (number % 100 == 99 && (breaks("close") || breaks("reuse"))) {
		take_away(atomic_load(&uffd));
		take_away(fd);
	}
	n = next_ioctl(fd, PAGEMAP_SCAN, arg);
	if (number % 3 == 2 && breaks("scan")) {
		errno = ENOMEM;
		n = -1;
	}
	if (n < 0)
		atomic_fetch_add(&failed, 1);
	return n;
}

static int add(int fd, struct uffdio_register *arg)
{
	if (breaks("register") && arg->range.len >= MUCH) {
		errno = ENOMEM;
		return -1;
	}
	atomic_fetch_add(&registered, 1);
	return next_ioctl(fd, UFFDIO_REGISTER, arg);
}

/* libgc's monitor thread has a name. */
static bool is_monitor(void)
{
	char name[16];

	return pthread_getname_np(pthread_self(), name, sizeof name) == 0 &&
	       strcmp(name, "GC-uffdwp") == 0;
}

/* Where the program wants the monitor to lag; where it lags now. */
static _Atomic uint64_t lag_page, lags_at;

void break_uffd_at(const void *page);

void break_uffd_at(const void *page)
{
	atomic_store(&lag_page, (uintptr_t)page & ~(uint64_t)(sysconf(_SC_PAGESIZE) - 1));
}

static bool wait_until(_Atomic uint64_t *what, uint64_t value)
{
	for (int i = 0; i < 200; i++) {
		if (atomic_load(what) == value)
			return true;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

static int write_protect(int fd, struct uffdio_writeprotect *arg)
{
	static _Atomic uint64_t taken;
	uint64_t at = arg->range.start;
	int n;

	if (is_monitor() && at == atomic_load(&lag_page)) {
		atomic_store(&lags_at, at);
		if (wait_until(&taken, at))
			atomic_fetch_add(&late, 1);
		n = next_ioctl(fd, UFFDIO_WRITEPROTECT, arg);
		atomic_store(&taken, 0);
		atomic_store(&lags_at, 0);
		return n;
	}
	n = next_ioctl(fd, UFFDIO_WRITEPROTECT, arg);
	at = atomic_load(&lags_at);
	if (at != 0 && arg->mode != 0 && at - arg->range.start < arg->range.len) {
		atomic_store(&taken, at);
		(void)wait_until(&lags_at, 0);
	}
	return n;
}

/* glibc declares it with a variable argument, and so must this be. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == PAGEMAP_SCAN)
		return scan(fd, arg);
	if (request == UFFDIO_REGISTER)
		return add(fd, arg);
	if (request == UFFDIO_WRITEPROTECT && breaks("lag"))
		return write_protect(fd, arg);
	return next_ioctl(fd, request, arg);
}

__attribute__((destructor)) static void report(void)
{
	fprintf(stderr, "userfaultfd: opened: %u registered: %u scans: %u failed: %u late: %u\n",
		opened, registered, scans, failed, late);
}
