/* SPDX-License-Identifier: MIT */
#include "tests/support/broken_os.h"

#include "cardmark/cardmark.h"
#include "tests/support/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

int broken_os_uffd = -1, broken_os_pagemap = -1;

static struct cm_os table;
static unsigned fail_one_in;
static _Atomic uint64_t fail_state, failures;
static _Atomic unsigned calls;

static int remember_uffd(bool user_mode_only, uint64_t features)
{
	return broken_os_uffd = cm_os_linux.uffd_open(user_mode_only, features);
}

static int remember_pagemap(const char *name, int flags)
{
	int fd = cm_os_linux.open_self(name, flags);

	if (strcmp(name, "pagemap") == 0)
		broken_os_pagemap = fd;
	return fd;
}

struct cm_os *broken_os_begin(void)
{
	struct cardmark_probe probes[CARDMARK_BACKEND_COUNT];

	(void)cardmark_probe(probes, CARDMARK_BACKEND_COUNT); /* cached from here on */
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

	if (r % fail_one_in != 0)
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
	os->uffd_register = failing_register;
	os->mprotect = failing_mprotect;
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
