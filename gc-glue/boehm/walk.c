/* SPDX-License-Identifier: MIT
 *
 * The walk over all block headers, left out. At each stop libgc looks at the header of every
 * block of its heap in search of dirty ones (GC_push_next_marked_dirty in mark.c). The walk
 * begins at the first of a chain of index pages, and that word is in the exported GC_arrays. While
 * it is 0 the walk is over at once, and in the same step libgc pushes its roots: there
 * GC_push_other_roots, which is ours (large.c), puts the word back. At the bottom of the mark stack
 * is a pointer to an object of ours. Its mark procedure pushes the marked objects of dirty pages,
 * as many at a time as there is room for, and below them itself again.
 *
 * When: way A, and a pass that read the dirty bits with the world stopped. Such a pass belongs to
 * a partial collection, and the next thing that libgc does is the walk, or to start the world again
 * (the stop function said so). Then the event before the world starts puts the word back, and the
 * slices walk by libgc's own dirty bits, which it was given as ever.
 *
 * What is dirty: all memory that was not tracked when the pass was made, and the dirty cards of the
 * table. The table keeps these bits until the next pass. If by then not all of them were marked
 * from (the mark stack overflowed, and libgc marked from everything), they count once more.
 *
 * libgc's structures are not part of its interface. So at set-up each field that is used here is
 * proved, on objects of our own and by libgc's behaviour with them (walk_proof.c). If a field is
 * not where 8.2 has it, libgc keeps its walk.
 *
 * Under the allocation lock. Without a time limit libgc marks with several threads while that
 * thread holds it: so the mark procedure takes `busy`. */
#include "gc-glue/boehm/walk.h"

#define FARTHEST_BACK 4095u /* an entry up to this leads back so many blocks (MAX_JUMP) */
#define LARGEST_SMALL 2048u /* objects above have blocks of their own (MAXOBJBYTES) */
#define TAGS 3u             /* of a descriptor; 0: a length */
#define MOST_OF_A_BLOCK 257 /* entries: an object in each granule, and ours */
#define PUSHES 64           /* of one call, or so */
#define LOOKS 512           /* at entries of the index */
#define LOOKS_OF_A_BLOCK 8

struct cm_gc_walk cm_gc_walk = { .why_not = "no collection has been partial yet" };

enum { NEW, BUSY, READY, NEVER };
static _Atomic int state = NEW;
static struct cm_gc_ranges watched; /* when the pass was made */
static atomic_flag busy = ATOMIC_FLAG_INIT;

static struct {
	bool active;
	bool tracked;      /* the dirty piece that `at` is in */
	uintptr_t at, end; /* next block to look at; end of that piece */
	const struct cm_gc_index *index;
	uintptr_t whole; /* large object that was pushed whole */
} work;

/* ---- Pushing ------------------------------------------------------------------------ */

static struct cm_gc_mark_entry *add(struct cm_gc_mark_entry *top, uintptr_t start, uintptr_t descr)
{
	top++;
	top->start = (void *)start;
	top->descr = descr;
	cm_gc_walk.entries++;
	return top;
}

static bool is_length(uintptr_t descr)
{
	return (descr & TAGS) == 0;
}

/* Does the object at start count as marked? */
static bool is_live(const struct cm_gc_header *h, uintptr_t start)
{
	if ((h->flags & FLAG_UNCONDITIONAL) && !cm_gc_test(CM_GC_TEST_WALK_MARKED_ONLY))
		return (*(const uintptr_t *)start & 3) != 0;
	return h->mark[start % BLOCK / GRANULE] != 0;
}

/* Neighbours that are read from end to end become one entry. */
static struct cm_gc_mark_entry *push_small(struct cm_gc_mark_entry *top,
					   const struct cm_gc_header *h)
{
	bool join = is_length(h->descr) && h->descr + sizeof(uintptr_t) >= h->size;
	uintptr_t end = h->block + BLOCK - h->size, start;
	uintptr_t from = 0; /* of a run */

	for (start = h->block; start <= end; start += h->size) {
		bool live = is_live(h, start);

		if (live && !join)
			top = add(top, start, h->descr);
		else if (live && !from)
			from = start;
		if (!live && from) {
			top = add(top, from, start - from);
			from = 0;
		}
	}
	return from ? add(top, from, start - from) : top;
}

