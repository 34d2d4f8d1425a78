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
void cm_gc_put_quoted(struct cm_gc_out *o, const char *text); /* the text alone */
void cm_gc_put_text(struct cm_gc_out *o, const char *key, const char *text);
void cm_gc_put_number(struct cm_gc_out *o, const char *key, uint64_t value);
void cm_gc_flush(struct cm_gc_out *o);

#define CM_GC_MS_ROOM 32
/* Milliseconds as a decimal number with a point: "2.5". Returns buf. */
const char *cm_gc_ms_text(char buf[CM_GC_MS_ROOM], uint64_t ns);
/* The same for a person: 3.25, 28.3. And MiB: 8.4, 1210. */
const char *cm_gc_ms_brief(char buf[CM_GC_MS_ROOM], uint64_t ns);
const char *cm_gc_mib_brief(char buf[CM_GC_MS_ROOM], uint64_t bytes);
/* The other way: digits with at most one point among them. False if it is anything else,
 * or more than max_ns. */
bool cm_gc_ms_parse(const char *text, uint64_t max_ns, uint64_t *ns);

/* Between these two calls, writing is not a cancellation point. A reader that has gone, or a limit
 * on the size of files, gives an error instead of a signal, so the program keeps its own exit
 * status. */
struct cm_gc_guard {
	sigset_t mask, pending;
	int cancel;
};
void cm_gc_guard(struct cm_gc_guard *g);
void cm_gc_unguard(const struct cm_gc_guard *g);

/* Standard output and error as they are, or, if the program has closed them, as they were when
 * kept: GNU programs close them at exit, before us. */
void cm_gc_keep_stderr(void);
void cm_gc_keep_stdout(void);
int cm_gc_stderr(void);
int cm_gc_stdout(void);
/* A line on standard error, guarded: "WHO: TEXT". */
void cm_gc_say(const char *who, const char *text);

#endif
