/* SPDX-License-Identifier: MIT */
#include "lib/backend/unregister.h"

#include "lib/backend/holes.h"
#include "lib/os/os.h"

#include <errno.h>
#include <sys/mman.h>

/* Of what is all mapped. */
static void unregister_halves(int fd, uintptr_t start, uintptr_t end, struct cm_counters *counters)
{
	size_t card = cardmark_card_size();
	uintptr_t middle = start + (end - start) / 2 / card * card;

	CM_COUNT(counters->kernel_calls);
	if (cm_os->uffd_unregister(fd, start, end - start) != -EINVAL || middle == start)
		return;
	unregister_halves(fd, start, middle, counters);
	unregister_halves(fd, middle, end, counters);
}

/* EINVAL: nothing is mapped there any more; or a userfaultfd may not watch one of several mappings
 * (a plain file mapped there), and then the kernel unregisters none of them. So mapping by mapping,
 * or in halves if the mappings are not known. */
void cm_unregister(int fd, uintptr_t start, uintptr_t end, struct cm_counters *counters)
{
	struct cardmark_run run = { start, start };
	struct cm_vma vma;

	CM_COUNT(counters->kernel_calls);
	if (cm_os->uffd_unregister(fd, start, end - start) != -EINVAL)
		return;
	for (; start < end; start = vma.end) {
		if (cm_os->vma_at(start, &vma) < 0)
			break;
		if (vma.start >= end)
			return;
		if (vma.start > start)
			start = vma.start;
		CM_COUNT(counters->kernel_calls);
		(void)cm_os->uffd_unregister(fd, start, (vma.end < end ? vma.end : end) - start);
	}
	for (; cm_next_mapped(start, end, PROT_READ | PROT_WRITE, &run) > 0; start = run.end)
		unregister_halves(fd, run.start, run.end, counters);
}
