/* SPDX-License-Identifier: MIT
 *
 * What the mprotect backend does to memory.
 *
 * Making memory writable again must not need anything that a program can lose: when its memory is
 * written, untracked or given up at close, it may have no /proc and no descriptor any more. */
#include "lib/backend/protection.h"

#include "lib/backend/holes.h"
#include "lib/os/os.h"

#include <errno.h>
#include <sys/mman.h>

#define RETRIES 1000 /* of one address, about which the kernel reports nothing */

struct cm_trap *cm_traps;

/* The address that last trapped without a known reason, and how often. Under the lock. */
static uintptr_t retry_addr;
static unsigned retries;

/* ---- Ranges ---------------------------------------------------------------- */

const struct cm_ranges *cm_trap_ranges(const struct cm_trap *t)
{
	unsigned changing = atomic_load_explicit(&t->changing, memory_order_relaxed);

	return &t->copy[changing == 1 ? 1 : 0];
}

int cm_trap_reserve_ranges(struct cm_trap *t, size_t n)
{
	int error = cm_ranges_reserve(&t->copy[0], n);

	return error < 0 ? error : cm_ranges_reserve(&t->copy[1], n);
}

/* A child that is cloned one step before a
 * store of `changing` takes the other copy, one step after it this one: whole either way. */
void cm_trap_change_ranges(struct cm_trap *t, const struct cm_range *range, bool add)
{
	for (unsigned i = 0; i < 2; i++) {
		atomic_store_explicit(&t->changing, i + 1, memory_order_release);
		atomic_thread_fence(memory_order_release);
		if (add)
			cm_ranges_add(&t->copy[i], *range);
		else
			cm_ranges_remove(&t->copy[i], range->start, range->end);
	}
	atomic_store_explicit(&t->changing, 0, memory_order_release);
}

/* ---- Protection ------------------------------------------------------------ */

int cm_trap_protect(struct cm_trap *t, uintptr_t start, uintptr_t end, int prot)
{
	CM_COUNT(t->b.params.counters->kernel_calls);
	int error = cm_os->mprotect(start, end - start, prot);
	if (error < 0)
		cm_note_errno(t->b.params.counters, error);
	return error;
}

/* Nothing can report what is mapped there. Mappings that the program has put in between or sealed
 * (EACCES, EPERM) stay as they are; memory behind them is ours again. */
static bool give_back_unasked(struct cm_trap *t, uintptr_t start, uintptr_t end, int prot)
{
	size_t card = cardmark_card_size();
	struct cardmark_run run = { start, end };
	bool good = true;
	int found;

	while ((found = cm_next_mapped(start, end, prot, &run)) > 0) {
		int error = cm_trap_protect(t, run.start, run.end, prot);
		good &= error != -ENOMEM;
		for (start = run.end; error < 0 && error != -ENOMEM && run.start < run.end;
		     run.start += card)
			good &= cm_trap_protect(t, run.start, run.start + card, prot) != -ENOMEM;
	}
	for (; found < 0 && start < end; start += card) /* nor that */
		good &= cm_trap_protect(t, start, start + card, prot) != -ENOMEM;
	return good;
}

/* Makes writable what we protected of [start, end), part of a range with this
 * protection. Mapping by mapping if one call fails: whole mappings need no split, and holes are
 * skipped. False: the process can have no more mappings. */
static bool give_back(struct cm_trap *t, uintptr_t start, uintptr_t end, int prot)
{
	bool good = true;

	if (cm_trap_protect(t, start, end, prot) == 0)
		return true;
	while (start < end) {
		struct cm_vma vma;
		if (cm_os->vma_at(start, &vma) < 0)
			return give_back_unasked(t, start, end, prot) && good;
		if (vma.start < start)
			vma.start = start;
		if (vma.end > end)
			vma.end = end;
		if (vma.start >= vma.end)
			break;
		if (vma.prot == (prot & ~PROT_WRITE))
			good &= cm_trap_protect(t, vma.start, vma.end, prot) != -ENOMEM;
		start = vma.end;
	}
	return good;
}

