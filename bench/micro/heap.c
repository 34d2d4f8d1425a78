/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "bench/measure.h"
#include "bench/micro/micro.h"

const char *const pattern_names[PATTERN_COUNT] = { "dense", "strided", "uniform", "hot" };

enum { HUGE = 2 << 20 };

bool heap_new(struct heap *h, size_t ranges, size_t piece, size_t gap, enum heap_kind kind)
{
	/* Pages without access around it keep heaps from merging. */
	size_t bytes = ranges * (piece + gap) * micro.page, around = 2 * (size_t)HUGE;
	char *p = mmap(NULL, bytes + around, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	memset(h, 0, sizeof *h);
	if (p == MAP_FAILED)
		return false;
	h->map = p;
	h->map_len = bytes + around;
	h->base = p + (HUGE - (uintptr_t)p % HUGE);
	h->pages = ranges * piece;
	h->piece = piece;
	h->stride = piece + gap;
	h->want = calloc(h->pages, 1);
	if (h->want == NULL || mprotect(h->base, bytes, PROT_READ | PROT_WRITE) != 0)
		return false;
	/* All small pages or all huge ones: otherwise chance would decide the result. */
	(void)madvise(h->base, bytes, kind == HEAP_HUGE_PAGES ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t i = 0; i < h->pages; i++)
		*heap_page(h, i) = 1;
	return true;
}

void heap_free(struct heap *h)
{
	if (h->map != NULL)
		(void)munmap(h->map, h->map_len);
	free(h->want);
	memset(h, 0, sizeof *h);
}

static void write_page(struct heap *h, size_t i)
{
	(*(volatile char *)heap_page(h, i))++;
	h->wanted += h->want[i] == 0;
	h->want[i] = 1;
}

static size_t hot_page(const struct heap *h, uint64_t *random)
{
	if (h->pages >= 10 && random_under(random, 10) != 0)
		return random_under(random, h->pages / 10);
	return random_under(random, h->pages);
}

void heap_write(struct heap *h, enum pattern pattern, size_t n, uint64_t *random)
{
	size_t need = n;

	for (size_t i = 0; i < n && pattern != PATTERN_UNIFORM; i++)
		write_page(h, pattern == PATTERN_DENSE ? i
			      : pattern == PATTERN_HOT ? hot_page(h, random)
						       : i * h->pages / n);
	/* Each page is taken with such a chance that exactly n are taken in the end. */
	for (size_t i = 0; i < h->pages && pattern == PATTERN_UNIFORM && need > 0; i++)
		if (random_under(random, h->pages - i) < need) {
			write_page(h, i);
			need--;
		}
}

void heap_forget(struct heap *h)
{
	memset(h->want, 0, h->pages);
	h->wanted = 0;
}
