/* SPDX-License-Identifier: MIT
 *
 * A shared collect (lib/backend/crew.c, owed.c): tracker 0 has a helper, which may be stopped
 * between any two steps for as long as it likes; then its unit is late, and what it still
 * clears is owed, also by tracker 1, if that has got the memory meanwhile. The list of what is
 * owed has one place here; with -DNO_PLACE it may be another's. docs/model.md. */
#include "reached.pml"
#define CARD 1 /* each is on its own ... */
#define ELSE 2 /* ... and other memory of tracker 0's */

mtype = { EMPTY, READY, TAKEN, DONE, GIVEN_UP, RETURNED }; /* in crew.c LATE and BACK */

mtype unit = EMPTY; /* one slot, and who may touch what is in it */
byte question;
byte found;         /* a helper's answer */
bool listed;        /* the unit, when it is late, has a place in the list */

/* The list: a state is FREE, FILLING, LATE, or how many had come back with its helper. */
#define FREE 0
#define FILLING 254
#define LATE 255
byte state;
byte span;
byte back;
byte forgotten;
bool late;
bool unlisted;
byte seen[2] = 0;   /* each tracker's */
byte lates;         /* the helper is late twice, and no more */

byte armed;         /* not armed means written */
byte tracks[2] = 0; /* at most one tracker has a card: the kernel sees to it */
byte unseen[2] = 0; /* written since a collect last came to the card */
byte owed[2];

#define tracked (tracks[0] | tracks[1])

inline come_to(t)
{
	owed[t] = owed[t] | unseen[t];
	unseen[t] = 0
}

active proctype mutator()
{
end:	do
	:: atomic { tracked -> unseen[(tracks[0] -> 0 : 1)] = CARD; armed = 0 }
	od
}

/* PAGEMAP_SCAN, whoever has registered the card. */
inline scan(set)
{
	if
	:: tracked && !armed -> armed = CARD; set = CARD
	:: else
	fi
}

#define most(a, b) (a > b -> a : b)

/* cm_owed_back() */
inline come_back()
{
	atomic { back++; number = back };
	if
	:: listed -> state = number
	:: !listed -> forgotten = most(forgotten, number); unlisted = false
	fi;
	late = false
}

active proctype helper()
{
	byte number, nowhere;

end:	do
	:: atomic { unit == READY -> unit = TAKEN };
#ifdef BREAK_BACK_FIRST
		if
		:: atomic { unit == GIVEN_UP -> unit = RETURNED }; come_back()
		:: else
		fi;
#endif
		atomic {
			if
			:: question == CARD ->
				reached("a late helper clears a card that another tracker has",
					unit == GIVEN_UP && tracks[1] && !armed);
				if
				:: unit == TAKEN -> come_to(0); scan(found)
				:: else -> scan(nowhere); nowhere = 0
				fi
			:: else
			fi };
		if
		:: atomic { unit == TAKEN -> unit = DONE }
#ifndef BREAK_LATE_ONCE
		:: unit == GIVEN_UP -> come_back(); atomic { unit = RETURNED; number = 0; listed = false }
#endif
		:: else
		fi
	od
}

/* cm_owed_mark() */
inline mark_spans(t)
{
	now = back;
	s = state;
	if
	:: s == LATE || (s != FREE && s != FILLING && s > seen[t]) ->
		reached("a tracker without a helper reports what one has cleared",
			t == 1 && unseen[1] & armed & span & tracks[1] && s != LATE);
		add(report, span & tracks[t]);
#ifdef BREAK_FIRST_DROPS
		if
		:: state != LATE && state != FILLING -> state = FREE
		:: else
		fi
#endif
	:: else
	fi;
	if
	:: unlisted -> add(report, tracks[t])
	:: else
	fi;
	if
	:: forgotten > seen[t] ->
		reached("a place was used again before all trackers had seen it", listed);
		add(report, tracks[t])
	:: else
	fi;
	atomic { seen[t] = now; now = 0; s = 0 }
}

inline pay(t)
{
	if
#ifdef BREAK_OWN_DEBT
	:: t == 1
#endif
#ifdef BREAK_COUNT_FIRST
	:: back != seen[t] -> mark_spans(t)
	:: back == seen[t] ->
		if
		:: late -> mark_spans(t)
		:: !late
		fi
#else
	:: late -> mark_spans(t)
	:: !late ->
		if
		:: back != seen[t] -> mark_spans(t)
		:: back == seen[t]
		fi
#endif
	fi
}

/* cm_owed_add() */
inline owe()
{
	late = true;
	if
	:: true ->
#ifndef BREAK_NOT_FORGOTTEN
		forgotten = most(forgotten, state);
#endif
		state = FILLING;
		span = question;
		atomic { state = LATE; listed = true }
#ifdef NO_PLACE /* all places are of others that are late, or not */
	:: atomic { unlisted = true; listed = false }
#endif
	fi
}

inline harvest_alone(t)
{
	atomic {
		if
		:: tracks[t] -> come_to(t); scan(report)
		:: else
		fi }
}

inline harvest_shared()
{
	atomic {
		if
		:: tracks[0] -> question = CARD
		:: question = ELSE
		fi;
		found = 0;
		unit = READY };
	if
	:: question == ELSE -> harvest_alone(0)
	:: else
	fi;
	do
	:: atomic { unit == READY -> unit = EMPTY }; /* the caller takes it */
		if
		:: question == CARD -> harvest_alone(0)
		:: else
		fi;
		question = 0;
		break
	:: atomic { unit == DONE ->
		add(report, found); found = 0; question = 0; unit = EMPTY;
		break }
	:: atomic { unit == TAKEN && lates < 2 -> lates++ }; /* for 20 ms */
#ifndef BREAK_LATE_ONCE
		owe();
#endif
		if
		:: atomic { unit == TAKEN ->
#ifdef BREAK_LATE_ONCE
			unit = EMPTY;
#else
			unit = GIVEN_UP;
			found = 0;
#endif
			add(report, question & tracks[0]) };
			break
		:: else ->
			if
			:: listed -> atomic { state = FREE; span = 0; listed = false }
			:: else -> unlisted = false
			fi;
			late = false
		fi
	od
}

inline deliver(t)
{
	assert((owed[t] & tracks[t] & ~report) == 0); /* no write is lost */
	owed[t] = 0;
	report = 0
}

/* Who uses tracker t. Under its lock, so one call at a time. */
active [2] proctype user()
{
	byte report, now, s;

end:	do
	:: pay(_pid - 2); /* collect */
		if
		:: atomic { _pid == 2 && unit == RETURNED -> unit = EMPTY; found = 0; question = 0 }
		:: else
		fi;
		if
		:: _pid == 2 && unit == EMPTY -> harvest_shared()
		:: harvest_alone(_pid - 2)
		fi;
		atomic { deliver(_pid - 2) }
	:: atomic { tracks[_pid - 2] -> /* untrack: the marks go with the registration */
		tracks[_pid - 2] = 0;
		armed = 0;
#ifdef BREAK_UNTRACK
		span = 0;
#endif
		unseen[_pid - 2] = 0 }
	:: atomic { !tracked -> /* track: as all written */
		tracks[_pid - 2] = CARD;
		armed = 0;
		unseen[_pid - 2] = CARD }
	od
}
