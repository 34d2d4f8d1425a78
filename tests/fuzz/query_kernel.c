/* SPDX-License-Identifier: MIT
 *
 * What is below the tracker: the fake kernel, and two backends over it. Rules of both
 * are broken here. */
#include "lib/backend/backend.h"
#include "lib/backend/entries.h"
#include "lib/backend/pagescan.h"
#include "lib/os/os.h"

#include "tests/fuzz/query.h"

#include <errno.h>
#include <string.h>

struct cardmark cm;
struct cm_cards composed_written;
unsigned broken;
bool composed, failures;
unsigned pread_fails_at;

static struct cm_backend composed_backend;
static struct cm_backend_ops ops;
static struct cm_os os_table;
static const struct cm_os *fake_os;

/* ---- The kernel ------------------------------------------------------------------ */

static uint64_t entry_of(const struct fake_page *p)
{
	return (fake_page_is_file(p) ? CM_PME_FILE : 0) | (p->present ? CM_PME_PRESENT : 0) |
	       (p->other & PAGE_IS_SWAPPED ? CM_PME_SWAPPED : 0);
}

static ssize_t entries_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t first = (size_t)(offset / 8) - FAKE_BASE / FAKE_PAGE;
	uint64_t *entry = buf;

	(void)fd;
	if (pread_fails_at != 0 && --pread_fails_at == 0)
		return -EIO;
	for (size_t i = 0; i < len / 8; i++)
		entry[i] = entry_of(&fake.page[first + i]);
	return (ssize_t)len;
}

static long broken_scan(int fd, struct pm_scan_arg *arg)
{
	long n;

	if (broken == UNCHECKED)
		arg->flags &= ~(uint64_t)PM_SCAN_CHECK_WPASYNC;
	n = fake_os->scan(fd, arg);
	if (broken == ERROR_IS_CLEAN && n < 0)
		n = 0;
	return n;
}

static int private_vma_at(uintptr_t addr, struct cm_vma *out)
{
	*out = addr >= fake_addr(PAGES) ? CM_NO_VMA
					: (struct cm_vma){ .start = FAKE_BASE,
							   .end = fake_addr(PAGES),
							   .prot = 3,
							   .page_size = FAKE_PAGE };
	return 0;
}

