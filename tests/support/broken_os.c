/* SPDX-License-Identifier: MIT */
#include "tests/support/broken_os.h"

#include "tests/support/backends.h"
#include "cardmark/cardmark.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int broken_os_uffd = -1, broken_os_pagemap = -1, broken_os_first_pagemap = -1;

static struct cm_os table;
static unsigned fail_one_in;
static _Atomic uint64_t fail_state, failures;
static _Atomic unsigned calls;
static _Atomic bool paused;

static int remember_uffd(bool user_mode_only, uint64_t features)
{
	return broken_os_uffd = cm_os_linux.uffd_open(user_mode_only, features);
}

static int remember_pagemap(const char *name, int flags)
{
	int fd = cm_os_linux.open_self(name, flags);

	if (strcmp(name, "pagemap") == 0) {
		broken_os_pagemap = fd;
		if (broken_os_first_pagemap < 0)
			broken_os_first_pagemap = fd;
	}
	return fd;
}

struct cm_os *broken_os_begin(void)
{
	struct cardmark_probe probes[PROBES];

	(void)probe_all(probes); /* cached from here on */
	broken_os_first_pagemap = -1;
	table = cm_os_linux;
	table.uffd_open = remember_uffd;
	table.open_self = remember_pagemap;
	cm_os = &table;
	return &table;
}

void broken_os_end(void)
{
	cm_os = &cm_os_linux;
}

/* ---- Failures --------------------------------------------------------------- */

/* 0: go on; 1: fail before; 2: fail after. */
static int fate(void)
{
	static const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t s = atomic_fetch_add_explicit(&fail_state, step, memory_order_relaxed);
	uint64_t r = random_next(&s);

	if (r % fail_one_in != 0 || atomic_load_explicit(&paused, memory_order_relaxed))
		return 0;
	atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
	return r >> 40 & 1 ? 1 : 2;
}

static int some_error(void)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EFAULT };

	return errors[atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % 4];
}

/* Half of the time the call has its effect and fails all the same. */
#define FAIL_RANDOMLY(call)                                                                        \
	do {                                                                                       \
		int fate_ = fate();                                                                \
		if (fate_ != 1 && fate_ != 2)                                                      \
			return (call);                                                             \
		if (fate_ == 2)                                                                    \
			(void)(call);                                                              \
		return some_error();                                                               \
	} while (0)

static long failing_scan(int fd, struct pm_scan_arg *arg)
{
	FAIL_RANDOMLY(cm_os_linux.scan(fd, arg));
}

static ssize_t failing_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	FAIL_RANDOMLY(cm_os_linux.pread(fd, buf, len, offset));
}

static int failing_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	if (!protect)
		return cm_os_linux.uffd_protect(fd, start, len, protect);
	FAIL_RANDOMLY(cm_os_linux.uffd_protect(fd, start, len, protect));
}

static int failing_watched(int fd, uintptr_t start, size_t len, const void *nowhere)
{
	FAIL_RANDOMLY(cm_os_linux.uffd_watched(fd, start, len, nowhere));
}

static int failing_register(int fd, uintptr_t start, size_t len)
{
	FAIL_RANDOMLY(cm_os_linux.uffd_register(fd, start, len));
}

static int failing_mprotect(uintptr_t addr, size_t len, int prot)
{
	if (prot & PROT_WRITE)
		return cm_os_linux.mprotect(addr, len, prot);
	FAIL_RANDOMLY(cm_os_linux.mprotect(addr, len, prot));
}

void broken_os_fail_randomly(struct cm_os *os, unsigned one_in, uint64_t seed)
{
	fail_one_in = one_in;
	atomic_store_explicit(&fail_state, seed, memory_order_relaxed);
	atomic_store_explicit(&failures, 0, memory_order_relaxed);
	os->scan = failing_scan;
	os->pread = failing_pread;
	os->uffd_protect = failing_protect;
	os->uffd_watched = failing_watched;
	os->uffd_register = failing_register;
	os->mprotect = failing_mprotect;
}

void broken_os_seed(uint64_t seed)
{
	atomic_store_explicit(&fail_state, seed, memory_order_relaxed);
}

void broken_os_pause(bool pause)
{
	atomic_store_explicit(&paused, pause, memory_order_relaxed);
}

uint64_t broken_os_failures(void)
{
	return atomic_load_explicit(&failures, memory_order_relaxed);
}

/* ---- Broken rules ----------------------------------------------------------- */

static long scan_after_arming(int fd, struct pm_scan_arg *arg)
{
	if (arg->flags & PM_SCAN_WP_MATCHING)
		(void)cm_os_linux.uffd_protect(broken_os_uffd, (uintptr_t)arg->start,
					       (size_t)(arg->end - arg->start), true);
	return cm_os_linux.scan(fd, arg);
}

void break_by_arming_without_harvest(struct cm_os *os)
{
	os->scan = scan_after_arming;
}

static long scan_without_check(int fd, struct pm_scan_arg *arg)
{
	struct pm_scan_arg changed = *arg;
	long n;

	changed.flags &= ~(uint64_t)PM_SCAN_CHECK_WPASYNC;
	n = cm_os_linux.scan(fd, &changed);
	arg->walk_end = changed.walk_end;
	return n;
}

void break_by_not_checking_wpasync(struct cm_os *os)
{
	os->scan = scan_without_check;
}

static long scan_that_cannot_fail(int fd, struct pm_scan_arg *arg)
{
	long n = failing_scan(fd, arg);

	if (n < 0) {
		arg->walk_end = arg->end;
		return 0;
	}
	return n;
}

