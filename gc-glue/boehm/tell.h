/* SPDX-License-Identifier: MIT
 *
 * The reports of a run: counters, log, trace and summary, and when they are written.
 *
 * Notes are made under libgc's lock or in an allocation: into memory that was mapped before, with
 * no lock of ours and no file. Reports are written by a thread that does not hold libgc's lock, or
 * the stopped world, any longer for it: at the end of the process, or by the reporter (reporter.c),
 * which libgc does not know. */
#ifndef CM_GC_TELL_H
#define CM_GC_TELL_H

#include "gc-glue/boehm/glue.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

/* ---- Names of files (dest.c) -------------------------------------------------------------- */

struct cm_gc_dest {
	char asked[PATH_MAX]; /* as the variable has it */
	char path[PATH_MAX];  /* absolute, or "-"; "": none */
	size_t name_at;       /* in path; what is before it the user did not write */
	bool too_long;
};

/* A relative name starts from the directory where the program was started. */
void cm_gc_dest_read(struct cm_gc_dest *p, const char *variable);
bool cm_gc_dest_is_set(const struct cm_gc_dest *p);
/* Where the process id goes; NULL: nowhere. */
const char *cm_gc_dest_id(const struct cm_gc_dest *p);
/* The path with the process id in it: for %p or, if numbered, after it. False: too long. */
bool cm_gc_dest_name(char name[PATH_MAX], const struct cm_gc_dest *p, bool numbered);
/* The same for a path that is used as it is. */
bool cm_gc_dest_plain(char name[PATH_MAX], const char *path);

/* ---- Files (putfile.c) --------------------------------------------------------------------- */

typedef void cm_gc_put_fn(struct cm_gc_out *o);
struct cm_gc_file_id {
	dev_t dev;
	ino_t ino;
};

/* "-" is standard output. In one step, where the file is the user's own. 0 or errno; which file it
 * was goes to *id, if that is not NULL. */
int cm_gc_file_write(const char *name, cm_gc_put_fn *put, struct cm_gc_file_id *id);
/* A descriptor above the program's, or -1 and errno. */
int cm_gc_file_open(const char *name, int flags);
/* The descriptor that a name stands for; -1: none. */
int cm_gc_file_descriptor(const char *name);
/* Why it could not be written, in words. */
const char *cm_gc_file_words(int error);

/* ---- Stops that took longer than the target (cycle.c) --------------------------------------- */

enum cm_gc_over {
	CM_GC_OVER_ASKED,    /* GC_gcollect() has no limit */
	CM_GC_OVER_BUSY,     /* other work had the processor */
	CM_GC_OVER_THREADS,  /* stopping the threads, or letting them go on */
	CM_GC_OVER_CARDS,    /* finding the dirty cards */
	CM_GC_OVER_HEAP,     /* no stop of this heap is shorter */
	CM_GC_OVER_ATTEMPTS, /* the last attempt has no limit */
	CM_GC_OVER_MARKING,  /* none of these: what was dirty had to be marked */
	CM_GC_OVER_COUNT
};

/* The reason, or CM_GC_OVER_COUNT: it met the target, or there is none. Counted. */
enum cm_gc_over cm_gc_over_note(const struct cm_gc_stop *s);
uint64_t cm_gc_over_count(enum cm_gc_over why);
uint64_t cm_gc_over_total(void);
/* One word, for the report; what happened, for the summary; what would help. */
const char *cm_gc_over_name(enum cm_gc_over why);
const char *cm_gc_over_text(enum cm_gc_over why);
const char *cm_gc_over_help(enum cm_gc_over why);
void cm_gc_over_reset(void);

/* ---- The trace (trace.c, tracefile.c) ------------------------------------------------------ */

#define CM_GC_TRACE_NOTES 65536              /* the newest are kept */
#define CM_GC_TRACE_LEAST_NS UINT64_C(50000) /* shorter stalls and slices are left out */

enum cm_gc_note_kind { CM_GC_NOTE_STOP, CM_GC_NOTE_STALL, CM_GC_NOTE_SLICE };

