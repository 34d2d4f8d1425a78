/* SPDX-License-Identifier: MIT */
#include "lib/zeropage.h"
#include "lib/os/os.h"

#include <cardmark/cardmark.h>

#include <stddef.h>
#include <stdint.h>

bool cm_zero_page_is_shared(int pagemap)
{
	size_t card = cardmark_card_size();
	uint64_t entry = 0;
	void *page;
	bool shared;

	if (cm_os->map(card, &page) < 0)
		return false;
	(void)*(volatile unsigned char *)page;
	shared = cm_os->pread(pagemap, &entry, sizeof entry,
			      (uintptr_t)page / card * sizeof entry) == (ssize_t)sizeof entry &&
		 (entry & CM_PME_PRESENT) != 0 && (entry & CM_PME_EXCLUSIVE) == 0;
	(void)cm_os->unmap(page, card);
	return shared;
}
