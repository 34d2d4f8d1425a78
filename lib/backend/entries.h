/* SPDX-License-Identifier: MIT
 *
 * Reading /proc/self/pagemap: one 64-bit entry for each card, walked through a
 * window on the caller's stack. Holes are jumped over where PAGEMAP_SCAN shows how far
 * they go (6.7): a heap of 64 GiB with one page in it is 32768 windows. */
#ifndef CM_BACKEND_ENTRIES_H
#define CM_BACKEND_ENTRIES_H

#include "lib/backend/backend.h"
#include "lib/os/os.h"

#include <errno.h>

/* The vtable's categories for those that answer with cm_composed_scan. */
static inline uint64_t cm_composed_categories(struct cm_backend *b)
{
	(void)b;
	return CM_COMPOSED_CATEGORIES;
}

#define CM_ENTRIES 512 /* 4 KiB of stack, and 2 MiB of memory: the kernel's own step */
/* The longest jump (R10): as many empty page tables are looked through in a millisecond. */
#define CM_ENTRIES_JUMP ((size_t)1 << 30)

struct cm_entries {
	int fd;
	struct cm_counters *counters;
	size_t card;
	uintptr_t start, end; /* what v holds now */
	bool hole;            /* holds no data, and v nothing of it */
	bool jump;            /* the last window ended in a hole */
	bool cannot_jump;     /* the kernel refused it */
	uint64_t v[CM_ENTRIES];
};

static inline void cm_entries_init(struct cm_entries *e, int fd, struct cm_counters *counters)
{
	e->fd = fd;
	e->counters = counters;
	e->card = cardmark_card_size();
	e->start = e->end = 0;
	e->hole = e->jump = e->cannot_jump = false;
}

static inline bool cm_entry_holds_data(uint64_t entry)
{
	return (entry & (CM_PME_PRESENT | CM_PME_SWAPPED)) != 0;
}

/* Makes a window of the cards from addr on that hold no data: read(2) would return the same for
 * them (R6). False: there are none, or it is not known. */
static inline bool cm_entries_jump(struct cm_entries *e, uintptr_t addr, uintptr_t limit)
{
	struct page_region first = { 0 };
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .start = addr,
				   .end = limit - addr > CM_ENTRIES_JUMP ? addr + CM_ENTRIES_JUMP
									 : limit,
				   .vec = (uintptr_t)&first,
				   .vec_len = 1,
				   .max_pages = 1,
				   .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
				   .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED };
	uintptr_t end = (uintptr_t)arg.end;

	CM_COUNT(e->counters->kernel_calls);
	long n = cm_os->scan(e->fd, &arg);
	if (n > 0)
		end = (uintptr_t)first.start;
	e->cannot_jump = n < 0 || end < addr || end > limit || end % e->card != 0;
	if (e->cannot_jump || end == addr)
		return false;
	e->start = addr;
	e->end = end;
	e->hole = true;
	e->jump = n == 0;
	return true;
}

/* The entry of the card at addr; the window moves on to [addr, limit) if it
 * must. 0 or -errno; a short read is -EIO, because missing entries are not clean. */
static inline int cm_entries_at(struct cm_entries *e, uintptr_t addr, uintptr_t limit,
				uint64_t *entry)
{
	if (addr < e->start || addr >= e->end) {
		if (e->jump && !e->cannot_jump && cm_entries_jump(e, addr, limit)) {
			*entry = 0;
			return 0;
		}
		size_t n = (limit - addr) / e->card;
		if (n > CM_ENTRIES)
			n = CM_ENTRIES;
		size_t bytes = n * sizeof *e->v;
		uint64_t offset = (uint64_t)(addr / e->card) * sizeof *e->v;
		CM_COUNT(e->counters->kernel_calls);
		ssize_t got = cm_os->pread(e->fd, e->v, bytes, offset);
		if (got < 0 || (size_t)got != bytes) {
			int error = got < 0 ? (int)got : -EIO;
			cm_note_errno(e->counters, error);
			e->start = e->end = 0;
			return error;
		}
		e->start = addr;
		e->end = addr + n * e->card;
		e->hole = false;
		e->jump = !cm_entry_holds_data(e->v[n - 1]);
	}
	*entry = e->hole ? 0 : e->v[(addr - e->start) / e->card];
	return 0;
}

/* The end of the memory that the last entry describes: of the card, or of the hole. */
static inline uintptr_t cm_entries_end(const struct cm_entries *e, uintptr_t addr, uintptr_t limit)
{
	return !e->hole ? addr + e->card : e->end < limit ? e->end : limit;
}

/* The first run in [from, limit) of cards that hold data (present or swapped:
 * R6) and whose bit of mask is as wanted. 1, 0 if there is none, or -errno: then
 * nothing is known from out->start on. */
static inline int cm_entries_next(struct cm_entries *e, uintptr_t from, uintptr_t limit,
				  uint64_t mask, uint64_t wanted, struct cardmark_run *out)
{
	bool inside = false;
	uintptr_t at;

	out->start = out->end = from;
	for (at = from; at < limit; at = cm_entries_end(e, at, limit)) {
		uint64_t entry = 0;
		int error = cm_entries_at(e, at, limit, &entry);
		if (error < 0) {
			if (!inside)
				out->start = at;
			return error;
		}
		bool match = cm_entry_holds_data(entry) && (entry & mask) == wanted;
		if (match && !inside) {
			out->start = at;
			inside = true;
		} else if (!match && inside) {
			break;
		}
	}
	out->end = at;
	return inside;
}

/* Adds what cm_entries_next finds in a piece to a set. What cannot be read
 * counts as found; then false. */
static inline bool cm_entries_fold(struct cm_entries *e, const struct cm_range *piece,
				   uint64_t mask, uint64_t wanted, struct cm_cards *set)
{
	struct cardmark_run run;
	uintptr_t at = piece->start;
	int found;

	while ((found = cm_entries_next(e, at, piece->end, mask, wanted, &run)) > 0) {
		cm_cards_set(set, run.start, run.end);
		at = run.end;
	}
	if (found < 0)
		cm_cards_set(set, run.start, piece->end);
	return found == 0;
}

#endif
