/* SPDX-License-Identifier: MIT
 *
 * The protocol of the tracker and its backends, for spin: can any interleaving
 * lose a write? docs/model.md has the questions, the answers and what is left out.
 *
 * All threads loop for ever, so nothing bounds the number of writes, precleans and
 * collects. Sets of cards are bit masks. -DBREAK_x breaks a rule; -DFORK, -DSOFTDIRTY and
 * -DCONSUMERS are models of their own. Who asks is 0, the tracker; the child of the one and the
 * second consumer of the other is 1. */
#include "reached.pml"
#define CARDS 2
#define ALL 3
#define SPAN(from, to) (BIT(to) - BIT(from))

/* ---- What is proved ------------------------------------------------------------------ */

byte unseen[2] = ALL; /* written since a collect last came to the card */
byte owed[2];         /* written before this collect came to it: must be in its report */

inline wrote(m, cards)
{
	add(unseen[m], cards)
#ifdef CONSUMERS
	;
	add(unseen[1], cards)
#endif
}

inline come_to(asker, cards)
{
	add(owed[asker], unseen[asker] & (cards));
	take(unseen[asker], cards)
}

/* With -DFOR_GOOD a write may be late: lost is what no later report has either. (Not
 * judged while somebody is inside: a preclean may have it in hand.) */
#if !defined(FOR_GOOD)
#define to_come(m) 0
#elif defined(BREAK_R2)
#define to_come(m) (locked -> ALL : registered[m] & ~marked[m] | kept[0])
#elif defined(BREAK_R5_CHILD) /* its writes alone are judged: nothing ever scans its memory */
#define to_come(m) (m == 0 -> ALL : 0)
#elif defined(BREAK_JOIN)
#define to_come(m) (locked -> ALL : ~registered[m] | ~marked[m])
#elif defined(CONSUMERS)
#define to_come(m) (locked -> ALL : ~registered[0] | ~marked[0] | kept[m])
#else
#define to_come(m) (locked -> ALL : ~registered[m] | ~marked[m] | kept[m])
#endif

inline deliver(asker, report)
{
	assert((owed[asker] & ~report & ~to_come(asker)) == 0); /* no write is lost */
	owed[asker] = 0;
	report = 0
}

/* ---- The program, its tracker, its child ------------------------------------------- */

#include "kernel.pml"
#include "library.pml"

bool locked;  /* the tracker */
byte kept[2]; /* what precleans found, or another consumer's collect */
#ifdef BREAK_GUESS_ALONE
byte guesses; /* of one collect */
#endif
bool stopped; /* the world: mutators stop wherever they are */

/* Two mutators. A thread needs no memory of what it does next: anything. */
active [2] proctype mutator()
{
end:	do
	:: atomic { !stopped -> write(0, 0) }
	:: atomic { !stopped -> write(0, 1) }
	od
}

#if !defined(FORK) && !defined(SOFTDIRTY) && !defined(CONSUMERS)
/* What programs do besides. */
active proctype program()
{
	bit card;

end:	do
	:: atomic { !stopped -> /* other memory comes there, by mmap or mremap */
		if :: card = 0 :: card = 1 fi;
		unregister(0, BIT(card));
		add(unseen[0], BIT(card));
		card = 0 }
	:: atomic { !stopped -> /* closes descriptors that it does not know */
		uffd_open[0] = false;
		unregister(0, ALL) }
	:: atomic { !stopped -> pagemap_open[0] = false }
	:: atomic { !stopped && !locked -> /* cardmark_track() of what is tracked */
		locked = true;
		if :: card = 0 :: card = 1 fi };
		atomic { !stopped -> add(registered[0], BIT(card)) };
		atomic { !stopped -> unprotect(0, BIT(card)); add(unseen[0], BIT(card)); card = 0 };
		atomic { !stopped -> locked = false }
	od
}

#endif

