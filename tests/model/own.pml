/* SPDX-License-Identifier: MIT
 *
 * The list of the library's own mappings (lib/os/own.c): slots of two words, claimed, filled,
 * emptied and used again by any thread, and readers without a lock. docs/model.md. */
#include "reached.pml"

/* Mappings, some with an end or a start in common: no other pair is one. */
#define MAPPINGS 3
#define start_of(m) (m == 0 -> 1 : 2)
#define end_of(m) (m == 2 -> 4 : 3)

byte first; /* the slot: a start; 0: free */
byte last;  /* and an end; 0: not filled in yet */
byte uses;  /* how often it was emptied; four times at most, so all loops end */

byte mapped; /* sets of mappings: in the list now, from the end's store on */
byte seen;   /* in the list at some time since the reader's call began */
byte always; /* in the list all that time */
bool owed;   /* to the reader: a right answer */

active [2] proctype thread()
{
	byte m;

end:	do
	:: atomic { if :: m = 0 :: m = 1 :: m = 2 fi };
#ifdef BREAK_END_FIRST
		if
		:: last == 0 && uses < 4 -> last = end_of(m);
			if
			:: atomic { first == 0 -> first = start_of(m); add(mapped, BIT(m)); add(seen, BIT(m)) }
			:: else -> goto end
			fi
		:: else -> goto end
		fi;
#else
		atomic { first == 0 && uses < 4 -> first = start_of(m) };
		atomic { last = end_of(m); add(mapped, BIT(m)); add(seen, BIT(m)) };
#endif
#ifdef BREAK_FREED_FIRST
		atomic { first = 0; take(mapped, BIT(m)); take(always, BIT(m)) };
		uses++;
		last = 0
#else
		atomic { last = 0; take(mapped, BIT(m)); take(always, BIT(m)) };
		uses++;
		first = 0
#endif
	od
}

active proctype reader()
{
	byte before, to, from, m;

end:	do
	:: atomic { seen = mapped; always = mapped };
again:		before = uses;
		to = last;
		from = first;
#ifdef BREAK_SAME_END
		if
		:: to == last
		:: else -> goto again
		fi;
#else
		if
		:: uses == before
		:: else -> reached("a slot is used again while it is read", true); goto again
		fi;
#endif
		atomic {
			reached("a slot is claimed and not filled", from != 0 && to == 0);
			if
			:: from == 0 || to == 0 -> owed = always != 0
			:: else ->
				owed = true;
				m = 0;
				do
				:: m == MAPPINGS -> break
				:: m < MAPPINGS ->
					if
					:: from == start_of(m) && to == end_of(m) && seen & BIT(m) ->
						owed = false
					:: else
					fi;
					m++
				od
			fi;
			assert(!owed);
			before = 0; to = 0; from = 0; m = 0 }
	od
}