/* Of a large object that is marked, and read word by word, only this block: the others were marked
 * from when they were written to. */
static struct cm_gc_mark_entry *push_large(struct cm_gc_mark_entry *top,
					   const struct cm_gc_header *h, uintptr_t block)
{
	uintptr_t end = h->block + h->descr;

	if (!is_live(h, h->block))
		return top;
	if (!is_length(h->descr) || (h->flags & FLAG_UNCONDITIONAL)) {
		if (work.whole == h->block)
			return top;
		work.whole = h->block;
		return add(top, h->block, h->descr);
	}
	if (end > block + BLOCK)
		end = block + BLOCK;
	return end > block ? add(top, block, end - block) : top;
}

/* Of the block, whose entry is in this index. NULL: it has none. */
static const struct cm_gc_header *header_of(const struct cm_gc_index *index, uintptr_t block)
{
	uintptr_t entry;

	for (;;) {
		while (index && index->key > block >> INDEX_SHIFT)
			index = index->desc;
		if (!index || index->key != block >> INDEX_SHIFT)
			return NULL;
		entry = index->entry[(block >> BLOCK_SHIFT) % INDEX_BLOCKS];
		if (entry > FARTHEST_BACK || !entry)
			break;
		block -= entry << BLOCK_SHIFT;
	}
	return (const struct cm_gc_header *)entry;
}

static struct cm_gc_mark_entry *push_block(struct cm_gc_mark_entry *top, uintptr_t block)
{
	const struct cm_gc_header *h = header_of(work.index, block);

	cm_gc_walk.blocks++;
	if (!h || (h->flags & FLAG_FREE) || h->descr == 0)
		return top;
	if (!is_length(h->descr) && cm_gc_test(CM_GC_TEST_WALK_LENGTHS_ONLY))
		return top;
	return h->size <= LARGEST_SMALL ? push_small(top, h) : push_large(top, h, block);
}

/* ---- What is dirty ---------------------------------------------------------------------- */

/* The next dirty piece from work.at on. */
static bool next_piece(void)
{
	const struct cm_gc_ranges *w = &watched;
	struct cardmark_run run;
	uintptr_t at = work.at;

	for (size_t i = cm_gc_ranges_from(w, at); i < w->n; i++) {
		if (at < w->v[i].start && !cm_gc_test(CM_GC_TEST_WALK_TRACKED_ONLY)) {
			work.tracked = false;
			work.at = at;
			work.end = w->v[i].start;
			return true;
		}
		if (at < w->v[i].start)
			at = w->v[i].start;
		if (cardmark_table_next(cm_gc_heap.table, at, w->v[i].end, &run)) {
			work.tracked = true;
			work.at = run.start & ~(BLOCK - 1);
			work.end = run.end;
			return true;
		}
		at = w->v[i].end;
	}
	work.tracked = false;
	work.at = at;
	work.end = UINTPTR_MAX & ~(BLOCK - 1);
	return at < work.end && !cm_gc_test(CM_GC_TEST_WALK_TRACKED_ONLY);
}

/* Goes on to the next dirty block that has an entry in the index, with at most *looks looks. False:
 * there is none. If *looks is 0 then, the looks are used up, and the block has no entry either. */
static bool next_block(unsigned *looks)
{
	for (; *looks; --*looks) {
		uintptr_t key;

		if (work.at >= work.end && !next_piece())
			return false;
		key = work.at >> INDEX_SHIFT;
		while (work.index && work.index->key < key)
			work.index = work.index->asc;
		if (!work.index)
			return false;
		if (work.index->key > key)
			work.at = work.index->key << INDEX_SHIFT;
		else if (work.index->entry[(work.at >> BLOCK_SHIFT) % INDEX_BLOCKS])
			return true;
		else
			work.at += BLOCK;
	}
	return true;
}

