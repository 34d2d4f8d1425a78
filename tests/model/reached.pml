/* SPDX-License-Identifier: MIT
 *
 * What all models share. */
#define BIT(card) (1 << (card))
#define add(set, cards) set = set | (cards)
#define take(set, cards) set = set & ~(cards)

/* A state that must be possible, or the proof is of less than it says: with -DTELL the
 * verifier names it when it gets there. */
#ifdef TELL
#define reached(what, condition) \
	if \
	:: condition -> c_code { static int n; if (n++ == 0) printf("reached: %s\n", what); } \
	:: else \
	fi
#else
#define reached(what, condition) skip
#endif
