/* SPDX-License-Identifier: MIT
 *
 * What the library is compared with: a loop around PAGEMAP_SCAN and a userfaultfd,
 * and nothing else. */
#ifndef CM_BENCH_BARE_H
#define CM_BENCH_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BARE_REGIONS = 512 }; /* the library's default */

struct bare {
	int uffd, pagemap;
	uint64_t calls; /* system calls made by register, unregister and collect, sum */
};

/* False and errno: not available here. */
bool bare_open(struct bare *b);
void bare_close(struct bare *b);

/* False and errno if the kernel refuses. */
bool bare_register(struct bare *b, const char *p, size_t len);
bool bare_unregister(struct bare *b, const char *p, size_t len);

/* Pages written since the last call; they are armed again. UINT64_MAX and errno if
 * the kernel refuses. Not for two threads at once. */
uint64_t bare_collect(struct bare *b, const char *p, size_t len);

#endif
