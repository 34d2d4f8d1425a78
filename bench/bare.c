/* SPDX-License-Identifier: MIT */
#include "bench/bare.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/os/uapi.h"

bool bare_open(struct bare *b)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED };

	b->calls = 0;
	b->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	b->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return b->uffd >= 0 && b->pagemap >= 0 && ioctl(b->uffd, UFFDIO_API, &api) == 0;
}

void bare_close(struct bare *b)
{
	if (b->uffd >= 0)
		(void)close(b->uffd);
	if (b->pagemap >= 0)
		(void)close(b->pagemap);
	b->uffd = b->pagemap = -1;
}

bool bare_register(struct bare *b, const char *p, size_t len)
{
	struct uffdio_register r = { .range = { (uintptr_t)p, len },
				     .mode = UFFDIO_REGISTER_MODE_WP };

	b->calls++;
	return ioctl(b->uffd, UFFDIO_REGISTER, &r) == 0;
}

bool bare_unregister(struct bare *b, const char *p, size_t len)
{
	struct uffdio_range r = { (uintptr_t)p, len };

	b->calls++;
	return ioctl(b->uffd, UFFDIO_UNREGISTER, &r) == 0;
}

/* The shortest loop that is right: 512 regions a call, until a call does not
 * fill them. */
uint64_t bare_collect(struct bare *b, const char *p, size_t len)
{
	static struct page_region vec[BARE_REGIONS];
	uint64_t at = (uintptr_t)p, end = at + len, bytes = 0;

	while (at < end) {
		struct pm_scan_arg arg = { .size = sizeof arg,
					   .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
					   .start = at,
					   .end = end,
					   .vec = (uintptr_t)vec,
					   .vec_len = BARE_REGIONS,
					   .category_mask = PAGE_IS_WRITTEN,
					   .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
					   .return_mask = PAGE_IS_WRITTEN };
		int n = ioctl(b->pagemap, PAGEMAP_SCAN, &arg);

		b->calls++;
		if (n < 0)
			return UINT64_MAX;
		for (int i = 0; i < n; i++)
			bytes += vec[i].end - vec[i].start;
		if (n < BARE_REGIONS)
			break;
		at = arg.walk_end;
	}
	return bytes / (uint64_t)sysconf(_SC_PAGESIZE);
}
