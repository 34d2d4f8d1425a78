/* SPDX-License-Identifier: MIT */
#include "gc-glue/jemalloc/util.h"

#include <sys/mman.h>

void *cm_je_map_memory(size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* So that it merges with no neighbour (R14). */
	if (madvise(p, len, MADV_DONTDUMP) != 0) {
		(void)munmap(p, len);
		return NULL;
	}
	return p;
}

void cm_je_unmap_memory(void *p, size_t len)
{
	(void)munmap(p, len);
}
