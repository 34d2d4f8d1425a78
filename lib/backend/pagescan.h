/* SPDX-License-Identifier: MIT
 *
 * One PAGEMAP_SCAN call: what the pagemap backend and the query on another process
 * have in common. */
#ifndef CM_BACKEND_PAGESCAN_H
#define CM_BACKEND_PAGESCAN_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>

/* The kernel's four masks for our four. */
static inline void cm_pagescan_masks(struct pm_scan_arg *arg, const struct cm_masks *m)
{
	arg->category_inverted = m->excluded;
	arg->category_mask = m->required | m->excluded;
	/* An excluded bit reads as 1 once inverted: it must not satisfy any-of. */
	arg->category_anyof_mask = m->any_of & ~m->excluded;
	arg->return_mask = m->returned;
}

/* A category the kernel does not know is refused with EINVAL before it looks
 * at any page, so an empty get shows it. SOFT_DIRTY came with 6.8, GUARD with 6.16. 1, 0, or
 * -errno: could not be asked. */
static inline int cm_pagescan_knows(int fd, uint64_t category)
{
	struct page_region region;
	struct pm_scan_arg arg = { .size = sizeof arg, .vec = (uintptr_t)&region, .vec_len = 1 };
	long n;

	arg.category_mask = category;
	arg.return_mask = category;
	arg.end = cardmark_card_size();
	n = cm_os->scan(fd, &arg);
	return n >= 0 ? 1 : n == -EINVAL || n == -ENOTTY ? 0 : (int)n;
}

/* All that this kernel can answer. -ENOTSUP: it has no PAGEMAP_SCAN. */
static inline int cm_pagescan_categories(int fd, uint64_t *out)
{
	static const uint64_t newer[] = { CARDMARK_PAGE_SOFT_DIRTY, CARDMARK_PAGE_GUARD };
	int known = cm_pagescan_knows(fd, PAGE_IS_WRITTEN);

	*out = CARDMARK_PAGE_ALL & ~(CARDMARK_PAGE_SOFT_DIRTY | CARDMARK_PAGE_GUARD);
	if (known <= 0)
		return known < 0 ? known : -ENOTSUP;
	for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
		known = cm_pagescan_knows(fd, newer[i]);
		if (known < 0)
			return known;
		*out |= known ? newer[i] : 0;
	}
	return 0;
}

static inline const char *cm_pagescan_why(int error)
{
	switch (error) {
	case -ENOTSUP:
		return "this kernel has no PAGEMAP_SCAN: Linux 6.7 or newer has it";
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		return "a seccomp filter or a security module refuses PAGEMAP_SCAN: allow "
		       "ioctl(2) on /proc/self/pagemap";
	default:
		return "PAGEMAP_SCAN fails";
	}
}

/* One call from arg->start. Regions are in arg->vec afterwards. Returns their
 * number, or -errno: of a call that clears, the whole of [start, end) is to be taken
 * as written then, for part of it may have been cleared before it failed (R3).
 * *next is where to go on, arg->end when done. walk_end alone can't be trusted
 * (R4): done is when the vector had room left and no page limit was met. */
static inline long cm_pagescan_once(int fd, struct pm_scan_arg *arg, uintptr_t *next)
{
	const struct page_region *v = (const struct page_region *)(uintptr_t)arg->vec;
	uint64_t bytes = 0;
	long n;

	arg->walk_end = arg->start;
	n = cm_os->scan(fd, arg);
	if (n < 0)
		return n;
	if (arg->max_pages != 0)
		for (long i = 0; i < n; i++)
			bytes += v[i].end - v[i].start;
	if ((uint64_t)n < arg->vec_len &&
	    (arg->max_pages == 0 || bytes < arg->max_pages * cardmark_card_size())) {
		*next = (uintptr_t)arg->end;
		return n;
	}
	*next = (uintptr_t)arg->walk_end;
	if (n > 0 && v[n - 1].end > *next)
		*next = (uintptr_t)v[n - 1].end;
	/* No progress, or a position outside: a kernel we do not understand. */
	return *next > arg->start && *next <= arg->end ? n : -EIO;
}

#endif
