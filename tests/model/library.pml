/* SPDX-License-Identifier: MIT
 *
 * What lib/backend/pagemap.c does, and lib/backend/softdirty.c with -DSOFTDIRTY. */

/* Registers, and makes all of it written. May fail. */
inline watch(m, cards)
{
	if
	:: true
	:: add(registered[m], cards);
#ifndef BREAK_R9
		atomic { unprotect(m, cards) }
#endif
	fi
}

/* After a failed scan of [start, to), for the next one. */
inline recover(m)
{
	if
	:: atomic { uffd_open[m] && pagemap_open[m] ->
		reached("a piece is registered again", !(registered[m] & SPAN(start, to))) };
		watch(m, SPAN(start, to))
	:: else -> /* the program closed them */
		atomic { uffd_open[m] = false; pagemap_open[m] = false; unregister(m, ALL) };
		if
		:: true /* none to be had */
		:: atomic {
			reached("descriptors are opened again", true);
			uffd_open[m] = true; pagemap_open[m] = true };
			watch(m, ALL)
		fi
	fi
}

/* Get and clear [at, to) into a set. A failure makes the rest of it dirty, and is
 * followed by one more try, which arms it. */
inline harvest_chunk(m, asker, collecting, set)
{
	do
	:: atomic { at == to -> break }
	:: atomic { at < to -> start = at };
		scan(m, asker, collecting);
		if
		:: atomic { !failed ->
			add(set, vec);
#ifdef BREAK_R4
			at = to; /* a full vector is taken for the end */
#endif
			vec = 0 }
		:: atomic { failed ->
			failed = false;
			vec = 0;
#ifdef BREAK_R3
			at = to; /* "nothing was written" */
			break;
#endif
#ifndef BREAK_R3_RETRY /* "the next try will tell" */
			add(set, SPAN(start, to));
#ifdef BREAK_GUESS_ALONE
			add(guesses, SPAN(start, to));
#endif
			if :: collecting -> come_to(asker, SPAN(start, to)) :: else fi
#endif
			};
			recover(m);
			if
			:: atomic { again -> reached("a scan fails twice", true); at = to }
			:: atomic { !again -> again = true; at = start }
			fi
		fi
	od;
	atomic { start = 0; again = false }
}

#ifndef SOFTDIRTY
inline harvest(m, asker, set) /* in chunks of any size */
{
	do
	:: atomic { at == CARDS -> at = 0; to = 0; break }
	:: atomic { at < CARDS -> if :: to = at + 1 :: at == 0 -> to = CARDS fi };
		harvest_chunk(m, asker, true, set)
	od
}
#else
inline harvest(m, asker, set) /* reads all bits, then clears those of the process */
{
	do
	:: atomic { at == CARDS -> at = 0; break }
	:: atomic { at < CARDS ->
		come_to(asker, BIT(at));
		add(set, ~marked[m] & BIT(at));
		at++ }
	od;
	atomic { protect(m, ALL) }
}
#endif
