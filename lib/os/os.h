/* SPDX-License-Identifier: MIT
 *
 * The interface to the kernel: all system calls of the library go through this table, and nothing
 * else in lib/ makes one. Unit tests and fault injection put their own table in place of cm_os
 * (before any tracker opens).
 *
 * Every function returns 0 or a count or a descriptor, or -errno, and leaves
 * errno as it was: signal handlers and stopped worlds call in here. No function allocates or
 * locks. */
#ifndef CM_OS_OS_H
#define CM_OS_OS_H

#include "lib/os/uapi.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One mapping of this process, as far as trackers care. */
struct cm_vma {
	uintptr_t start, end;
	int prot; /* PROT_* */
	bool shared;
	bool file;        /* has an inode: file or shared memory */
	size_t page_size; /* larger than the card: hugetlb */
};

/* Empty, and above all memory: a walk up to any end is over there. */
#define CM_NO_VMA ((struct cm_vma){ .start = UINTPTR_MAX, .end = UINTPTR_MAX })

/* Which file a descriptor is open on. */
struct cm_file_id {
	uint64_t dev, ino;
};

struct cm_os {
	/* Memory of our own: private, zero, never merged with a neighbour that
	 * is tracked (R14), left out of core dumps, without huge pages. */
	int (*map)(size_t len, void **out);
	int (*unmap)(void *addr, size_t len);
	int (*mprotect)(uintptr_t addr, size_t len, int prot);
	int (*madvise)(void *addr, size_t len, int advice);
	/* 0 if all of it is mapped, -ENOMEM if it has a hole. Touches nothing. */
	int (*covered)(uintptr_t addr, size_t len);
	/* The mapping that holds addr, or the next one above; CM_NO_VMA if there is none. An
	 * error means only that it could not be asked (no /proc, no descriptor left): no error
	 * stands for "nothing is mapped". */
	int (*vma_at)(uintptr_t addr, struct cm_vma *out);
	/* 1 or 0: does a write to addr go through, and is there nothing mapped at all in
	 * [addr, addr + len)? -errno: could not be asked. They need no descriptor. The first
	 * changes no data, but fills the page as a write does. For the second, prot is the
	 * protection that a growing stack may get. */
	int (*writable)(uintptr_t addr);
	int (*vacant)(uintptr_t addr, size_t len, int prot);

	/* Descriptors: O_CLOEXEC and above 200, out of the program's way. */
	int (*close)(int fd);
	/* Which file it is: ours, or one that the program opened after closing ours? */
	int (*fd_id)(int fd, struct cm_file_id *out);
	/* Does fd's path in /proc/self/fd end so? */
	bool (*fd_is)(int fd, const char *suffix);
	int (*open_self)(const char *name, int flags); /* in /proc/self */
	int (*open_proc)(int pid, const char *name, int flags);
	ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t offset);
	ssize_t (*read)(int fd, void *buf, size_t len);
	ssize_t (*write)(int fd, const void *buf, size_t len);
	int (*pipe)(int ends[2]); /* to read from, to write to; neither waits */
	int (*poll)(struct pollfd *fds, unsigned n, int timeout_ms);

	/* By the system call, and from /dev/userfaultfd (6.1), which asks for no privilege. */
	int (*uffd_open)(bool user_mode_only, uint64_t features);
	int (*uffd_open_device)(bool user_mode_only, uint64_t features);
	/* -ENOTSUP, and nothing of it is registered: there are huge TLB pages. */
	int (*uffd_register)(int fd, uintptr_t start, size_t len);
	int (*uffd_unregister)(int fd, uintptr_t start, size_t len);
	int (*uffd_protect)(int fd, uintptr_t start, size_t len, bool protect);
	/* 0 if all of it is registered with a userfaultfd, -ENOENT if not, or if it lies in
	 * more than one mapping. Changes nothing; nowhere is a card without access. */
	int (*uffd_watched)(int fd, uintptr_t start, size_t len, const void *nowhere);
	/* PAGEMAP_SCAN: regions found, or -errno. */
	long (*scan)(int fd, struct pm_scan_arg *arg);

	/* wait sleeps until the word is woken, but returns at once if the word is not value any
	 * more; it may also return without reason. wake wakes at most n threads. */
	int (*futex_wait)(_Atomic uint32_t *word, uint32_t value);
	int (*futex_wake)(_Atomic uint32_t *word, unsigned n);

	int (*sigaction)(int sig, const struct sigaction *act, struct sigaction *old);
	int (*pid)(void);
	uint64_t (*now)(void);    /* CLOCK_MONOTONIC, ns */
	void (*nap)(uint64_t ns); /* sleeps about so long, or is woken by a signal */
	/* Is this the only thread left, because the first one has ended? 0, too, if not known. */
	int (*alone)(void);
	/* Is this thread under a seccomp filter? Its mode: 0 is none. */
	int (*seccomp_mode)(void);
	/* The number in /proc/sys/NAME. */
	int (*sysctl)(const char *name);
	/* The kernel's release, as uname -r has it; cut short to fit. */
	int (*release)(char *buf, size_t len);
};

extern const struct cm_os cm_os_linux;
extern const struct cm_os *cm_os; /* &cm_os_linux unless a test sets another */

#endif
