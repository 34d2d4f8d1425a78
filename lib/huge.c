/* SPDX-License-Identifier: MIT */
#include "lib/huge.h"
#include "lib/os/os.h"

#include <sys/mman.h>

#ifndef MADV_COLD /* 5.4 */
#define MADV_COLD 20
#endif

/* MADV_COLD over part of a huge page splits it before anything else
 * (madvise_cold_or_pageout_pte_range, 5.4). It does no harm to the card: the card stays in memory,
 * and is reclaimed a little sooner if memory is short. The split copies the write-protection to the
 * small pages. Locked memory is refused. */
static void split(uintptr_t start, uintptr_t end)
{
	size_t card = cardmark_card_size();
	uintptr_t huge = card / sizeof(uint64_t) * card; /* what a page of a page table maps */

	for (uintptr_t at = start; at < end; at = (at & ~(huge - 1)) + huge)
		(void)cm_os->madvise((void *)at, card, MADV_COLD);
}

void cm_huge_prepare(enum cardmark_huge huge, uintptr_t start, uintptr_t end)
{
	if (huge == CARDMARK_HUGE_KEEP)
		return;
	/* First, or new huge pages could come after the old ones are split. */
	if (huge == CARDMARK_HUGE_NEVER)
		(void)cm_os->madvise((void *)start, end - start, MADV_NOHUGEPAGE);
	split(start, end);
}
