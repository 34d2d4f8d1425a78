/* SPDX-License-Identifier: MIT
 *
 * Which memory is libgc's heap. All of libgc's memory comes from mmap. A mapping that is followed
 * by on_heap_resize has become heap and is tracked. The others are tables and mark stacks; libgc
 * writes to them while it marks, and tracking would slow them down. Old tables later become heap
 * without any event, so only tracked memory may ever be called clean.
 *
 * `tracked` never has more than the tracker watches: a piece is added one step after the tracker,
 * and removed one step before. `mapped` has all memory that may hold heap, until it is known to be
 * gone. If that fails, `blind` is set and /proc/self/maps is read instead; if it cannot be read,
 * everything is dirty. These are read only under libgc's lock. */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct cm_gc_heap cm_gc_heap = { .tracker = CARDMARK_DESCRIPTION_INIT };

#define PENDING_MAX 64
/* Mapped since the last resize, and the size of the heap then: it also grows without. */
static struct {
	struct cardmark_run r;
	size_t heap;
} pending[PENDING_MAX];
static size_t pending_n;

/* libgc scans our data for pointers, too: an address that stays here keeps an object alive. */
static void forget_pending(void)
{
	memset(pending, 0, sizeof pending);
	pending_n = 0;
}
/* Mappings that were not heap when last seen: mark stacks and hash tables, which
 * libgc puts into the heap when it has outgrown them. Block headers come in 64 KiB
 * and stay. */
#define TABLES_MAX 64
#define TABLE_MIN ((size_t)128 << 10)
static struct cardmark_run tables[TABLES_MAX];
static size_t tables_n;
static size_t heap_bytes; /* as of the last resize; 0 if not known */

static void untrack(uintptr_t start, uintptr_t end)
{
	struct cm_gc_heap *h = &cm_gc_heap;
	void (*on_untrack)(uintptr_t, uintptr_t) =
		__atomic_load_n(&h->on_untrack, __ATOMIC_RELAXED);
	size_t i = cm_gc_ranges_from(&h->tracked, start);

	if (!h->cm || i == h->tracked.n || h->tracked.v[i].start >= end)
		return;
	if (on_untrack)
		on_untrack(start, end);
	cm_gc_ranges_remove(&h->tracked, start, end);
	cardmark_untrack(h->cm, (void *)start, end - start);
}

static void track(uintptr_t start, uintptr_t end, unsigned flags)
{
	struct cm_gc_heap *h = &cm_gc_heap;

	if (!h->cm || start >= end)
		return;
	if (cardmark_track(h->cm, (void *)start, end - start, flags) != 0) {
		/* A piece tracked before may have lost its protection. */
		h->track_failures++;
		strncpy(h->track_error, cardmark_last_error(), sizeof h->track_error - 1);
		untrack(start, end);
		h->retry = true;
		return;
	}
	/* Without room to remember the piece, it stays dirty for ever. */
	cm_gc_ranges_add(&h->tracked, start, end);
}

void cm_gc_heap_watch(uintptr_t start, uintptr_t end, unsigned flags)
{
	if (cm_gc_test(CM_GC_TEST_ROOTS_UNARMED))
		cm_gc_ranges_add(&cm_gc_heap.tracked, start, end);
	else
		track(start, end, flags);
}

void cm_gc_heap_unwatch(uintptr_t start, uintptr_t end)
{
	const struct cm_gc_ranges *heap = &cm_gc_heap.heap;
	size_t i = cm_gc_ranges_from(heap, start);

	untrack(start, end);
	/* Static data may have become heap, and a root may lie in heap. */
	if (i < heap->n && heap->v[i].start < end)
		cm_gc_heap.retry = true;
}

static void heap_add(uintptr_t start, uintptr_t end)
{
	if (cm_gc_ranges_add(&cm_gc_heap.heap, start, end) != 0)
		cm_gc_heap.blind = true;
	if (!cm_gc_test_untracked())
		track(start, end, CARDMARK_TRACK_PRIVATE);
}

