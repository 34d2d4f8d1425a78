/* SPDX-License-Identifier: MIT
 *
 * lib/scan.c with CARDMARK_SCAN_IGNORE_NEW beside a collect that does not get the lock
 * (lib/collect.c): it says "all dirty", and then nothing is new any more. Who is told by
 * told_all; a scan may be in the middle. docs/model.md. */
#include "reached.pml"
#define CARDS 2
#define ALL 3

bool locked; /* the tracker */
bool told;   /* a collect said "all dirty" without the lock */
byte armed;  /* not armed means written */
byte fresh;  /* tracked, and in no answer since */
byte kept;   /* for the next answer */

byte is_new; /* what the caller takes as dirty by itself: no answer since it was tracked */
byte unseen; /* written since the last answer to the caller, and not new */
byte owed;

inline write(card)
{
	if
	:: is_new & BIT(card)
	:: else -> add(unseen, BIT(card))
	fi;
	take(armed, BIT(card))
}

active proctype mutator()
{
end:	do
	:: atomic { true -> write(0) }
	:: atomic { true -> write(1) }
	od
}

active proctype tracking()
{
	bit card;

end:	do
	:: atomic { !locked -> locked = true; if :: card = 0 :: card = 1 fi };
		atomic { take(armed, BIT(card)); add(is_new, BIT(card)); take(unseen, BIT(card)) };
		add(fresh, BIT(card));
		atomic { locked = false; card = 0 }
	od
}

active proctype collector()
{
end:	do
	:: atomic { !locked -> locked = true };
		fresh = 0;
		atomic { armed = ALL; kept = 0; is_new = 0; unseen = 0; locked = false }
	:: atomic { locked -> skip }; /* for 20 ms */
#ifdef BREAK_TOLD_AFTER
		atomic { is_new = 0; unseen = 0 };
		told = true
#else
		atomic { told = true; is_new = 0; unseen = 0 } /* its answer counts from here on */
#endif
	od
}

/* Its caller knows of all there was: what is written since is not new. */
inline ask()
{
	was_told = false;
	if
	:: atomic { told -> told = false; was_told = true };
		fresh = 0
	:: else
	fi
}

active proctype scanner()
{
	byte at, passed;
	bool was_told;

end:	do
	:: atomic { !locked -> locked = true };
		ask();
		do
		:: at == CARDS -> break
		:: at < CARDS ->
			if
			:: atomic { fresh & BIT(at) -> skip }; /* armed, and not told */
				take(fresh, BIT(at));
				atomic {
					reached("a card is passed over that was written since an answer",
						unseen & BIT(at));
					if
					:: (~armed | kept) & BIT(at) -> add(passed, BIT(at))
					:: else
					fi;
					add(armed, BIT(at));
					take(kept, BIT(at));
					take(is_new, BIT(at)) }
			:: atomic { !(fresh & BIT(at)) -> skip };
				atomic {
					add(armed, BIT(at));
					take(kept, BIT(at));
					take(is_new, BIT(at));
					take(unseen, BIT(at)) } /* in its answer, if written */
			fi;
			at++
		od;
#ifndef BREAK_ASKED_ONCE
		ask();
		atomic {
			reached("a collect ended after a part of the scan was passed over",
				was_told && passed != 0);
#ifndef BREAK_NOT_GIVEN_BACK
			if
			:: was_told -> add(kept, passed)
			:: else
			fi
#endif
			};
#endif
		atomic {
			owed = unseen & armed & ~kept;
			assert(owed == 0); /* no later answer has it */
			at = 0;
			passed = 0;
			was_told = false;
			locked = false }
	od
}
