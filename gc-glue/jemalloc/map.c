/* SPDX-License-Identifier: MIT */
#include "gc-glue/jemalloc/map.h"
#include "gc-glue/jemalloc/util.h"

#include <cardmark/jemalloc.h>

#include <errno.h>
#include <sys/mman.h>

#define FLAG_BITS ((uintptr_t)0xff)
#define STEP ((size_t)4096) /* entries made usable at once: 64 KiB */

struct entry { /* one, read or about to be stored */
	uintptr_t start, end;
	unsigned flags;
};

static struct entry load(const struct cm_je_map *map, size_t i)
{
	uintptr_t start = atomic_load_explicit(&map->v[i].start, memory_order_acquire);
	uintptr_t end = atomic_load_explicit(&map->v[i].end, memory_order_acquire);

	return (struct entry){ start & ~FLAG_BITS, end, (unsigned)(start & FLAG_BITS) };
}

static void store(struct cm_je_map *map, size_t i, struct entry e)
{
	atomic_store_explicit(&map->v[i].start, e.start | e.flags, memory_order_release);
	atomic_store_explicit(&map->v[i].end, e.end, memory_order_release);
}

static size_t count(const struct cm_je_map *map)
{
	return atomic_load_explicit(&map->n, memory_order_acquire);
}

int cm_je_map_init(struct cm_je_map *map, size_t most)
{
	*map = (struct cm_je_map){ .most = (most + STEP - 1) / STEP * STEP };
	map->v = cm_je_map_memory(map->most * sizeof *map->v, PROT_NONE);
	return map->v == NULL ? -ENOMEM : 0;
}

void cm_je_map_free(struct cm_je_map *map)
{
	if (map->v != NULL)
		cm_je_unmap_memory(map->v, map->most * sizeof *map->v);
	*map = (struct cm_je_map){ 0 };
}

static int make_usable(struct cm_je_map *map, size_t n)
{
	while (n > map->usable) {
		if (map->usable == map->most ||
		    mprotect(map->v + map->usable, STEP * sizeof *map->v, PROT_READ | PROT_WRITE) !=
			    0)
			return -ENOMEM;
		map->usable += STEP;
	}
	return 0;
}

/* Index of the first entry that ends at or above addr (`touching`), or above it. */
static size_t find(const struct cm_je_map *map, uintptr_t addr, bool touching)
{
	size_t low = 0, high = count(map);

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		uintptr_t end = load(map, mid).end;
		if (end > addr || (touching && end == addr))
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Puts n entries in the place of those from i up to j. */
static void replace(struct cm_je_map *map, size_t i, size_t j, const struct entry *with, size_t n)
{
	size_t old = count(map), tail = old - j;
	unsigned version = atomic_load_explicit(&map->version, memory_order_relaxed);

	/* The stores that follow are releases: none can be seen before this one. */
	atomic_store_explicit(&map->version, version + 1, memory_order_relaxed);
	if (i + n > j)
		for (size_t k = tail; k-- > 0;)
			store(map, i + n + k, load(map, j + k));
	else if (i + n < j)
		for (size_t k = 0; k < tail; k++)
			store(map, i + n + k, load(map, j + k));
	for (size_t k = 0; k < n; k++)
		store(map, i + k, with[k]);
	atomic_store_explicit(&map->n, i + n + tail, memory_order_release);
	atomic_store_explicit(&map->version, version + 2, memory_order_release);
}

int cm_je_map_set(struct cm_je_map *map, uintptr_t start, uintptr_t end, unsigned flags)
{
	struct entry new = { start, end, flags }, with[3];
	size_t i = find(map, start, true), j = i, n = 0, total = count(map);
	struct entry right = { 0 };

	if (map->v == NULL || make_usable(map, total + 2) < 0)
		return -ENOMEM;
	for (; j < total; j++) {
		struct entry e = load(map, j);
		if (e.start > end)
			break;
		if (e.flags == flags) { /* overlaps or touches: becomes part of it */
			new.start = e.start < new.start ? e.start : new.start;
			new.end = e.end > new.end ? e.end : new.end;
			continue;
		}
		if (e.start <
		    start) /* the part on the left that stays; all of it if it only touches */
			with[n++] =
				(struct entry){ e.start, e.end < start ? e.end : start, e.flags };
		if (e.end > end)
			right = (struct entry){ e.start > end ? e.start : end, e.end, e.flags };
	}
	if (flags != CM_JE_NOTHING)
		with[n++] = new;
	if (right.end != 0)
		with[n++] = right;
	replace(map, i, j, with, n);
	return 0;
}

void cm_je_map_clear(struct cm_je_map *map)
{
	replace(map, 0, count(map), NULL, 0);
}

struct cardmark_jemalloc_range cm_je_anything_from(uintptr_t addr)
{
	uintptr_t card = cardmark_card_size();

	return (struct cardmark_jemalloc_range){ addr & ~(card - 1), -card,
						 CARDMARK_JEMALLOC_ALWAYS_DIRTY };
}

enum cm_je_found cm_je_map_find(struct cm_je_map *map, uintptr_t addr,
				struct cardmark_jemalloc_range *out)
{
	struct cm_wait brief = { .bound_ns = CM_JE_WAIT_NS };
	struct cm_wait wait = { .bound_ns = CM_JE_WAIT_LONG_NS };

	for (unsigned turn = 1;; turn++) {
		unsigned version = atomic_load_explicit(&map->version, memory_order_acquire);
		if (version % 2 == 0) {
			struct entry e = { 0 };
			size_t i = find(map, addr, false);
			bool found = i < count(map);

			if (found)
				e = load(map, i);
			if (atomic_load_explicit(&map->version, memory_order_relaxed) == version) {
				*out = (struct cardmark_jemalloc_range){ e.start, e.end, e.flags };
				return found ? CM_JE_FOUND : CM_JE_NONE;
			}
		}
		if (turn % 64 == 0) {
			/* The writer may have lost its processor. It waits for nothing and no
			 * signal stops it, so it will go on, unless a tracer stopped it. In a copy
			 * of the process it does not exist. */
			uint64_t now = cm_now_ns();

			bool over = cm_wait_is_over(&wait, now);

			if (cm_wait_is_over(&brief, now) && (over || cm_je_is_copy())) {
				*out = cm_je_anything_from(addr);
				return CM_JE_UNKNOWN;
			}
			cm_je_pause(turn - 1);
		}
	}
}