#if !defined(FORK) && !defined(SOFTDIRTY)
/* Runs beside everything. Its signals are blocked: never stopped inside. */
active proctype preclean()
{
	byte at, to, start, vec, found;
	bool failed, again;

end:	do
	:: atomic { !locked ->
		locked = true;
		if :: at = 0; to = 1 :: at = 1; to = 2 :: at = 0; to = 2 fi };
#if defined(BREAK_R8)
		atomic { protect(0, SPAN(at, to)) }; /* armed, not harvested */
#elif defined(CONSUMERS)
		harvest_chunk(0, 0, false, found);
		add(kept[0], found);
#ifdef BREAK_LATE_HAND_OVER
		atomic { locked = false };
#endif
#ifndef BREAK_PRECLEAN_ALONE
		add(kept[1], found);
#endif
		found = 0;
#else
		harvest_chunk(0, 0, false, kept[0]);
#endif
#ifdef BREAK_LATE_HAND_OVER
		atomic { at = 0; to = 0 }
#else
		atomic { locked = false; at = 0; to = 0 }
#endif
	od
}
#endif

/* What one has taken is kept for the other. */
inline hand_over()
{
	atomic {
#ifdef BREAK_GUESS_ALONE
		add(kept[1 - asker], report & ~guesses);
		guesses = 0
#else
		add(kept[1 - asker], report);
#endif
	}
}

#ifndef CONSUMERS
#define asker 0
#endif

active proctype collector()
{
	byte report, at, to, start, vec;
	bool failed, again;
#ifdef CONSUMERS
	bit asker; /* one after the other: the lock sees to that */
#endif

	do
	:: atomic {
#ifdef CONSUMERS
		if :: asker = 0 :: asker = 1 fi;
#endif
		if
		:: stopped = true
#if !defined(SOFTDIRTY) || defined(BREAK_R12)
		:: true /* mutators go on */
#endif
		fi;
		come_to(asker, ALL) };
		if
		:: atomic { !locked -> locked = true };
#ifdef BREAK_EARLY_CLEAR
			kept[asker] = 0;
#endif
			harvest(0, asker, report);
#if defined(CONSUMERS) && !defined(BREAK_HAND_OVER)
			hand_over();
#endif
#ifdef BREAK_LATE_JOIN
			locked = false;
#endif
#ifndef BREAK_JOIN
			atomic {
				reached("a write is known from a preclean alone",
					owed[asker] & kept[asker] & ~report);
#ifdef CONSUMERS
				reached("one is told what another took",
					asker == 1 && owed[1] & kept[1] & ~kept[0] & ~report);
#endif
				add(report, kept[asker]);
				come_to(asker, kept[asker]) };
			kept[asker] = 0;
#endif
#ifdef BREAK_LATE_JOIN
			skip
#else
			locked = false
#endif
#ifndef BREAK_NO_LIMIT
		:: atomic { locked -> /* for 20 ms */
			reached("a thread is stopped inside", stopped);
#ifdef BREAK_BARGE_IN
			skip };
			harvest(0, asker, report)
#elif defined(BREAK_TIME_OUT)
			skip }
#else
			report = ALL;
			come_to(asker, ALL) }
#endif
#endif
		fi;
		atomic {
			reached("a write comes after its card was taken", unseen[asker] != 0);
			reached("some cards are reported, some not", report != 0 && report != ALL);
			deliver(asker, report);
			assert(!stopped || unseen[asker] == 0); /* then nothing is left */
			stopped = false }
	od
}

#ifdef FORK
/* A child, forked at any time: no registration, and the parent's descriptors. One
 * thread, whose every collect is its own. */
active proctype child()
{
	byte report, at, to, start, vec;
	bool failed, again;
	bit mine; /* whose memory its descriptors serve */

	atomic { registered[1] = 0; uffd_open[1] = false; pagemap_open[1] = false };
end:	do
	:: atomic { true -> write(1, 0) }
	:: atomic { true -> write(1, 1) }
	:: atomic {
		come_to(1, ALL);
		reached("a child collects while its parent has a write to report",
			unseen[0] != 0 && mine == 1);
		report = 0 };
#if defined(BREAK_R5_CHILD)
		harvest(0, 1, report);
#elif defined(BREAK_R5_PARENT)
		harvest(0, 1, report);
		report = ALL; /* as if that made it right */
#else
		if
		:: atomic { mine == 0 -> report = ALL } /* no descriptors to be had */
		:: atomic { mine == 0 -> uffd_open[1] = true; pagemap_open[1] = true; mine = 1 };
			add(registered[1], ALL);
			harvest(1, 1, report)
		:: mine == 1 -> harvest(1, 1, report)
		fi;
#endif
		atomic { deliver(1, report) }
	od
}
#endif
