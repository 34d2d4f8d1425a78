/* SPDX-License-Identifier: MIT
 *
 * A fork child (lib/fork.c) before and while its trackers are rebuilt: made by fork(), or by
 * a raw clone(2) while others were inside; two threads, and a signal handler in either. With
 * an inherited descriptor a harvest clears the parent's bits (R5). docs/model.md. */
#include "reached.pml"
#define THREADS 2 /* a tracker's lock and files are its own: one tracker is enough */

/* A lock: a ghost is a thread that the child has not. */
#define FREE 0
#define GHOST 1
#define BY(thread) (2 + thread)

mtype = { NOBODY, CLAIMED, OURS };     /* the marker: zeroed by the kernel in the child */
mtype = { NONE, INHERITED, OWN };      /* the tracker's files */

mtype marker = NOBODY;
bool prepared;        /* fork()'s handler had all locks, so nobody was inside */
bool handler_to_come; /* ours, in a child of fork(): others may run before it */
byte lock;
bool whole = true;    /* the range map: nobody was changing it */
bool torn;
mtype files = INHERITED;
byte inside;
byte in_handler = THREADS; /* which thread is interrupted */
bool masked[THREADS];      /* its signals are blocked */
bool was_forked;

/* The parent's: a write that it has not asked for yet. */
bool owed = true;

init
{
	atomic {
		if
		:: prepared = true; handler_to_come = true; was_forked = true; lock = BY(0)
		:: prepared = true; lock = GHOST /* raw, while another thread was in fork() */
		:: true /* raw */
		:: lock = GHOST; if :: whole = false :: true fi /* raw, while one was inside */
		fi;
#ifdef BREAK_STALE_PREPARED
		prepared = true;
#endif
		masked[0] = was_forked;
		run thread(0);
		run thread(1);
		run handler() }
}

#ifdef BREAK_UNMASKED
#define mask(me) skip
#else
#define mask(me) masked[me] = true
#endif

inline rebuild()
{
#ifdef BREAK_NOT_LAST
	marker = OURS;
#endif
	atomic {
#ifdef BREAK_EARLY_TORN
		torn = lock != FREE;
#else
		torn = lock != FREE && !prepared;
#endif
		prepared = false;
#ifdef BREAK_NOT_LAST
		lock = FREE
#else
		lock = GHOST /* a child that is cloned now finds it torn */
#endif
		};
	files = NONE;
	if
	:: !torn -> files = OWN
	:: true /* none to be had, or torn: what acts on the parent is closed */
	fi;
	lock = FREE; /* nobody takes it before the marker says so */
#ifndef BREAK_NOT_LAST
	marker = OURS
#endif
}

/* cm_fork_ready(): whoever sees a new child first claims it. */
inline make_ready(me)
{
	do
	:: marker == OURS -> break
	:: marker == NOBODY ->
		before = masked[me];
		mask(me);
#ifdef BREAK_NOT_CLAIMED
		marker = CLAIMED;
		rebuild();
#else
		if
		:: atomic { marker == NOBODY -> marker = CLAIMED };
			rebuild()
		:: else
		fi;
#endif
		masked[me] = before
	:: atomic { marker == CLAIMED ->
		reached("a thread does not wait for another that rebuilds", true);
		break } /* after 20 ms */
	od
}

inline call(me)
{
	if
	:: marker != OURS -> make_ready(me)
	:: else
	fi;
	before = masked[me];
	mask(me);
#ifdef BREAK_TORN_BEFORE
	if
	:: is_torn
	:: !is_torn && marker == OURS ->
#else
	if
	:: marker == OURS && torn ->
		reached("a tracker was torn by a raw clone", true);
		assert(!was_forked) /* fork() tears nothing */
	:: marker == OURS && !torn ->
#endif
		if
		:: atomic { lock == FREE -> lock = BY(me) };
			atomic { /* harvest */
				inside++;
#ifndef FOR_GOOD
				assert(inside == 1); /* nobody else is inside */
				assert(whole);
#endif
				if
				:: files == INHERITED -> owed = false
				:: else
				fi;
				assert(owed) }; /* the parent's next report has it */
			inside--;
			lock = FREE
		:: atomic { lock != FREE -> skip } /* for 20 ms, then all dirty */
		fi
	:: else /* all dirty */
	fi;
	masked[me] = before
}

/* fork() in the child: it takes all locks, without a limit. */
inline fork_again(me)
{
	first = masked[me];
	mask(me);
#ifndef BREAK_FORK_UNCHECKED
	make_ready(me);
	marker == OURS;
#endif
	atomic { lock == FREE -> lock = BY(me) };
	lock = FREE;
	masked[me] = first
}

proctype thread(byte me) provided (in_handler != _pid - 1) /* it stands still meanwhile */
{
	byte calls;
	bool before, first, forked, is_torn;

	assert(me == _pid - 1);
	do
	:: calls < 2 ->
		calls++;
		reached("a handler registered earlier calls before ours ran",
			me == 0 && handler_to_come);
		is_torn = torn;
		call(me)
	:: me == 0 && handler_to_come ->
		handler_to_come = false;
		make_ready(me);
#ifdef BREAK_UNLOCKED_TWICE
		lock = FREE;
#endif
		masked[me] = false
	:: me == 0 && !handler_to_come && !forked -> forked = true; fork_again(me)
	:: me == 1 || !handler_to_come -> break
	od
}

/* A signal handler of the program's, that calls us, or forks. */
proctype handler()
{
	byte me;
	bool before, first, is_torn;

	if
	:: true
	:: atomic { !masked[0] || !masked[1] ->
		if
		:: !masked[0] -> me = 0
		:: !masked[1] -> me = 1
		fi;
		in_handler = me };
		if
		:: is_torn = torn; call(me)
		:: fork_again(me)
		fi;
		in_handler = THREADS
	fi
}
