/* SPDX-License-Identifier: MIT
 *
 * Switches with which the tests disable or break a part, to show that they would see a loss. Only
 * in the adapter that is built for the tests (tests/boehm/hooks.la, with CM_GC_TEST_HOOKS). In the
 * installed adapter each of these is 0, and has no name.
 *
 * To add one: a line here, and `if (cm_gc_test(CM_GC_TEST_NAME))` where it acts. A test
 * sets CARDMARK_GC_TEST_NAME to a number; tests/boehm/lib.sh then takes that adapter. */
#ifndef CM_GC_TESTHOOKS_H
#define CM_GC_TESTHOOKS_H

#include <stdbool.h>

#define CM_GC_TESTS(X)                                                                             \
	X(ARM_SMALL)    /* a small heap is armed, too */                                           \
	X(DROP)         /* so many per cent of the dirty cards are called clean */                 \
	X(LARGE_FORGET) /* dirty pages of large objects are not marked from */                     \
	X(NO_CADENCE)   /* libgc's own rule of when to collect, by two thirds of its divisor */    \
	X(NO_EVENT_DEFENCE)   /* callbacks that are replaced stay so */                            \
	X(NO_FINISH)          /* a collection is not ended where it has to be */                   \
	X(NO_FORK_ORDER)      /* loaded after libgc was started, it takes locks at a fork */       \
	X(NO_LOADING_DEFENCE) /* objects that another thread loads are redirected, too */          \
	X(NO_MARK_STACK)      /* libgc enlarges its mark stack when it is full */                  \
	X(NO_LARGE)           /* large objects are as all others */                                \
	X(NO_OWN_STACK)       /* a signal that ends the program is reported on its stack */        \
	X(NO_ROOT_DEFENCE)    /* the last page of an unaligned root is left to libgc */            \
	X(NO_SIGNAL_DEFENCE)  /* calls that set SIGSEGV handlers are not redirected */             \
	X(NO_STACK_DEFENCE)   /* stacks in the heap are not known by what libgc reads */           \
	X(ROOTS_LARGE)        /* watched are large static data, and no added roots */              \
	X(ROOTS_STALE)        /* what becomes a root, or is none any more, stays watched */        \
	X(ROOTS_UNARMED)      /* roots count as watched, and are not */                            \
	X(NO_WIPE)            /* addresses of dirty pages stay on the stack */                     \
	X(RATE)               /* libgc's constants with this rate, and no pacing */                \
	X(TRACE_ROOM)         /* so many notes are kept for a trace */                             \
	X(UNTRACKED)          /* of so many pieces of heap one is not tracked */                   \
	X(WALK_LENGTHS_ONLY)  /* objects that have a descriptor of their own are left out */       \
	X(WALK_MARKED_ONLY)   /* those that are marked from unmarked are left out */               \
	X(WALK_NOT_BACK)      /* libgc's word is not put back */                                   \
	X(WALK_NO_ROOM)       /* of so many calls one finds the mark stack full */                 \
	X(WALK_NO_SPILL)      /* and then forgets what it had to push */                           \
	X(WALK_TRACKED_ONLY)  /* what is not tracked is left out */

enum cm_gc_test {
#define CM_GC_TEST_ENUM(name) CM_GC_TEST_##name,
	CM_GC_TESTS(CM_GC_TEST_ENUM)
#undef CM_GC_TEST_ENUM
		CM_GC_TEST_COUNT
};

#ifdef CM_GC_TEST_HOOKS
/* From the environment, once, before anything is chosen. */
void cm_gc_test_read(void);
/* The variable's value; 0 without it. */
unsigned cm_gc_test(enum cm_gc_test which);
/* Is this dirty card to be called clean? */
bool cm_gc_test_drop(void);
/* Is this piece of heap to be left alone? */
bool cm_gc_test_untracked(void);
#else
static inline void cm_gc_test_read(void)
{
}

static inline unsigned cm_gc_test(enum cm_gc_test which)
{
	(void)which;
	return 0;
}

static inline bool cm_gc_test_drop(void)
{
	return false;
}

static inline bool cm_gc_test_untracked(void)
{
	return false;
}
#endif

#endif
