/* SPDX-License-Identifier: MIT
 * Mark and sweep, young and full. */
#include "examples/minigc/collect.h"

#include "examples/minigc/barrier.h"
#include "examples/minigc/heap.h"
#include "examples/minigc/side.h"
#include "examples/minigc/stats.h"
#include "examples/minigc/verify.h"

/* Marked objects whose slots have yet to be looked at. Each enters once, so there is
 * room for all of them from the start, and marking cannot run out of memory. */
static struct object **pending;
static size_t n_pending;

static uint64_t scanned;
static size_t full_at; /* live bytes that make the next collection a full one */

void collect_open(void)
{
	size_t most = config.heap_limit + (config.mutators + 1) * config.nursery;

	pending = side_reserve(most / GRANULE * sizeof(struct object *));
	if (pending == NULL)
		fatal("no memory for the mark stack");
	full_at = config.nursery * 4;
}

/* ---- Mark ------------------------------------------------------------------------- */

static void mark(value v)
{
	/* If cards were forgotten, a dead old object may point to freed memory. */
	if (config.drop && is_object(v) && !side_is_start(v))
		return;
	if (is_object(v) && side_mark(object_of(v)))
		pending[n_pending++] = object_of(v);
}

/* Those slots of an old object that lie in [start, end): of a large vector only the
 * dirty part. A slot lies in one card as a whole. */
static void mark_from_old(struct object *o, uintptr_t start, uintptr_t end)
{
	value *slot = o->slot, *last = slot + object_slots(o);

	if ((uintptr_t)slot < start)
		slot = (value *)start;
	if ((uintptr_t)last > end)
		last = (value *)end;
	scanned++;
	for (; slot < last; slot++)
		mark(*slot);
}

static void mark_from_range(uintptr_t start, uintptr_t end)
{
	side_each_marked(start, end, mark_from_old);
}

static void mark_all_pending(void)
{
	while (n_pending > 0) {
		struct object *o = pending[--n_pending];

		for (size_t i = 0; i < object_slots(o); i++)
			mark(o->slot[i]);
	}
}

/* ---- Sweep ------------------------------------------------------------------------ */

/* Frees what starts in this word of the bitmaps and is not marked. */
static size_t sweep_word(struct mutator *m, struct chunk *c, size_t w)
{
	uint64_t dead = atomic_load_explicit(&c->start[w], memory_order_relaxed) & ~c->mark[w];
	size_t freed = 0;

	if (dead == 0)
		return 0;
	/* Before heap_free(): a freed object may be allocated again, once the world runs. */
	atomic_store_explicit(&c->start[w], c->mark[w], memory_order_relaxed);
	for (; dead != 0; dead &= dead - 1) {
		size_t granule = w * 64 + (size_t)__builtin_ctzll(dead);
		struct object *o = (struct object *)(c->base + granule * GRANULE);
		size_t bytes = object_bytes(o);

		heap_free(m, o, bytes);
		freed += bytes;
	}
	return freed;
}

/* A young collection can only free what was allocated since the last one. */
static size_t sweep(struct mutator *m, bool full)
{
	size_t freed = 0;

	for (struct chunk *c = side_chunks(); c != NULL; c = c->next)
		for (size_t i = 0; i < BLOCKS / 64; i++) {
			uint64_t blocks = atomic_load_explicit(&c->fresh[i], memory_order_relaxed);

			atomic_store_explicit(&c->fresh[i], 0, memory_order_relaxed);
			if (full)
				blocks = ~UINT64_C(0);
			for (; blocks != 0; blocks &= blocks - 1) {
				size_t b = i * 64 + (size_t)__builtin_ctzll(blocks);

				for (size_t k = 0; k < BLOCK_WORDS; k++)
					freed += sweep_word(m, c, b * BLOCK_WORDS + k);
			}
		}
	return freed;
}

/* --verify poisons freed objects. That dirties cards, which would hide writes there that the
 * tracker misses. Only the sweep has written since the last collect. */
static void wipe_off_poison(void)
{
	if (!config.verify)
		return;
	barrier_take();
	barrier_forget();
}

/* ---- A collection --------------------------------------------------------------------- */

static uint64_t lap(uint64_t *at)
{
	uint64_t before = *at;

	*at = stats_now();
	return *at - before;
}

static void collect_stopped(struct mutator *m, struct pause *p, uint64_t *at)
{
	uint64_t cpu = stats_cpu();

	scanned = 0;
	barrier_take();
	p->phase[PHASE_CARDS] = lap(at);
	if (p->full)
		side_clear_marks();
	else
		barrier_visit(mark_from_range);
	p->phase[PHASE_SCAN] = lap(at);
	world_roots(mark);
	mark_all_pending();
	/* Not earlier: if marking ended early, the next collection would need the cards. */
	barrier_forget();
	if (config.verify)
		verify_marks();
	p->phase[PHASE_MARK] = lap(at);
	for (struct mutator *each = world_mutators(); each != NULL; each = each->next) {
		stats_allocated(each->allocated);
		heap.live += each->allocated;
		each->allocated = 0;
	}
	heap.live -= sweep(m, p->full);
	wipe_off_poison();
	p->phase[PHASE_SWEEP] = lap(at);
	p->dirty = p->full ? 0 : barrier.dirty;
	p->scanned = scanned;
	p->end = *at;
	p->cpu = stats_cpu() - cpu;
	stats_add(p);
	if (p->full)
		full_at = heap.live * 2 > config.nursery * 4 ? heap.live * 2 : config.nursery * 4;
}

/* Bytes that may still be allocated. */
static size_t room(void)
{
	return heap.live < config.heap_limit ? config.heap_limit - heap.live : 0;
}

void collect(struct mutator *m, size_t bytes, enum collect_how how)
{
	struct pause p = { .start = stats_now() };
	size_t least = bytes > config.nursery / 8 ? bytes : config.nursery / 8;
	uint64_t at;

	/* If preclean fails, the collect finds everything. */
	if (config.preclean && config.barrier == BARRIER_CARDMARK)
		(void)cardmark_preclean(heap.cm);
	at = p.start = stats_now();
	if (!world_stop())
		return;
	p.phase[PHASE_STOP] = lap(&at);
	p.full = how == COLLECT_FULL || config.barrier == BARRIER_NONE || heap.live >= full_at;
	collect_stopped(m, &p, &at);
	if (!p.full && room() < config.nursery) {
		/* Another collection in the same stop, which then has two entries. */
		p = (struct pause){ .full = true, .start = at };
		collect_stopped(m, &p, &at);
	}
	for (struct mutator *each = world_mutators(); each != NULL; each = each->next)
		each->budget =
			(room() < config.nursery ? room() : config.nursery) / config.mutators;
	if (m->budget < bytes)
		m->budget = bytes;
	world_start();
	/* With almost no room, each allocation would cause a collection. */
	if (room() < least)
		lisp_error("out of memory: %zu bytes of %zu are live, and %zu more are wanted",
			   heap.live, config.heap_limit, bytes);
}
