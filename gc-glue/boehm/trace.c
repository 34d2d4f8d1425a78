/* SPDX-License-Identifier: MIT
 *
 * What happened last: a ring of notes, for the trace. Any thread adds to it, also with the world
 * stopped; any thread reads it, also a signal handler. Nobody waits.
 *
 * A slot's turn has the number of its note and 1, or shows that the slot is being written. The
 * thread that sets "being written" owns the slot. Another thread that finds this gives up its note,
 * which counts as lost. */
#include "gc-glue/boehm/tell.h"
#include "lib/os/own.h"

#include <sys/mman.h>

#define BUSY UINT64_MAX

struct slot {
	_Atomic uint64_t turn;
	struct cm_gc_note note;
};

static struct slot *slots;
static uint64_t slots_n = CM_GC_TRACE_NOTES;
static _Atomic uint64_t made;

int cm_gc_trace_start(void)
{
	void *p;
	int error = slots ? 0 : cm_own_map(CM_GC_TRACE_NOTES * sizeof *slots, &p);

	if (error == 0 && !slots)
		slots = p;
	if (cm_gc_test(CM_GC_TEST_TRACE_ROOM))
		slots_n = cm_gc_test(CM_GC_TEST_TRACE_ROOM);
	return error;
}

bool cm_gc_trace_is_on(void)
{
	return slots != NULL;
}

void cm_gc_trace_add(const struct cm_gc_note *note)
{
	uint64_t number, turn;
	struct slot *s;

	if (!slots)
		return;
	number = atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
	s = &slots[number % slots_n];
	turn = atomic_load_explicit(&s->turn, memory_order_relaxed);
	/* Acquire: pairs with the release below, of the owner before. */
	if (turn == BUSY ||
	    !atomic_compare_exchange_strong_explicit(&s->turn, &turn, BUSY, memory_order_acquire,
						     memory_order_relaxed))
		return;
	s->note = *note;
	/* Pairs with the acquire in cm_gc_trace_get(). */
	atomic_store_explicit(&s->turn, number + 1, memory_order_release);
}

uint64_t cm_gc_trace_range(uint64_t *first)
{
	uint64_t n = atomic_load_explicit(&made, memory_order_relaxed);

	*first = n > slots_n ? n - slots_n : 0;
	return n;
}

bool cm_gc_trace_get(uint64_t number, struct cm_gc_note *note)
{
	struct slot *s = &slots[number % slots_n];

	/* Pairs with the release in cm_gc_trace_add(). */
	if (atomic_load_explicit(&s->turn, memory_order_acquire) != number + 1)
		return false;
	*note = s->note;
	/* The copy comes before this look: if it was overwritten meanwhile, the turn differs. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&s->turn, memory_order_relaxed) == number + 1;
}

void cm_gc_trace_reset(void)
{
	atomic_store_explicit(&made, 0, memory_order_relaxed);
	if (slots) /* reads as zeros, and the child of a fork copies no page for it */
		(void)madvise(slots, CM_GC_TRACE_NOTES * sizeof *slots, MADV_DONTNEED);
}
