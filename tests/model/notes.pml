/* SPDX-License-Identifier: MIT
 *
 * The notes of hooks that meet a fork (gc-glue/jemalloc/defer.c, query.c): pushed without a
 * lock, taken and entered into the map by who next has it, and looked for by readers, who
 * have none. A fork may be on its way at any time, and each thread may stop for ever
 * anywhere, as it does in the eyes of a fork child or of a raw clone. The map is one step
 * here: seqlock.pml has its own. docs/model.md. */
#include "reached.pml"
#define CARDS 2
#define ALL 3
#define NOTES 3 /* enough: who finds none waits here, and in the code gets one from mmap */
#define NIL NOTES

bool locked;
byte map; /* the cards that it has */

byte noted = NIL; /* newest first */
byte next[NOTES];
byte what[NOTES]; /* 0: free; else a card's bit, and 4: mapped */
bool entering;    /* somebody has taken notes that are not all in the map yet */

byte given; /* cards that a hook has returned, and the program uses */
byte owed;  /* of those, what the reader asks for */

/* With the lock. */
inline enter_notes()
{
	if
	:: noted == NIL
	:: noted != NIL ->
#ifndef BREAK_TAKEN_FIRST
		entering = true;
#endif
		atomic {
			i = noted;
			noted = NIL;
			list = NIL;
#ifdef BREAK_NEWEST_FIRST
			list = i;
#else
			do
			:: i == NIL -> break
			:: else -> n = next[i]; next[i] = list; list = i; i = n
			od;
#endif
			n = 0 };
#ifdef BREAK_ENTERED_EARLY
		entering = false;
#endif
		do
		:: atomic { list == NIL -> list = 0; i = 0; break }
		:: atomic { list != NIL ->
			i = list;
			list = next[i];
			if
			:: what[i] & 4 -> add(map, what[i] & ALL)
			:: else -> take(map, what[i])
			fi;
			next[i] = 0;
			what[i] = 0;
			i = 0 }
		od;
#ifndef BREAK_ENTERED_EARLY
		entering = false
#endif
	fi
}

/* A hook's thread, which maps and unmaps one card. */
active [CARDS] proctype hook()
{
	byte i, n, list;
	bool mapping;

end:	do
	:: atomic {
		mapping = !(given & BIT(_pid));
		if
		:: !mapping -> take(given, BIT(_pid)); take(owed, BIT(_pid))
		:: else
		fi;
#ifdef BREAK_RETURNS_EARLY
		if
		:: mapping -> add(given, BIT(_pid))
		:: else
		fi
#endif
		};
		if
		:: atomic { !locked -> locked = true };
#ifndef BREAK_PAST_NOTES
			enter_notes();
#endif
			atomic {
				if
				:: mapping -> add(map, BIT(_pid))
				:: !mapping -> take(map, BIT(_pid))
				fi;
				locked = false }
		:: atomic { !what[0] || !what[1] || !what[2] -> /* a fork is on its way */
			n = (!what[0] -> 0 : (!what[1] -> 1 : 2));
			what[n] = BIT(_pid) + (mapping -> 4 : 0);
			i = noted };
			do
			:: atomic { noted == i -> next[n] = i; noted = n; break }
			:: atomic { noted != i ->
				reached("another note is pushed meanwhile", true);
				i = noted }
			od
		fi;
		atomic {
			if
			:: mapping -> add(given, BIT(_pid))
			:: else
			fi;
			mapping = false; i = 0; n = 0 }
	od
}

/* A question without the lock. */
active proctype reader()
{
	byte i, n, list, card, answer;

end:	do
	:: atomic { if :: card = BIT(0) :: card = BIT(1) fi; owed = given & card };
#ifdef BREAK_LOOK_ORDER
		i = entering;
		n = noted;
#else
		n = noted;
		i = entering;
#endif
		if
		:: atomic { n == NIL && !i -> n = 0; answer = map }
		:: atomic { n != NIL || i -> i = 0; n = 0 };
			if
			:: atomic { !locked ->
				reached("a reader finds notes", noted != NIL);
				locked = true };
				enter_notes();
				locked = false;
				answer = map
			:: atomic { locked -> /* for two seconds */
				reached("a reader gives up, and its card is in no map", owed & ~map);
#ifdef BREAK_ANSWERED
				answer = map
#else
				answer = ALL
#endif
				}
			fi
		fi;
		atomic {
			owed = owed & ~answer;
			assert(owed == 0); /* none of the arena is called "not in it" */
			answer = 0; card = 0; i = 0; n = 0 }
	od
}
