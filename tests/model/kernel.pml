/* SPDX-License-Identifier: MIT
 *
 * What the model takes the kernel to do (docs/design.md, R2 to R9). */

/* Of the program [0] and of its fork child [1]. */
byte registered[2] = ALL;    /* with a userfaultfd, for asynchronous write-protection */
byte marked[2];              /* uffd-wp in the page table: not marked means written */
byte readonly[2];            /* a store faults */
bool uffd_open[2] = true;    /* the tracker's descriptors */
bool pagemap_open[2] = true;

/* A fault, or a store that does not fault: each one step under the page table's
 * lock, or of the machine. After a fault the store is tried again, and a scan may
 * come between. */
inline write(m, card)
{
	if
	:: readonly[m] & BIT(card) ->
		take(readonly[m], BIT(card));
		take(marked[m], registered[m] & BIT(card))
	:: else ->
		wrote(m, BIT(card))
	fi
}

inline protect(m, cards)
{
	add(marked[m], cards);
	add(readonly[m], cards)
}

inline unprotect(m, cards)
{
	take(marked[m], cards);
	take(readonly[m], cards)
}

/* A userfaultfd is closed, memory is moved: the registration goes. The marks went
 * along with a close only since 6.9, with mremap since 6.12.11. */
inline unregister(m, cards)
{
	take(registered[m], cards);
	if :: unprotect(m, cards) :: true fi
}

/* One PAGEMAP_SCAN call for [at, to): get and clear, each page one step under the
 * page table's lock. It may fail anywhere; then what it cleared is not told. */
inline scan(m, asker, collecting)
{
	do
	:: atomic { !pagemap_open[m] -> failed = true; break }
	:: atomic { at == to -> break }
#ifndef FORK
	:: atomic {
		reached("a scan fails and has cleared something", vec != 0);
		failed = true;
		break }
#endif
	:: atomic { at < to ->
		if :: collecting -> come_to(asker, BIT(at)) :: else fi;
		if
		:: !(registered[m] & BIT(at)) ->
#ifdef BREAK_R2
			at++ /* "clean" */
#else
			reached("EPERM, and it has cleared something", vec != 0);
			failed = true;
			break
#endif
		:: registered[m] & marked[m] & BIT(at) ->
			at++
		:: registered[m] & ~marked[m] & BIT(at) ->
			protect(m, BIT(at));
			add(vec, BIT(at));
			at++;
			if
			:: at < to -> /* the next page needs a region, and there is no room */
				reached("a scan stops early", true);
				break
			:: true
			fi
		fi }
	od
}
