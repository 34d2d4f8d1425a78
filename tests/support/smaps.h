/* SPDX-License-Identifier: MIT
 *
 * Another process's memory as /proc/PID/smaps, status and pagemap entries tell it:
 * the reference that answers about another process are compared with. */
#ifndef CM_TESTS_SMAPS_H
#define CM_TESTS_SMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct smaps_vma {
	uintptr_t start, end;
	size_t rss, swap; /* bytes */
	bool wp_allowed;  /* registered for write-protection (VmFlags uw) */
	bool no_huge;     /* no huge pages, whatever the setting (VmFlags nh) */
	bool pfn_map;     /* raw page frames (VmFlags pf): no scan looks at them */
	bool special;     /* [vdso] and the like: the kernel's own pages */
};

#define SMAPS_MAX 4096

/* Fills v, returns how many; 0: could not be read, or more than SMAPS_MAX. */
size_t smaps_read(pid_t pid, struct smaps_vma *v);

/* A field of /proc/PID/status in KiB ("VmPTE", "VmSize"), -1 if it has none. */
long smaps_status_kib(pid_t pid, const char *field);

/* Entries of /proc/PID/pagemap for n pages from addr. False: could not be read. */
bool smaps_entries(pid_t pid, uintptr_t addr, size_t n, uint64_t *out);

#endif
