/* SPDX-License-Identifier: MIT
 *
 * The jemalloc adapter's map of ranges (gc-glue/jemalloc/map.c): an array that one writer
 * changes in place, store by store, and readers without a lock, who look again until the
 * version was even and the same before and after. The writer may end anywhere: a tracer
 * stops it, or this is a copy of the process, and it is not in it. docs/model.md. */
#include "reached.pml"

#define ENTRY(start, end, flag) ((start) * 16 + (end) * 4 + (flag))
#define end_of(entry) (((entry) / 4) % 4)
#define NONE 0
#define UNKNOWN 255

/* The states of the map, of up to three ranges with one flag, 2. A change from one to
 * another moves entries up or down, and changes some in place. */
#define STATES 4
hidden byte size[STATES];
hidden byte nth[12];

inline set_up_states()
{
	size[0] = 2; nth[0] = ENTRY(0, 1, 0); nth[1] = ENTRY(2, 3, 2);
	size[1] = 1; nth[3] = ENTRY(2, 3, 2);
	size[2] = 3; nth[6] = ENTRY(0, 1, 2); nth[7] = ENTRY(1, 2, 0); nth[8] = ENTRY(2, 3, 2);
	size[3] = 1; nth[9] = ENTRY(0, 3, 2)
}

byte start[3]; /* with the flag, as in the code: two words an entry */
byte end[3];
byte n;
byte version;
byte state;   /* the map is in this state, or on its way to it */
byte allowed; /* the states that the map was in since the reader's call began */
bool gone;    /* the writer ended inside */

bool owed;    /* to the reader: a right answer */

inline store(i, e)
{
	start[i] = (e) & ~12;
	end[i] = end_of(e)
}

init
{
	d_step { set_up_states(); store(0, nth[0]); store(1, nth[1]); n = 2; allowed = 1 };
	atomic { run writer(); run reader() }
}

#ifdef BREAK_HALF
#define next_version version = (version + 1) % 2
#else
#define next_version version++
#endif

/* Three changes, so that each can be followed by others inside one call. */
proctype writer()
{
	byte changes, next, i, tail, k, e;

	do
	:: changes == 3 -> break
	:: atomic { changes < 3 -> changes++ };
		atomic {
			if :: next = 0 :: next = 1 :: next = 2 :: next = 3 fi;
			next != state;
			/* What they have in common at the head stays where it is, and what they
			 * have at the end is moved. */
			i = 0;
			do
			:: i < size[state] && i < size[next] && nth[3 * state + i] == nth[3 * next + i] -> i++
			:: else -> break
			od;
			tail = 0;
			do
			:: tail < size[state] - i && tail < size[next] - i &&
			   nth[3 * state + size[state] - tail - 1] ==
				   nth[3 * next + size[next] - tail - 1] -> tail++
			:: else -> break
			od };
#ifndef BREAK_ODD_LATE
		atomic { next_version; add(allowed, BIT(next)) };
#else
		add(allowed, BIT(next));
#endif
		if /* the tail moves */
		:: size[next] > n ->
			k = tail;
			do
			:: k == 0 -> break
			:: k > 0 -> k--;
				e = start[n - tail + k];
				start[size[next] - tail + k] = e;
				e = end[n - tail + k];
				end[size[next] - tail + k] = e
			od
		:: size[next] < n ->
			k = 0;
			do
			:: k == tail -> break
			:: k < tail ->
				e = start[n - tail + k];
				start[size[next] - tail + k] = e;
				e = end[n - tail + k];
				end[size[next] - tail + k] = e;
				k++
			od
		:: else
		fi;
#ifdef BREAK_ODD_LATE
		next_version;
#endif
		if /* its thread is stopped for good here, or it is in another process */
		:: gone = true; goto ended
		:: true
		fi;
		do /* what is new */
		:: i == size[next] - tail -> break
		:: i < size[next] - tail ->
			start[i] = nth[3 * next + i] & ~12;
			end[i] = end_of(nth[3 * next + i]);
			i++
		od;
#ifdef BREAK_EVEN_EARLY
		atomic { next_version; state = next };
		n = size[next];
#else
		n = size[next];
		atomic { next_version; state = next };
#endif
		atomic { i = 0; k = 0; e = 0; tail = 0; next = 0 }
	od;
ended:	skip
}

proctype reader()
{
	byte addr, seen, low, high, mid, got, e, i;

again_call:
	atomic {
		if :: addr = 0 :: addr = 1 :: addr = 2 fi;
		/* It may be on its way: then both. */
		allowed = BIT(state) | (version % 2 == 1 -> allowed : 0) };
look:	atomic { seen = version; low = 0; got = NONE };
#ifndef BREAK_ODD_TAKEN
	if
	:: seen % 2 == 1 -> goto again
	:: else
	fi;
#endif
	high = n;
	do
	:: low == high -> break
	:: low < high -> mid = low + (high - low) / 2;
		if
		:: end[mid] > addr -> high = mid
		:: else -> low = mid + 1
		fi
	od;
	if
	:: low < n ->
		e = start[low];
		got = (e & ~15) + end[low] * 4 + (e & 3)
	:: else -> got = NONE
	fi;
#ifndef BREAK_NO_LOOK_AFTER
	if
	:: version == seen
	:: else -> reached("a reader finds the version changed", true); goto again
	fi;
#endif
	goto answer;

again:	atomic { high = 0; mid = 0; got = 0; e = 0; low = 0 };
#ifndef BREAK_UNBOUNDED
	if
	:: version != seen || version % 2 == 0 -> goto look
	:: atomic { /* after two seconds: it may be there, and dirty */
		reached("a reader gives up beside a writer that ended inside", gone);
#ifdef BREAK_GIVE_UP
		got = NONE
#else
		got = UNKNOWN
#endif
		}
	fi;
#else
	atomic { version != seen || version % 2 == 0 -> goto look };
#endif
answer:	atomic {
		reached("a reader sees the map between two changes", version == seen && seen == 4);
		reached("the map changed twice in one call, and the answer is right",
			got != UNKNOWN && allowed == 7);
		owed = got != UNKNOWN;
		i = 0;
		do /* what one of them, as a whole, says: its first range that ends above */
		:: i == STATES -> break
		:: i < STATES ->
			e = 0;
			do
			:: e < size[i] && end_of(nth[3 * i + e]) <= addr -> e++
			:: else -> break
			od;
			if
			:: allowed & BIT(i) && got == (e < size[i] -> nth[3 * i + e] : NONE) -> owed = false
			:: else
			fi;
			i++
		od;
		assert(!owed);
		i = 0;
		seen = 0; low = 0; high = 0; mid = 0; got = 0; e = 0 };
	goto again_call
}