/* A large free block has a header for its first page only: look at a few. */
static bool holds_heap(uintptr_t start, uintptr_t end, size_t samples)
{
	size_t page = cardmark_card_size(), step = page;

	if ((end - start) / page > samples)
		step = (end - start) / samples & ~(page - 1);
	for (uintptr_t p = start; p < end; p += step)
		if (cm_gc_api.GC_is_heap_ptr((void *)p))
			return true;
	return false;
}

static void table_add(const struct cardmark_run *r)
{
	if (r->end - r->start >= TABLE_MIN && tables_n < TABLES_MAX)
		tables[tables_n++] = *r;
}

/* libgc reads the dirty bits of its heap, in pieces of 8 MiB, and little else. A free block's
 * header may belong to a neighbour. So in a large program, gigabytes of old mark stacks in the heap
 * were not recognised by their headers. They counted as dirty at every stop, and with libgc's table
 * that made everything dirty. */
#define READ_AHEAD ((size_t)16 << 20)

static bool is_heap_that_was_read(uintptr_t start, uintptr_t end, cm_gc_was_read_fn *was_read)
{
	return end - start >= READ_AHEAD && !cm_gc_test(CM_GC_TEST_NO_STACK_DEFENCE) && was_read &&
	       was_read(start, end);
}

/* For libgc, a table in use has no header; heap has one. */
static void adopt_tables(cm_gc_was_read_fn *was_read)
{
	/* The world is stopped: no new heap is between its mapping and its event. */
	for (size_t i = 0; i < pending_n; i++)
		table_add(&pending[i].r);
	forget_pending();
	for (size_t i = 0; i < tables_n;) {
		struct cardmark_run r = tables[i];

		if (holds_heap(r.start, r.end, 64) ||
		    is_heap_that_was_read(r.start, r.end, was_read)) {
			tables[i] = tables[--tables_n];
			heap_add(r.start, r.end);
		} else {
			i++;
		}
	}
}

/* A statically linked libgc maps memory without our notice. The new heap is in the memory that
 * /proc/self/maps did not have before, from the first page with a header on. */
static void find_new(uintptr_t start, uintptr_t end, void *arg)
{
	size_t page = cardmark_card_size(), delta = *(size_t *)arg;
	const struct cm_gc_ranges *known = &cm_gc_heap.mapped;
	size_t i = cm_gc_ranges_from(known, start);
	uintptr_t p;

	for (; i < known->n && known->v[i].start <= start && start < end; i++)
		start = known->v[i].end;
	if (i < known->n && known->v[i].start < end)
		end = known->v[i].start;
	if (start >= end || cm_gc_ranges_add(&cm_gc_heap.mapped, start, end) != 0)
		return;
	for (p = start; p < end && !cm_gc_api.GC_is_heap_ptr((void *)p); p += page)
		;
	if (p < end && delta && end - p >= delta)
		heap_add(p, p + delta);
	else if (end - start >= delta && (cm_gc_heap.tracker.capabilities & CARDMARK_CAP_NO_TRAP))
		heap_add(start, end);
}

/* As libgc reports it to on_heap_resize. */
static size_t heap_now(void)
{
	size_t bytes = cm_gc_api.GC_get_heap_size();

	return cm_gc_api.GC_get_unmapped_bytes ? bytes + cm_gc_api.GC_get_unmapped_bytes() : bytes;
}

void cm_gc_heap_resized(size_t bytes)
{
	size_t delta = heap_bytes && bytes > heap_bytes ? bytes - heap_bytes : 0;
	size_t best = pending_n;

	if (!heap_bytes && !cm_gc_config.init_called)
		delta = bytes;
	heap_bytes = bytes;
	if (!cm_gc_api.shared) {
		/* Memory that is not found, because there is no descriptor left, stays dirty: these
		 * sets alone make nothing heap. */
		(void)cm_gc_maps_each(find_new, &delta);
		return;
	}
	/* Of the mappings of the right size, the heap is the one where libgc already has a header,
	 * or (merged with a free neighbour) the last one. */
	for (size_t i = 0; i < pending_n; i++) {
		const struct cardmark_run *r = &pending[i].r;

		if (r->end - r->start != bytes - pending[i].heap && r->end - r->start != delta)
			continue;
		best = i;
		if (cm_gc_api.GC_is_heap_ptr((void *)r->start))
			break;
	}
	if (best < pending_n)
		heap_add(pending[best].r.start, pending[best].r.end);
	else
		cm_gc_heap.blind = true; /* sbrk, or a call we do not see */
	for (size_t i = 0; i < pending_n; i++)
		if (i != best)
			table_add(&pending[i].r);
	forget_pending();
}

