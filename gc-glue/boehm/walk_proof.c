/* SPDX-License-Identifier: MIT
 *
 * Proves that libgc's structures are those of walk.h, on two objects of a kind of our own: their
 * header is found by way of the word that is to be hidden, each of its fields has the value that
 * only they can have, and libgc itself, which enumerates its objects by way of that word, finds
 * nothing when it is 0 and these two when it leads to an index that has their block alone. */
#include "gc-glue/boehm/walk.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define KIND_UNCOLLECTABLE 2 /* of gc_mark.h */
#define TAG_PROCEDURE 2u     /* GC_DS_PROC */
#define PROCEDURE_SHIFT 2

struct cm_gc_own cm_gc_own;

/* Reads from what may not be an address, by a call that does not fault. */
static bool read_safely(const void *from, void *to, size_t n)
{
	struct iovec local = { to, n }, remote = { (void *)from, n };

	return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* A chain from first to last, in order of address, with links both ways, that has the key. */
static bool is_chain(const struct cm_gc_index *first, const struct cm_gc_index *last, uintptr_t key)
{
	const struct cm_gc_index *before = NULL, *i = first;
	bool found = false;
	struct {
		struct cm_gc_index *asc, *desc;
		uintptr_t key;
	} links = { 0 };
	uintptr_t key_before = 0;

	for (; i; before = i, key_before = links.key, i = links.asc) {
		if (((uintptr_t)i & (sizeof i - 1)) ||
		    !read_safely(&i->asc, &links, sizeof links) || links.desc != before ||
		    (before && links.key <= key_before))
			return false;
		found = found || links.key == key;
	}
	return found && before == last;
}

/* The only pair of neighbours in GC_arrays that are both ends of one. */
static struct cm_gc_index **find_word(void)
{
	struct cm_gc_index **at = cm_gc_arrays(), **found = NULL;

	for (int i = 0; at && i + 1 < CM_GC_ARRAYS_WORDS; i++) {
		if (!at[i] || !at[i + 1] ||
		    !is_chain(at[i], at[i + 1], cm_gc_own.pump >> INDEX_SHIFT))
			continue;
		if (found)
			return NULL;
		found = &at[i];
	}
	return found;
}

/* Its mark, and nothing else near it, follows libgc's calls. */
static bool mark_is_here(struct cm_gc_header *h, uintptr_t object)
{
	size_t i = object % BLOCK / GRANULE;
	uint8_t before[sizeof h->mark];
	bool same;

	cm_gc_api.GC_clear_mark_bit((void *)object);
	memcpy(before, h->mark, sizeof before);
	cm_gc_api.GC_set_mark_bit((void *)object);
	same = before[i] == 0 && h->mark[i] == 1;
	before[i] = 1;
	return same && memcmp(before, h->mark, sizeof before) == 0;
}

static struct {
	unsigned ours, other;
} seen;

static void enumerate(void *object, size_t bytes, void *arg)
{
	(void)bytes;
	(void)arg;
	if ((uintptr_t)object == cm_gc_own.pump || (uintptr_t)object == cm_gc_own.spill)
		seen.ours++;
	else
		seen.other++;
}

/* How many of our objects libgc finds when it begins at first, and that there are no others. */
static bool finds(struct cm_gc_index *first, unsigned n)
{
	struct cm_gc_index *before = *cm_gc_own.word;

	cm_gc_own.hidden = before; /* for a fork child of another thread */
	seen.ours = seen.other = 0;
	__atomic_store_n(cm_gc_own.word, first, __ATOMIC_RELEASE);
	cm_gc_api.GC_enumerate_reachable_objects_inner(enumerate, NULL);
	__atomic_store_n(cm_gc_own.word, before, __ATOMIC_RELEASE);
	__atomic_store_n(&cm_gc_own.hidden, NULL, __ATOMIC_RELEASE);
	return seen.ours == n && seen.other == 0;
}

/* With an index that has the block of our objects alone libgc finds these; without one, or if the
 * block is called free, none. */
static bool works(struct cm_gc_header *h)
{
	static struct cm_gc_index alone;
	bool good;

	alone.key = h->block >> INDEX_SHIFT;
	alone.entry[(h->block >> BLOCK_SHIFT) % INDEX_BLOCKS] = (uintptr_t)h;
	good = finds(NULL, 0) && finds(&alone, 2);
	h->flags |= FLAG_FREE;
	good = good && finds(&alone, 0);
	h->flags &= (uint8_t)~FLAG_FREE;
	return good;
}

static const char *prove(int kind)
{
	uintptr_t block = cm_gc_own.pump & ~(BLOCK - 1);
	const struct cm_gc_index *i;
	struct cm_gc_header *h, copy;
	size_t size = 0;

	cm_gc_own.word = find_word();
	if (!cm_gc_own.word)
		return "libgc's index of blocks was not found, or may not be read";
	for (i = *cm_gc_own.word; i->key != cm_gc_own.pump >> INDEX_SHIFT; i = i->asc)
		;
	h = (struct cm_gc_header *)i->entry[(block >> BLOCK_SHIFT) % INDEX_BLOCKS];
	if ((uintptr_t)h % sizeof(void *) || !read_safely(h, &copy, sizeof copy))
		return "libgc's index has another form than in 8.2";
	if (cm_gc_api.GC_get_kind_and_size((void *)cm_gc_own.pump, &size) != kind ||
	    h->block != block || h->kind != kind || h->size != size ||
	    h->descr != cm_gc_own.descr || size % GRANULE || h->flags != FLAGS_UNCONDITIONAL ||
	    (cm_gc_own.spill & ~(BLOCK - 1)) != block)
		return "libgc's block headers have another form than in 8.2";
	if (!mark_is_here(h, cm_gc_own.pump) || !mark_is_here(h, cm_gc_own.spill))
		return "libgc does not keep its marks as a byte for each granule";
	return works(h) ? NULL : "libgc does not find its blocks by its index";
}

static void *prove_locked(void *kind)
{
	return (void *)prove(*(int *)kind);
}

static int keep_nothing(void *object)
{
	(void)object;
	return 0;
}

static const char *make_ours(cm_gc_mark_fn *procedure, int *kind)
{
	const struct cm_gc_api *api = &cm_gc_api;
	void **lists = api->GC_new_free_list();

	cm_gc_own.descr =
		((uintptr_t)api->GC_new_proc(procedure) << PROCEDURE_SHIFT) | TAG_PROCEDURE;
	*kind = (int)api->GC_new_kind(lists, cm_gc_own.descr, 0, 1);
	api->GC_register_disclaim_proc(*kind, keep_nothing, 1);
	cm_gc_own.holder = api->GC_generic_malloc_uncollectable(2 * sizeof *cm_gc_own.holder,
								KIND_UNCOLLECTABLE);
	if (!cm_gc_own.holder)
		return "no memory";
	cm_gc_own.holder[0] = (uintptr_t)api->GC_generic_malloc(2 * GRANULE, *kind);
	cm_gc_own.holder[1] = (uintptr_t)api->GC_generic_malloc(2 * GRANULE, *kind);
	cm_gc_own.pump = cm_gc_own.holder[0];
	cm_gc_own.spill = cm_gc_own.holder[1];
	return cm_gc_own.pump && cm_gc_own.spill ? NULL : "no memory";
}

static const char *why_never(void)
{
	const struct cm_gc_api *api = &cm_gc_api;

	if (cardmark_card_size() != BLOCK)
		return "pages are not 4 KiB";
	if (!api->GC_new_free_list || !api->GC_new_kind || !api->GC_new_proc ||
	    !api->GC_register_disclaim_proc || !api->GC_clear_mark_bit || !api->GC_set_mark_bit ||
	    !api->GC_mark_and_push || !api->GC_call_with_alloc_lock ||
	    !api->GC_enumerate_reachable_objects_inner || !api->GC_generic_malloc_uncollectable)
		return "this libgc lacks a function that is needed for it";
	return NULL;
}

const char *cm_gc_walk_prove(cm_gc_mark_fn *procedure)
{
	const char *why = why_never();
	int kind = 0;

	if (!why)
		why = make_ours(procedure, &kind);
	return why ? why : cm_gc_api.GC_call_with_alloc_lock(prove_locked, &kind);
}
