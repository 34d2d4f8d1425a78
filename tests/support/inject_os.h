/* SPDX-License-Identifier: MIT
 *
 * Fault injection at the seam: counts the calls of every function of struct
 * cm_os, and lets one call, or all from one on, fail with a chosen error, before
 * or after it has had its effect; or stop its thread for a time, before or after it.
 * What it counts is shared with fork children. */
#ifndef CM_TESTS_INJECT_OS_H
#define CM_TESTS_INJECT_OS_H

#include "lib/os/os.h"

#include <stdatomic.h>
#include <stdbool.h>

/* How a function can fail; more would be nothing that Linux does. */
enum {
	INJECT_BEFORE = 1, /* without effect */
	INJECT_AFTER = 2,  /* with its effect (R3) */
	INJECT_SHORT = 4   /* half of what was asked for */
};

/* All but pid(), now() and alone(), which cannot fail, and release(). close() frees the number
 * whatever it says; what makes a descriptor or a mapping makes none when it fails. */
#define INJECT_CALLS(X)                                                                            \
	X(map, INJECT_BEFORE)                                                                      \
	X(unmap, INJECT_BEFORE | INJECT_AFTER)                                                     \
	X(mprotect, INJECT_BEFORE | INJECT_AFTER)                                                  \
	X(madvise, INJECT_BEFORE | INJECT_AFTER)                                                   \
	X(covered, INJECT_BEFORE)                                                                  \
	X(vma_at, INJECT_BEFORE)                                                                   \
	X(writable, INJECT_BEFORE)                                                                 \
	X(vacant, INJECT_BEFORE)                                                                   \
	X(close, INJECT_AFTER)                                                                     \
	X(fd_id, INJECT_BEFORE)                                                                    \
	X(fd_is, INJECT_BEFORE)                                                                    \
	X(open_self, INJECT_BEFORE)                                                                \
	X(open_proc, INJECT_BEFORE)                                                                \
	X(pread, INJECT_BEFORE | INJECT_AFTER | INJECT_SHORT)                                      \
	X(read, INJECT_BEFORE | INJECT_AFTER | INJECT_SHORT)                                       \
	X(write, INJECT_BEFORE | INJECT_AFTER | INJECT_SHORT)                                      \
	X(pipe, INJECT_BEFORE)                                                                     \
	X(poll, INJECT_BEFORE | INJECT_AFTER)                                                      \
	X(uffd_open, INJECT_BEFORE)                                                                \
	X(uffd_open_device, INJECT_BEFORE)                                                         \
	X(uffd_register, INJECT_BEFORE | INJECT_AFTER)                                             \
	X(uffd_unregister, INJECT_BEFORE | INJECT_AFTER)                                           \
	X(uffd_protect, INJECT_BEFORE | INJECT_AFTER)                                              \
	X(uffd_watched, INJECT_BEFORE)                                                             \
	X(scan, INJECT_BEFORE | INJECT_AFTER)                                                      \
	X(futex_wait, INJECT_BEFORE | INJECT_AFTER)                                                \
	X(futex_wake, INJECT_BEFORE | INJECT_AFTER)                                                \
	X(sigaction, INJECT_BEFORE | INJECT_AFTER)                                                 \
	X(seccomp_mode, INJECT_BEFORE)                                                             \
	X(sysctl, INJECT_BEFORE)

#define INJECT_NAME(name, hows) INJECT_##name,
enum inject_call { INJECT_CALLS(INJECT_NAME) INJECT_COUNT };
#undef INJECT_NAME

struct inject_fault {
	enum inject_call call;
	unsigned nth; /* 1 is the first; 0: none fails */
	bool on;      /* all from there on, not that one alone */
	unsigned how; /* one of the above */
	int error;    /* negative */
	/* For controls. The failure is kept from the library: the answer looks well
	 * and empty. */
	bool lie;
	/* Not 0: the call does not fail. It stops its thread, before or after its effect,
	 * until inject_go() or for so long. */
	unsigned stop_ms;
	bool signal; /* and gets SIGUSR1 there */
	/* Only calls of other threads than the one that inject_count_anew() was called in. That one
	 * waits in its own such calls until another has come to the one that is meant. */
	bool in_helper;
};

struct inject_state {
	struct inject_fault fault;
	_Atomic bool off;
	_Atomic unsigned calls[INJECT_COUNT];
	_Atomic unsigned fired;
	_Atomic int maps;                  /* made and not given back yet */
	_Atomic unsigned stopped, gone_on; /* threads, so far */
	_Atomic bool go;
};

extern struct inject_state *inject; /* MAP_SHARED */

const char *inject_name(enum inject_call call);
enum inject_call inject_named(const char *name); /* INJECT_COUNT: none is */
unsigned inject_hows(enum inject_call call);

/* Makes the shared state; once. */
void inject_set_up(void);
/* Counts from zero and puts the table in place of cm_os. */
void inject_begin(const struct inject_fault *fault);
/* The table in use: for controls that break a rule as well. */
struct cm_os *inject_table(void);
/* Nobody is late any more because the machine is busy. */
void inject_stop_clock(void);
/* The fault is gone, and no more calls are counted. */
void inject_stop(void);
void inject_end(void);

/* Calls are counted from one again: what has been set up is not what is looked at. */
void inject_count_anew(void);
/* Whoever stands in a call goes on. */
void inject_go(void);
/* Calls of this thread are not counted and do not stop it, nor those of children it makes. */
void inject_stand_by(void);

#endif