static void adopt(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	if (!cm_gc_api.shared)
		cm_gc_ranges_add(&cm_gc_heap.mapped, start, end);
	/* The mapping may hold other things too (a neighbour merged with it, even a thread's
	 * stack). That does no harm unless the backend uses traps. Then the memory that was there
	 * before stays dirty. */
	if (cm_gc_config.init_called && (cm_gc_heap.tracker.capabilities & CARDMARK_CAP_NO_TRAP) &&
	    holds_heap(start, end, 4096))
		heap_add(start, end);
}

void cm_gc_heap_adopt(void)
{
	(void)cm_gc_maps_each(adopt, NULL); /* as above: `early` is false */
}

static void (*untracked_fn)(uintptr_t, uintptr_t);

static void found_untracked(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	untracked_fn(start, end);
}

static void minus_tracked(uintptr_t start, uintptr_t end, void *arg)
{
	(void)arg;
	cm_gc_ranges_minus(start, end, &cm_gc_heap.tracked, found_untracked, NULL);
}

bool cm_gc_heap_untracked(void (*fn)(uintptr_t, uintptr_t))
{
	const struct cm_gc_ranges *m = &cm_gc_heap.mapped;

	untracked_fn = fn;
	if (!cm_gc_heap.early || cm_gc_heap.blind)
		return cm_gc_maps_each(minus_tracked, NULL) == 0;
	for (size_t i = 0; i < m->n; i++)
		minus_tracked(m->v[i].start, m->v[i].end, NULL);
	return true;
}

static struct cardmark_run holes[64];
static size_t holes_n;

static void note_hole(uintptr_t start, uintptr_t end)
{
	if (holes_n < sizeof holes / sizeof holes[0])
		holes[holes_n++] = (struct cardmark_run){ start, end };
}

void cm_gc_heap_settle(cm_gc_was_read_fn *was_read)
{
	const struct cm_gc_ranges *heap = &cm_gc_heap.heap;

	adopt_tables(was_read);
	if (!cm_gc_heap.retry)
		return;
	cm_gc_heap.retry = false;
	holes_n = 0;
	untracked_fn = note_hole;
	for (size_t i = 0; i < heap->n; i++)
		minus_tracked(heap->v[i].start, heap->v[i].end, NULL);
	for (size_t i = 0; i < holes_n; i++)
		track(holes[i].start, holes[i].end, CARDMARK_TRACK_PRIVATE);
}

static uintptr_t page_end(uintptr_t addr, size_t len)
{
	size_t page = cardmark_card_size();

	return addr + ((len + page - 1) & ~(page - 1));
}

/* A piece of the heap was mapped anew or made writable again. */
static void rearm(uintptr_t start, uintptr_t end)
{
	const struct cm_gc_ranges *heap = &cm_gc_heap.heap;

	for (size_t i = cm_gc_ranges_from(heap, start); i < heap->n; i++) {
		uintptr_t from = heap->v[i].start > start ? heap->v[i].start : start;
		uintptr_t to = heap->v[i].end < end ? heap->v[i].end : end;

		if (from >= to)
			break;
		track(from, to, CARDMARK_TRACK_PRIVATE);
	}
}

#define PLACE_MIN ((size_t)512 << 10)
#define PLACE_LEAST (UINT64_C(16) << 30)
#define PLACE_ALIGN (UINT64_C(2) << 20)

/* The distance from the libraries: room for the heap to grow up to them. Not more, because libgc
 * takes each number between its first and its last piece for a pointer, and puts no object where it
 * finds such numbers. With a distance of a TiB, a heap of 8 GiB with random numbers grew to 24. */
static uintptr_t away(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * cardmark_card_size();
	uint64_t distance = PLACE_LEAST;

	while (distance < 2 * memory)
		distance *= 2;
	return (uintptr_t)distance;
}

