/* SPDX-License-Identifier: MIT
 *
 * A kernel of a few pages for unit tests of the pagemap backend: userfaultfd
 * registration and PAGEMAP_SCAN as Linux 6.7 to 6.18 do them, quirks included,
 * with calls that fail on demand. Addresses are never touched. */
#ifndef CM_TESTS_FAKE_KERNEL_H
#define CM_TESTS_FAKE_KERNEL_H

#include "cardmark/cardmark.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_PAGES 8192
#define FAKE_PAGE ((uintptr_t)cardmark_card_size())
#define FAKE_PID 4711
#define FAKE_BASE ((uintptr_t)0x200000000)

enum fake_call {
	FAKE_UFFD_OPEN,
	FAKE_UFFD_DEVICE, /* /dev/userfaultfd */
	FAKE_PAGEMAP_OPEN,
	FAKE_REGISTER,
	FAKE_PROTECT,
	FAKE_SCAN,
	FAKE_CALLS
};

struct fake_page {
	bool present, registered, protected, file;
	bool writable;  /* although protected: written while nobody had it registered */
	unsigned other; /* PAGE_IS_* that none of these calls changes */
};

/* Linux looks at the page itself, so it never reports FILE where there is none
 * (pagemap_page_category() and pte_to_pagemap_entry() of fs/proc/task_mmu.c). */
static inline bool fake_page_is_file(const struct fake_page *p)
{
	return p->file && (p->present || p->other & CARDMARK_PAGE_SWAPPED);
}

struct fake_kernel {
	struct fake_page page[FAKE_PAGES];
	/* The nth call from now on fails (1 is the next; 0: none) ... */
	unsigned fail_at[FAKE_CALLS];
	int error[FAKE_CALLS]; /* ... with this ... */
	size_t fail_after;     /* ... a scan: after it walked (and cleared) so many pages */
	bool fail_for_ever;
	bool no_guard_category; /* before 6.16 */
	bool no_scan;           /* before 6.7 */
	int refused_scan;       /* every scan fails with it */
	bool no_async;          /* as well */
	int privileged_error;   /* of a userfaultfd that is for the kernel's faults too */
	int seccomp_mode, sysctl;
	const char *release;
	bool dead;            /* the process has ended: FAKE_PID's memory is gone */
	bool honest_walk_end; /* false: the quirk of R4 */
	unsigned calls[FAKE_CALLS];
};

extern struct fake_kernel fake;

/* A fresh kernel in place of the real one. */
void fake_kernel_begin(void);
void fake_kernel_end(void);

/* Stores by the program: to pages [from, to). */
void fake_write(size_t from, size_t to);
/* A new mapping in the place: present, not registered. */
void fake_remap(size_t from, size_t to);
/* Tracked memory from elsewhere moved there by mremap(2): not registered, but
 * before 6.12.11 it kept its protection. */
void fake_move_in(size_t from, size_t to);

static inline uintptr_t fake_addr(size_t page)
{
	return FAKE_BASE + page * FAKE_PAGE;
}

#endif
