/* SPDX-License-Identifier: MIT
 *
 * Gives memory back that a userfaultfd watches. */
#ifndef CM_BACKEND_UNREGISTER_H
#define CM_BACKEND_UNREGISTER_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>

/* EINVAL: nothing is mapped there any more; or one of several mappings is of a kind
 * that no userfaultfd may watch (a plain file mapped in the place), and then the kernel
 * lets go of none. So mapping by mapping. */
static inline void cm_unregister(int fd, uintptr_t start, uintptr_t end,
				 struct cm_counters *counters)
{
	struct cm_vma vma;

	CM_COUNT(counters->kernel_calls);
	if (cm_os->uffd_unregister(fd, start, end - start) != -EINVAL)
		return;
	for (; start < end && cm_os->vma_at(start, &vma) == 0 && vma.start < end; start = vma.end) {
		if (vma.start > start)
			start = vma.start;
		CM_COUNT(counters->kernel_calls);
		(void)cm_os->uffd_unregister(fd, start, (vma.end < end ? vma.end : end) - start);
	}
}

#endif