/* Heap grows by large pieces and libgc's tables by small ones, in turns and side
 * by side. Kept apart, the heap is one range for the tracker and one mapping for
 * the kernel. A hint only: the kernel may place it elsewhere. */
static void *place(void *addr, size_t len, int flags)
{
	static uintptr_t next;
	uintptr_t hint;

	if ((flags & MAP_FIXED) || !cm_gc_heap.early)
		return addr;
	if (len < PLACE_MIN) /* libgc would have it behind the heap */
		return NULL;
	if (!next) /* as random as our own address */
		next = ((uintptr_t)&next - away()) & ~(uintptr_t)(PLACE_ALIGN - 1);
	hint = next;
	next = page_end(hint, len);
	return (void *)hint;
}

void *cm_gc_hook_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	uintptr_t start = (uintptr_t)addr, end = page_end(start, len);
	bool fixed = flags & MAP_FIXED;
	void *p;
	int saved;

	if (fixed)
		untrack(start, end);
	p = mmap(place(addr, len, flags), len, prot, flags, fd, off);
	saved = errno;
	if (p == MAP_FAILED) {
		/* The old memory may still be there: it stays dirty until it is tracked again. */
		cm_gc_heap.retry = cm_gc_heap.retry || fixed;
		errno = saved;
		return p;
	}
	if (fixed) {
		if (prot & PROT_WRITE)
			rearm(start, end);
	} else if ((prot & PROT_WRITE) && (flags & MAP_PRIVATE)) {
		start = (uintptr_t)p;
		end = page_end(start, len);
		if (cm_gc_ranges_add(&cm_gc_heap.mapped, start, end) != 0)
			cm_gc_heap.blind = true;
		if (pending_n == PENDING_MAX) {
			table_add(&pending[0].r);
			memmove(&pending[0], &pending[1], sizeof pending - sizeof pending[0]);
			pending_n--;
		}
		pending[pending_n].r = (struct cardmark_run){ start, end };
		pending[pending_n++].heap = heap_now();
	}
	errno = saved;
	return p;
}

int cm_gc_hook_munmap(void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr, end = page_end(start, len);
	int saved = errno, result;

	for (size_t i = 0; i < tables_n;) {
		if (tables[i].start < end && tables[i].end > start)
			tables[i] = tables[--tables_n];
		else
			i++;
	}
	untrack(start, end);
	if (cm_gc_ranges_remove(&cm_gc_heap.heap, start, end) != 0 ||
	    cm_gc_ranges_remove(&cm_gc_heap.mapped, start, end) != 0)
		cm_gc_heap.blind = true;
	errno = saved;
	result = munmap(addr, len);
	if (result != 0) /* it still exists, and is in none of our lists */
		cm_gc_heap.blind = true;
	return result;
}

int cm_gc_hook_mprotect(void *addr, size_t len, int prot)
{
	uintptr_t start = (uintptr_t)addr, end = page_end(start, len);
	uint64_t t = cm_gc_world_stopped ? cm_now_ns() : 0;
	int saved, result;

	if (!(prot & PROT_WRITE) && !(cm_gc_heap.tracker.capabilities & CARDMARK_CAP_MPROTECT))
		untrack(start, end);
	result = mprotect(addr, len, prot);
	saved = errno;
	if ((prot & PROT_WRITE) && !(cm_gc_heap.tracker.capabilities & CARDMARK_CAP_MPROTECT))
		rearm(start, end);
	if (t) /* libgc's own mprotect mode arms its heap here */
		cm_gc_record_dirty(cm_now_ns() - t, 0);
	errno = saved;
	return result;
}

int cm_gc_hook_madvise(void *addr, size_t len, int advice)
{
	uintptr_t start = (uintptr_t)addr, end = page_end(start, len);
	/* The page that comes in for a dropped one may not be armed. */
	bool anew =
		advice == MADV_DONTNEED && !(cm_gc_heap.tracker.capabilities & CARDMARK_CAP_REMAP);
	int result, saved;

	if (anew)
		untrack(start, end);
	result = madvise(addr, len, advice);
	saved = errno;
	if (anew)
		rearm(start, end);
	errno = saved;
	return result;
}