void break_by_taking_errors_as_clean(struct cm_os *os)
{
	fail_one_in = 8;
	os->scan = scan_that_cannot_fail;
}

static int mprotect_that_cannot_fail(uintptr_t addr, size_t len, int prot)
{
	(void)failing_mprotect(addr, len, prot);
	return 0;
}

void break_by_not_protecting(struct cm_os *os)
{
	fail_one_in = 8;
	os->mprotect = mprotect_that_cannot_fail;
}

static ssize_t pread_that_cannot_fail(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = failing_pread(fd, buf, len, offset);

	if (n >= 0)
		return n;
	memset(buf, 0, len);
	return (ssize_t)len;
}

void break_by_taking_unreadable_as_empty(struct cm_os *os)
{
	fail_one_in = 8;
	os->pread = pread_that_cannot_fail;
}

static long scan_of_present_only(int fd, struct pm_scan_arg *arg)
{
	struct pm_scan_arg changed = *arg;
	long n;

	changed.category_anyof_mask &= ~(uint64_t)PAGE_IS_SWAPPED;
	n = cm_os_linux.scan(fd, &changed);
	arg->walk_end = changed.walk_end;
	return n;
}

static ssize_t pread_of_present_only(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = cm_os_linux.pread(fd, buf, len, offset);
	uint64_t *entry = buf;

	for (ssize_t i = 0; i < n / (ssize_t)sizeof *entry; i++)
		if (entry[i] & CM_PME_SWAPPED)
			entry[i] = 0;
	return n;
}

void break_by_passing_over_swapped(struct cm_os *os)
{
	os->scan = scan_of_present_only;
	os->pread = pread_of_present_only;
}

static ssize_t pread_that_knows_no_ksm(int fd, void *buf, size_t len, uint64_t offset)
{
	if (!cm_os_linux.fd_is(fd, "/ksm_stat") && !cm_os_linux.fd_is(fd, "/ksm_merging_pages"))
		return cm_os_linux.pread(fd, buf, len, offset);
	memset(buf, '0', len);
	return (ssize_t)len;
}

void break_by_not_asking_ksm(struct cm_os *os)
{
	os->pread = pread_that_knows_no_ksm;
}

static int always_watched(int fd, uintptr_t start, size_t len, const void *nowhere)
{
	(void)fd;
	(void)start;
	(void)len;
	(void)nowhere;
	return 0;
}

void break_by_believing_every_bit(struct cm_os *os)
{
	os->uffd_watched = always_watched;
}

static long scan_as_of_private(int fd, struct pm_scan_arg *arg)
{
	struct pm_scan_arg changed = *arg;
	long n;

	if (arg->flags & PM_SCAN_WP_MATCHING && arg->category_anyof_mask == 0)
		changed.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
	n = cm_os_linux.scan(fd, &changed);
	arg->walk_end = changed.walk_end;
	return n;
}

void break_by_asking_as_of_private(struct cm_os *os)
{
	os->scan = scan_as_of_private;
}

/* ---- Descriptors after fork --------------------------------------------------- */

#define KEPT_FDS 950

static struct kept {
	int fd;
	pid_t owner;
} kept_uffd = { -1, 0 }, kept_pagemap = { -1, 0 };

/* In the process that opens first the real thing, in its children that one's. */
static int keep_or_dup(struct kept *k, int (*again)(const void *arg), const void *arg)
{
	int fd;

	if (k->fd >= 0 && k->owner != getpid())
		return fcntl(k->fd, F_DUPFD_CLOEXEC, 200);
	fd = again(arg);
	if (fd >= 0) {
		(void)close(k->fd);
		k->fd = fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FDS);
		k->owner = getpid();
	}
	return fd;
}

static int open_uffd(const void *arg)
{
	return cm_os_linux.uffd_open(true, *(const uint64_t *)arg);
}

static int uffd_of_the_parent(bool user_mode_only, uint64_t features)
{
	(void)user_mode_only;
	return keep_or_dup(&kept_uffd, open_uffd, &features);
}

static int open_pagemap(const void *arg)
{
	(void)arg;
	return cm_os_linux.open_self("pagemap", O_RDONLY);
}

static int pagemap_of_the_parent(const char *name, int flags)
{
	if (strcmp(name, "pagemap") != 0)
		return cm_os_linux.open_self(name, flags);
	return keep_or_dup(&kept_pagemap, open_pagemap, NULL);
}

void break_by_keeping_descriptors(struct cm_os *os)
{
	os->uffd_open = uffd_of_the_parent;
	os->open_self = pagemap_of_the_parent;
}

/* ---- Helpers of a harvest ----------------------------------------------------- */

static pthread_t caller;

static long slow_scan(int fd, struct pm_scan_arg *arg)
{
	unsigned n = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
	bool slow = !pthread_equal(pthread_self(), caller) && n % 16 == 0;
	long found;

	if (slow && n % 32 == 0)
		(void)usleep(25000 + n % 5 * 5000);
	found = cm_os_linux.scan(fd, arg);
	if (slow && n % 32 != 0)
		(void)usleep(25000 + n % 5 * 5000);
	return found;
}

void broken_os_delay_helpers(struct cm_os *os)
{
	caller = pthread_self();
	os->scan = slow_scan;
}

static long scan_of_one_thread(int fd, struct pm_scan_arg *arg)
{
	long n = cm_os_linux.scan(fd, arg);

	if (n <= 0 || pthread_equal(pthread_self(), caller))
		return n;
	arg->walk_end = arg->end;
	return 0;
}

void break_by_dropping_what_helpers_find(struct cm_os *os)
{
	caller = pthread_self();
	os->scan = scan_of_one_thread;
}