struct cm_gc_note {
	enum cm_gc_note_kind kind;
	int thread;
	uint64_t start, end, phase[CM_GC_PH_COUNT];
	uint64_t cards, heap; /* of a stop */
	uint64_t bytes;       /* of a stall */
	enum cm_gc_over over;
	bool full, done;
};

/* Maps the memory for it. -ENOMEM. */
int cm_gc_trace_start(void);
bool cm_gc_trace_is_on(void);
/* From any thread, at any time. */
void cm_gc_trace_add(const struct cm_gc_note *note);
/* How many there were ever, and the number of the first that is still there. */
uint64_t cm_gc_trace_range(uint64_t *first);
/* False: it is gone, or just being written. */
bool cm_gc_trace_get(uint64_t number, struct cm_gc_note *note);
void cm_gc_trace_reset(void);
/* tracefile.c: all of it as JSON. */
void cm_gc_trace_put(struct cm_gc_out *o);

/* ---- Collections, one by one (cycle.c) ----------------------------------------------------- */

struct cm_gc_cycle_note {
	uint64_t number, end;
	uint64_t stops, stopped_ns, longest_ns, phase[CM_GC_PH_COUNT];
	uint64_t slices, slices_ns, cards, heap, unused;
	unsigned over[CM_GC_OVER_COUNT];
	bool full;
};

/* Under libgc's lock: a stop is over. True: so is a collection. */
bool cm_gc_cycle_stop(const struct cm_gc_stop *s);
/* In an allocation: a call of so many bytes took so long. */
void cm_gc_cycle_stall(uint64_t start, uint64_t ns, uint64_t bytes, bool slice);
int cm_gc_cycle_start(void); /* they are to be logged */
/* By one thread at a time. False: none is left. *lost: so many before it were overwritten. */
bool cm_gc_cycle_next(struct cm_gc_cycle_note *c, uint64_t *lost);
void cm_gc_cycle_reset(void);

/* ---- What is asked for, and when it is written ---------------------------------------------- */

/* statsfile.c */
void cm_gc_statsfile_write(void); /* with a line if that fails */
/* Which files this process writes. A fork child has files of its own, if it has collected. */
enum cm_gc_owner { CM_GC_NOBODY, CM_GC_PROGRAM, CM_GC_OTHER_PROGRAM, CM_GC_FORKED };
enum cm_gc_owner cm_gc_owner(void);

/* collectionlog.c: CARDMARK_LOG. */
void cm_gc_log_start(void);
bool cm_gc_log_is_on(void);
void cm_gc_log_write(void);

/* tracefile.c: CARDMARK_TRACE. */
void cm_gc_tracefile_start(void);
void cm_gc_tracefile_write(void);

/* summary.c: CARDMARK_SUMMARY. */
void cm_gc_summary_start(void);
bool cm_gc_summary_is_on(void);
void cm_gc_summary_write(void);

/* ending.c. The calls that set signals are led through these (signals.c), so that the program sees
 * none of ours. */
bool cm_gc_ending_handles(int sig);
/* The action to set when the program sets *act: *act itself, or ours in *mine for the default
 * action. */
const struct sigaction *cm_gc_ending_in(int sig, const struct sigaction *act,
					struct sigaction *mine);
/* The action that the program gets instead of ours. */
void cm_gc_ending_out(int sig, struct sigaction *old);
void cm_gc_ending_start(void);
/* At the end of the process, once. NULL: it goes on. */
void cm_gc_tell_all(const char *how);
/* One thread at a time writes. False: not within two seconds, or this one has it. */
bool cm_gc_turn_take(void);
void cm_gc_turn_give(void);
void cm_gc_turn_child(void);

/* report.c: how the process ended, in the report ("running" by default). */
void cm_gc_report_ended(const char *how);

/* reporter.c */
void cm_gc_reporter_start(void);
/* Under libgc's lock: a collection is over. */
void cm_gc_reporter_wake(void);
/* In an allocation, the lock not held: a fork child that collects needs one of its own. */
void cm_gc_reporter_check(void);
void cm_gc_reporter_child(void);

#endif
