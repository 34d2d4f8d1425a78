/* SPDX-License-Identifier: MIT
 *
 * Checks for test programs that run without a framework, because they fork,
 * start threads, take SIGSEGV or count mallocs. Each case is a TAP line. */
#ifndef CM_TESTS_TAP_H
#define CM_TESTS_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A failing check ends the case (in a child made by tap_in_child: the child).
 * Only for the thread that runs the case. */
#define CHECK(cond) ((cond) ? (void)0 : tap_fail(__FILE__, __LINE__, #cond))
#define CHECK_EQ(got, want)                                                                        \
	tap_check_equal(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK_STRING(got, want) tap_check_string(__FILE__, __LINE__, #got, got, want)

_Noreturn void tap_fail(const char *file, int line, const char *what);
void tap_check_equal(const char *file, int line, const char *what, long long got, long long want);
void tap_check_string(const char *file, int line, const char *what, const char *got,
		      const char *want);

/* Ends the case as skipped: the reason is printed and counted. */
_Noreturn void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A diagnostic line. */
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs one case and prints its line. group comes first in the line. cleanup
 * runs after it, however it ended, and may fail it. */
void tap_run(const char *group, const char *name, void (*run)(void), void (*cleanup)(void));
void tap_line(bool ok, const char *group, const char *name, const char *skip_reason);

/* Does CARDMARK_REQUIRE, a comma-separated list, name it? */
bool tap_required(const char *name);

/* 0 all passed, 1 some failed, 77 nothing but skips. */
int tap_status(void);

/* Forgets what was counted: in a child that is to report as a program of its own. */
void tap_start_over(void);

/* Waits until a child ends. Returns the wait status. */
int tap_wait(pid_t pid);

/* Forks; the child runs fn(arg) and exits 0, or 1 if a check fails. Returns
 * the wait status. */
int tap_in_child(void (*fn)(void *arg), void *arg);

/* A child that leaves by _exit(2) takes the lines that it ran along (make coverage). */
#ifdef CARDMARK_COVERAGE
_Noreturn void tap_leave(int status);
#define _exit(status) tap_leave(status)
#endif

#if defined(__SANITIZE_ADDRESS__)
#define TAP_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define TAP_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TAP_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TAP_TSAN 1
#endif
#endif
#ifndef TAP_ASAN
#define TAP_ASAN 0
#endif
#ifndef TAP_TSAN
#define TAP_TSAN 0
#endif

/* For oracles that read memory while others write it, on purpose. */
#define TAP_RACY __attribute__((no_sanitize("thread")))

#endif