static int all_covered(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* ---- A backend that knows only which cards were written --------------------------- */

static int composed_add(struct cm_backend *b, const struct cm_range *piece)
{
	(void)b;
	cm_cards_set(&composed_written, piece->start, piece->end);
	return 0;
}

static void composed_remove(struct cm_backend *b, const struct cm_range *piece)
{
	(void)b;
	cm_cards_clear(&composed_written, piece->start, piece->end);
}

static void composed_rearm(struct cm_backend *b, uintptr_t start, uintptr_t end)
{
	(void)b;
	cm_cards_clear(&composed_written, start, end);
}

static size_t composed_harvest(struct cm_backend *b, const struct cm_ranges *all,
			       struct cardmark_run span, struct cm_cards *into)
{
	struct cardmark_run run;

	(void)b;
	(void)all;
	for (uintptr_t at = span.start; cm_cards_next(&composed_written, at, &run); at = run.end) {
		if (run.start >= span.end)
			break;
		if (run.end > span.end)
			run.end = span.end;
		cm_cards_set(into, run.start, run.end);
		cm_cards_clear(&composed_written, run.start, run.end);
	}
	return 0;
}

static void composed_scan(struct cm_backend *b, const struct cm_ranges *all,
			  const struct cm_range *piece, const struct cm_masks *masks,
			  enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	(void)all;
	cm_composed_scan(b, piece, masks, op, sink, resume, &composed_written, composed_rearm);
}

static int composed_rebuild(struct cm_backend *b, const struct cm_ranges *all)
{
	(void)b;
	cm_ranges_mark(all, CM_ALL, &composed_written);
	return 0;
}

static void composed_close(struct cm_backend *b, const struct cm_ranges *all)
{
	(void)b;
	(void)all;
}

static const struct cm_backend_ops composed_ops = {
	.id = CARDMARK_BACKEND_UFFD,
	.capabilities = CARDMARK_CAP_PRECISE | CARDMARK_CAP_CONCURRENT | CARDMARK_CAP_SHARED |
			CARDMARK_CAP_MPROTECT,
	.tells_huge = true,
	.close = composed_close,
	.categories = cm_composed_categories,
	.add = composed_add,
	.remove = composed_remove,
	.harvest = composed_harvest,
	.scan = composed_scan,
	.rebuild = composed_rebuild,
};

/* Between the tracker and either backend. */
static void broken_backend_scan(struct cm_backend *b, const struct cm_ranges *all,
				const struct cm_range *piece, const struct cm_masks *asked,
				enum cardmark_scan_op op, struct cm_sink *sink, uintptr_t *resume)
{
	struct cm_masks masks = *asked;
	size_t limit = sink->max_pages;

	if (broken == NO_EXCLUDED)
		masks.excluded = 0;
	if (broken == NO_ANY_OF)
		masks.any_of = 0;
	if (broken == NO_REQUIRED)
		masks.required &= W;
	if (broken == ALL_RETURNED)
		masks.returned = CM_COMPOSED_CATEGORIES;
	if (broken == NO_LIMIT)
		sink->max_pages = SIZE_MAX;
	(composed ? composed_ops : cm_backend_pagemap)
		.scan(b, all, piece, &masks, op, sink, resume);
	sink->max_pages = limit;
	if (broken == RESUME_SKIPS)
		*resume = piece->end;
	if (broken == ARMS_ALL && op != CARDMARK_SCAN_GET) {
		cm_cards_clear(&composed_written, piece->start, *resume);
		for (uintptr_t at = piece->start; at < *resume; at += FAKE_PAGE)
			fake.page[(at - FAKE_BASE) / FAKE_PAGE].protected = true;
	}
}

/* ---- Set up ------------------------------------------------------------------------ */

const char *query_begin(struct fuzz_input *in)
{
	unsigned how = fuzz_byte(in);
	struct cm_backend_params params = { .chunk_bytes = (1 + fuzz_below(in, 2000)) * FAKE_PAGE,
					    .vec_len = 1 + fuzz_below(in, 600),
					    .concurrent = false,
					    .threads = 1,
					    .counters = &cm.counters };
	const char *why;

	composed = how & 1;
	failures = how & 2;
	memset(&cm, 0, sizeof cm);
	pread_fails_at = 0;
	FUZZ_WANT(cm_fork_set_up() == 0);
	fake_kernel_begin();
	fake.honest_walk_end = how & 4;
	fake_os = cm_os;
	os_table = *cm_os;
	os_table.pread = entries_pread;
	os_table.scan = broken_scan;
	os_table.vma_at = private_vma_at;
	os_table.covered = all_covered;
	cm_os = &os_table;
	(void)pthread_mutex_init(&cm.lock, NULL);
	cm.chunk_bytes = params.chunk_bytes;
	cm.huge = CARDMARK_HUGE_KEEP;
	composed_backend.params = params;
	cm.backend = &composed_backend;
	FUZZ_WANT(cm_cards_init(&cm.tracked) == 0 && cm_cards_init(&cm.fresh) == 0 &&
		  cm_cards_init(&cm.kept.cards) == 0 && cm_cards_init(&composed_written) == 0);
	FUZZ_WANT(cm_cards_reserve(&composed_written, FAKE_BASE, fake_addr(PAGES)) == 0);
	if (!composed)
		FUZZ_WANT(cm_backend_pagemap.open(&cm.backend, &params, &why) == 0);
	ops = composed ? composed_ops : cm_backend_pagemap;
	ops.scan = broken_backend_scan;
	cm.backend->ops = &ops;
	return NULL;
}

void query_end(void)
{
	cm.backend->ops->close(cm.backend, &cm.ranges);
	cm_cards_free(&composed_written);
	cm_cards_free(&cm.tracked);
	cm_cards_free(&cm.fresh);
	cm_cards_free(&cm.kept.cards);
	cm_holds_free(&cm.holds);
	cm_ranges_free(&cm.ranges);
	(void)pthread_mutex_destroy(&cm.lock);
	fake_kernel_end();
}
