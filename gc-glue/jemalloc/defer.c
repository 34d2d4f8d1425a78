/* SPDX-License-Identifier: MIT
 *
 * The arena's lock, and the notes of hooks that cannot have it because of a fork: a hook pushes a
 * note, and the next thread that has the lock enters it. Readers without the lock look for notes
 * first. A hook returns only after its note is in the list, and a note is in the list, or being
 * entered, until the map has it. So readers find a trace of all memory that a thread can have. */
#include "gc-glue/jemalloc/glue.h"

#include <sys/mman.h>

static bool try_enter(struct cardmark_jemalloc *je)
{
	if (pthread_mutex_trylock(&je->lock) != 0)
		return false;
	cm_je_enter_notes(je);
	return true;
}

bool cm_je_enter_hook(struct cardmark_jemalloc *je, sigset_t *saved)
{
	cm_signals_block(saved);
	for (unsigned turn = 0; !try_enter(je); turn++) {
		/* In a copy made by clone(2) the thread that has it may not exist. */
		if (cm_je_forking() || (turn % 1024 == 1023 && cm_je_is_copy())) {
			cm_signals_restore(saved);
			return false;
		}
		cm_je_pause(turn);
	}
	return true;
}

bool cm_je_enter(struct cardmark_jemalloc *je, sigset_t *saved, uint64_t wait_ns)
{
	struct cm_wait wait = { .bound_ns = wait_ns };

	if (wait_ns > CM_JE_WAIT_LONG_NS && cm_je_is_copy())
		wait.bound_ns = CM_JE_WAIT_LONG_NS; /* the thread that has it may not exist */
	cm_signals_block(saved);
	for (unsigned turn = 0; !try_enter(je); turn++) {
		if (cm_wait_is_over(&wait, cm_now_ns())) {
			cm_signals_restore(saved);
			return false;
		}
		cm_je_pause(turn);
	}
	return true;
}

void cm_je_leave(struct cardmark_jemalloc *je, const sigset_t *saved)
{
	(void)pthread_mutex_unlock(&je->lock);
	cm_signals_restore(saved);
}

static bool is_own(const struct cardmark_jemalloc *je, const struct cm_je_note *note)
{
	return note >= je->notes && note < je->notes + CM_JE_NOTES;
}

static struct cm_je_note *new_note(struct cardmark_jemalloc *je)
{
	for (size_t i = 0; i < CM_JE_NOTES; i++)
		/* Pairs with the release in free_note. */
		if (!atomic_exchange_explicit(&je->notes[i].taken, true, memory_order_acquire))
			return &je->notes[i];
	return cm_je_map_memory(cardmark_card_size(), PROT_READ | PROT_WRITE);
}

static void free_note(struct cardmark_jemalloc *je, struct cm_je_note *note)
{
	if (is_own(je, note))
		atomic_store_explicit(&note->taken, false, memory_order_release);
	else
		cm_je_unmap_memory(note, cardmark_card_size());
}

void cm_je_defer(struct cardmark_jemalloc *je, enum cm_je_event event, uintptr_t start,
		 uintptr_t end, unsigned flags)
{
	struct cm_je_note *note = new_note(je), *next;

	CM_JE_COUNT(je, deferred);
	if (note == NULL) {
		CM_JE_COUNT(je, ranges_overflown);
		return;
	}
	note->event = event;
	note->start = start;
	note->end = end;
	note->flags = flags;
	next = atomic_load_explicit(&je->noted, memory_order_relaxed);
	do {
		note->next = next;
		/* One step before, the hook has not returned: no thread has the memory. One step
		 * after, readers find the note. The release pairs with the acquires in
		 * cm_je_has_notes and in cm_je_enter_notes. */
	} while (!atomic_compare_exchange_weak_explicit(
		&je->noted, &next, note, memory_order_release, memory_order_relaxed));
}

static void enter_note(struct cardmark_jemalloc *je, const struct cm_je_note *note)
{
	switch (note->event) {
	case CM_JE_MAPPED:
		/* Not tracked here: a caller that has collected already and now asks for dirty
		 * cards must still get this range. The next collect tracks it. */
		cm_je_put(je, note->start, note->end, note->flags);
		break;
	case CM_JE_DECOMMITTED:
	case CM_JE_DISCARDED:
		cm_je_enter_discard(je, note->event, note->start, note->end, note->flags);
		break;
	case CM_JE_DESTROYED:
		(void)cm_je_unwatch(je, note->start, note->end);
		cm_je_drop(je, note->start, note->end);
		je->inner->destroy(je->inner, (void *)note->start, note->end - note->start,
				   note->flags != 0, je->arena);
		break;
	}
}

void cm_je_enter_notes(struct cardmark_jemalloc *je)
{
	struct cm_je_note *note, *oldest = NULL, *next;

	if (!cm_je_has_notes(je))
		return;
	/* One step before the exchange, readers find the notes; one step after, that they are
	 * being entered. In a copy of the process made here (clone(2)) it stays so. */
	atomic_store_explicit(&je->entering, true, memory_order_relaxed);
	note = atomic_exchange_explicit(&je->noted, NULL, memory_order_acq_rel);
	for (; note != NULL; note = next) {
		next = note->next;
		note->next = oldest;
		oldest = note;
	}
	for (note = oldest; note != NULL; note = next) {
		next = note->next;
		if (!je->gone)
			enter_note(je, note);
		free_note(je, note);
	}
	/* Pairs with the acquire in cm_je_has_notes: the map has it all. */
	atomic_store_explicit(&je->entering, false, memory_order_release);
}