/* No room for one block: do what libgc does when it cannot push. It throws away a part of the
 * stack, enlarges it, and marks from all marked objects. */
static struct cm_gc_mark_entry *overflow(struct cm_gc_mark_entry *limit)
{
	cm_gc_api.GC_clear_mark_bit((void *)cm_gc_own.spill);
	return cm_gc_api.GC_mark_and_push((void *)cm_gc_own.spill, limit - 1, limit, NULL);
}

/* The tests' build fills the part that libgc throws away, so that it is not empty. */
static struct cm_gc_mark_entry *no_room(struct cm_gc_mark_entry *top,
					struct cm_gc_mark_entry *limit)
{
	static unsigned calls;
	unsigned every = cm_gc_test(CM_GC_TEST_WALK_NO_ROOM);

	if (limit - top > MOST_OF_A_BLOCK && (!every || ++calls % every || limit - top < 1024))
		return NULL;
	if (cm_gc_test(CM_GC_TEST_WALK_NO_SPILL))
		return top;
	if (limit - top <= MOST_OF_A_BLOCK)
		return overflow(limit);
	for (int i = 0; i < 600; i++)
		top = add(top, (uintptr_t)cm_gc_own.holder, sizeof *cm_gc_own.holder);
	return overflow(top + 1);
}

static struct cm_gc_mark_entry *push_some(struct cm_gc_mark_entry *top,
					  struct cm_gc_mark_entry *limit)
{
	struct cm_gc_mark_entry *self = top + 1, *full = no_room(top, limit);
	unsigned looks = LOOKS;
	bool more = true;

	if (full) {
		work.active = false;
		return full;
	}
	top = add(top, cm_gc_own.pump, cm_gc_own.descr);
	while (top - self < PUSHES && limit - top > MOST_OF_A_BLOCK) {
		more = next_block(&looks);
		if (!more || !looks)
			break;
		if (!work.tracked || !cm_gc_test_drop())
			top = push_block(top, work.at);
		work.at += BLOCK;
		looks -= looks < LOOKS_OF_A_BLOCK ? looks : LOOKS_OF_A_BLOCK;
	}
	if (more)
		return top;
	/* An entry is never empty: the last one takes the place of ours. */
	work.active = false;
	*self = *top;
	return top - 1;
}

static struct cm_gc_mark_entry *mark_procedure(uintptr_t *object, struct cm_gc_mark_entry *top,
					       struct cm_gc_mark_entry *limit,
					       uintptr_t environment)
{
	(void)environment;
	/* Two threads that mark at once may both have found it unmarked: one is enough. */
	if ((uintptr_t)object != cm_gc_own.pump || atomic_flag_test_and_set(&busy))
		return top;
	if (work.active)
		top = push_some(top, limit);
	atomic_flag_clear(&busy);
	return top;
}

/* ---- The pass ---------------------------------------------------------------------- */

static void never(const char *why)
{
	cm_gc_walk.why_not = why;
	atomic_store_explicit(&state, NEVER, memory_order_relaxed);
}

static bool put_back(void)
{
	if (!cm_gc_own.hidden || cm_gc_test(CM_GC_TEST_WALK_NOT_BACK))
		return false;
	if (__atomic_load_n(cm_gc_own.word, __ATOMIC_RELAXED))
		never("libgc's index was changed while the walk was left out");
	__atomic_store_n(cm_gc_own.word, cm_gc_own.hidden, __ATOMIC_RELEASE);
	__atomic_store_n(&cm_gc_own.hidden, NULL, __ATOMIC_RELEASE);
	return true;
}

bool cm_gc_walk_put_back(void)
{
	return put_back();
}

void cm_gc_walk_hide_again(void)
{
	if (cm_gc_own.hidden || atomic_load_explicit(&state, memory_order_relaxed) != READY)
		return;
	cm_gc_own.hidden = *cm_gc_own.word;
	__atomic_store_n(cm_gc_own.word, NULL, __ATOMIC_RELEASE);
}

