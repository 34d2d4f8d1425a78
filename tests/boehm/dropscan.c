/* SPDX-License-Identifier: MIT
 *
 * A kernel that loses writes, to be preloaded: when a get-and-clear covers more than a
 * megabyte, one region in five is armed but not reported. The probe's few pages are left
 * alone. */
#include "lib/os/uapi.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define ONE_IN 5

static void drop(struct pm_scan_arg *arg, int *n)
{
	static _Atomic unsigned count;
	struct page_region *v = (struct page_region *)(uintptr_t)arg->vec;
	int kept = 0;

	/* After a full vector the caller asks for the rest. */
	if ((uint64_t)*n >= arg->vec_len)
		return;
	for (int i = 0; i < *n; i++)
		if (atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) % ONE_IN != 0)
			v[kept++] = v[i];
	*n = kept;
}

/* glibc declares it with a variable argument, and so must this be. */
int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int, unsigned long, ...);
	struct pm_scan_arg *scan;
	va_list args;
	void *arg;
	int n;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (next == NULL) {
		void *found = dlsym(RTLD_NEXT, "ioctl");
		memcpy(&next, &found, sizeof next);
	}
	n = next(fd, request, arg);
	scan = arg;
	if (request == PAGEMAP_SCAN && n > 0 && (scan->flags & PM_SCAN_WP_MATCHING) != 0 &&
	    scan->end - scan->start > (uint64_t)1 << 20)
		drop(scan, &n);
	return n;
}
