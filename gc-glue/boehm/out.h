/* SPDX-License-Identifier: MIT
 *
 * Text that the adapter writes: JSON, and lines on standard error. By system calls, and
 * the same whatever the program's locale is: printf would write 2,5 where it is German. */
#ifndef CM_GC_OUT_H
#define CM_GC_OUT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cm_gc_out {
	int fd;
	int error; /* errno of the first write that failed; the rest is left out */
	size_t n;
	char buf[4096];
};

/* At most 1000 characters at once; no %g or %f. */
void cm_gc_put(struct cm_gc_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A member and a comma. What is not UTF-8 in the text becomes U+FFFD, byte by byte. */
void cm_gc_put_text(struct cm_gc_out *o, const char *key, const char *text);
void cm_gc_put_number(struct cm_gc_out *o, const char *key, uint64_t value);
void cm_gc_flush(struct cm_gc_out *o);

#define CM_GC_MS_ROOM 32
/* Milliseconds as a decimal number with a point: "2.5". Returns buf. */
const char *cm_gc_ms_text(char buf[CM_GC_MS_ROOM], uint64_t ns);
/* The other way: digits with at most one point among them. False if it is anything else,
 * or more than max_ns. */
bool cm_gc_ms_parse(const char *text, uint64_t max_ns, uint64_t *ns);

/* Between the two, writing is no cancellation point and a reader that has gone, or a
 * limit on the size of files, is an error and no signal: the exit status of the program
 * is its own. */
struct cm_gc_guard {
	sigset_t mask, pending;
	int cancel;
};
void cm_gc_guard(struct cm_gc_guard *g);
void cm_gc_unguard(const struct cm_gc_guard *g);

/* Standard error as it is, or, if the program has closed it, as it was when it was kept:
 * GNU programs close it at exit, before us. */
void cm_gc_keep_stderr(void);
int cm_gc_stderr(void);
/* A line on standard error, guarded: "WHO: TEXT". */
void cm_gc_say(const char *who, const char *text);

#endif