/* The range of any tracker that holds at, or NULL. */
static const struct cm_range *range_at(uintptr_t at)
{
	for (const struct cm_trap *t = cm_traps; t != NULL; t = t->next) {
		const struct cm_ranges *r = cm_trap_ranges(t);
		size_t i = cm_ranges_find(r, at);
		if (i < r->n && r->v[i].start <= at)
			return &r->v[i];
	}
	return NULL;
}

/* If the process can have no more mappings, no mapping can be cut. Then make all memory writable
 * that may lie in the same mapping: the adjacent ranges of all trackers. */
static bool make_written_with_neighbours(struct cm_trap *t, uintptr_t start, uintptr_t end)
{
	const struct cm_range *r;
	bool good = true;

	while ((r = range_at(start - 1)) != NULL)
		start = r->start;
	while ((r = range_at(end)) != NULL)
		end = r->end;
	for (struct cm_trap *o = cm_traps; o != NULL; o = o->next) {
		if (cm_ranges_touch(cm_trap_ranges(o), start, end))
			cm_note_guess(o->b.params.counters, start, end);
		cm_ranges_mark(cm_trap_ranges(o), (struct cardmark_run){ start, end }, &o->written);
	}
	while (start < end && (r = range_at(start)) != NULL) {
		uintptr_t from = start;
		int prot = r->prot;

		for (; start < end && r != NULL && r->prot == prot; r = range_at(start))
			start = r->end;
		good &= give_back(t, from, start, prot);
	}
	return good;
}

bool cm_trap_make_written(struct cm_trap *t, uintptr_t start, uintptr_t end)
{
	const struct cm_ranges *all = cm_trap_ranges(t);
	bool good = true;

	for (size_t i = cm_ranges_find(all, start); i < all->n && all->v[i].start < end; i++) {
		struct cm_range r = cm_ranges_clip(all, i, start, end);
		cm_cards_set(&t->written, r.start, r.end);
		if (!give_back(t, r.start, r.end, r.prot))
			good &= make_written_with_neighbours(t, r.start, r.end);
	}
	return good;
}

/* ---- The handler ----------------------------------------------------------- */

/* After a fault at an unknown addr: may the write be tried again? Another thread may have resolved
 * or untracked the card meanwhile. */
static bool may_retry(uintptr_t addr)
{
	int writable = cm_os->writable(addr);

	if (writable >= 0)
		return writable > 0;
	/* A sandbox may forbid the question. A fault that is not ours would trap for ever. */
	retries = retry_addr == addr ? retries + 1 : 1;
	retry_addr = addr;
	return retries < RETRIES;
}

static bool resolve_in(struct cm_trap *t, const struct cm_range *r, uintptr_t card)
{
	size_t size = cardmark_card_size();
	bool first = !cm_cards_test(&t->written, card);

	CM_COUNT(t->b.params.counters->faults);
	t->other_threads |= !pthread_equal(pthread_self(), t->opener);
	/* Two threads wrote to the card at once, and the other thread was here first; or a call
	 * that failed part-way has left it protected. */
	if (!first && cm_os->writable(card) > 0)
		return true;
	cm_cards_set(&t->written, card, card + size);
	if (cm_trap_protect(t, card, card + size, r->prot) == 0)
		return true;
	/* The process can have no more mappings (vm.max_map_count): a whole range needs fewer. */
	cm_note_guess(t->b.params.counters, r->start, r->end);
	(void)cm_trap_make_written(t, r->start, r->end);
	return may_retry(card);
}

bool cm_trap_resolve(uintptr_t addr)
{
	uintptr_t card = addr & ~(uintptr_t)(cardmark_card_size() - 1);

	for (struct cm_trap *t = cm_traps; t != NULL; t = t->next) {
		const struct cm_ranges *r = cm_trap_ranges(t);
		size_t i = cm_ranges_find(r, addr);
		if (i < r->n && r->v[i].start <= addr)
			return resolve_in(t, &r->v[i], card);
	}
	return may_retry(addr);
}