void cm_gc_walk_begins(void)
{
	if (!cm_gc_own.hidden) /* the event before the world started put it back */
		return;
	never("the walk was still left out when the next collection began");
	__atomic_store_n(cm_gc_own.word, cm_gc_own.hidden, __ATOMIC_RELEASE);
	__atomic_store_n(&cm_gc_own.hidden, NULL, __ATOMIC_RELEASE);
}

bool cm_gc_walk_unfinished(void)
{
	return work.active;
}

bool cm_gc_walk_take(const struct cardmark_run *left, size_t left_n, bool in_front)
{
	const struct cm_gc_ranges *t = &cm_gc_heap.tracked;

	if (work.active) { /* libgc walks by all that is dirty again */
		work.active = false;
		return false;
	}
	if (atomic_load_explicit(&state, memory_order_relaxed) != READY || !cm_gc_world_stopped ||
	    !in_front)
		return false;
	if (!*cm_gc_own.word || (*cm_gc_own.word)->desc) {
		never("libgc's index does not begin where it did");
		return false;
	}
	watched.n = 0;
	for (size_t i = 0; i < t->n; i++)
		if (cm_gc_ranges_add(&watched, t->v[i].start, t->v[i].end) != 0)
			return false;
	/* Memory that is no longer tracked is in no table, nor in `watched`. */
	for (size_t i = 0; i < left_n; i++)
		(void)cardmark_table_set_range(cm_gc_heap.table, (void *)left[i].start,
					       left[i].end - left[i].start);
	/* So that our object is marked from last. Also, GC_push_selected() of libgc takes an empty
	 * mark stack for a full one: it would push all of the first dirty root. */
	cm_gc_api.GC_push_all(cm_gc_own.holder, cm_gc_own.holder + 1);
	cm_gc_walk_hide_again();
	return true;
}

bool cm_gc_walk_push(void)
{
	if (!cm_gc_own.hidden)
		return false;
	work.at = work.end = work.whole = 0;
	work.index = cm_gc_own.hidden;
	(void)put_back();
	work.active = true;
	cm_gc_walk.left_out++;
	cm_gc_api.GC_clear_mark_bit((void *)cm_gc_own.pump);
	return true;
}

void cm_gc_walk_forget(void)
{
	work.active = false;
}

/* A thread has forked that libgc does not know, and so did not stop. */
void cm_gc_walk_child(void)
{
	(void)put_back();
	atomic_flag_clear(&busy);
}

/* ---- Setting it up ------------------------------------------------------------------ */

static void on_untrack(uintptr_t start, uintptr_t end)
{
	/* A call that fails forgets more than it was asked to. */
	if (work.active || cm_gc_own.hidden)
		(void)cm_gc_ranges_remove(&watched, start, end);
}

void cm_gc_walk_start(bool opened, bool pushed)
{
	int new = NEW;
	const char *why;

	if (cm_gc_config.way != CARDMARK_GC_WAY_A || !opened ||
	    !atomic_compare_exchange_strong_explicit(&state, &new, BUSY, memory_order_relaxed,
						     memory_order_relaxed))
		return;
	/* First: the proof takes the lock, so a thread that finds READY under the lock finds this,
	 * too. */
	__atomic_store_n(&cm_gc_heap.on_untrack, on_untrack, __ATOMIC_RELAXED);
	if (!cm_gc_config.walk)
		why = "CARDMARK_GC_WALK=libgc";
	else
		why = pushed ? cm_gc_walk_prove(mark_procedure)
			     : "libgc does not call the adapter where it pushes its roots";
	if (why) {
		if (cm_gc_config.walk)
			cm_gc_because("libgc walks over all block headers: %s", why);
		never(why);
		return;
	}
	cm_gc_walk.why_not = "";
	/* Read under the allocation lock, which this thread has released since the proof. */
	atomic_store_explicit(&state, READY, memory_order_release);
}
