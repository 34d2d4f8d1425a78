/* SPDX-License-Identifier: MIT */
#include "tests/support/tap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 150 /* a case that hangs ends the program, and fails it */

enum outcome { OUTCOME_FAIL = 1, OUTCOME_SKIP };

static sigjmp_buf leave;
static bool in_child;
static char skip_reason[512];
static unsigned passed, failed, skipped;

static void say(const char *prefix, const char *format, va_list ap)
{
	(void)fputs(prefix, stdout);
	(void)vfprintf(stdout, format, ap);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
}

void tap_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("# ", format, ap);
	va_end(ap);
}

_Noreturn static void end(enum outcome outcome)
{
	if (in_child)
		_exit(1);
	siglongjmp(leave, (int)outcome);
}

_Noreturn void tap_fail(const char *file, int line, const char *what)
{
	tap_note("%s:%d: failed: %s", file, line, what);
	end(OUTCOME_FAIL);
}

void tap_check_equal(const char *file, int line, const char *what, long long got, long long want)
{
	if (got == want)
		return;
	tap_note("%s:%d: failed: %s is %lld, not %lld", file, line, what, got, want);
	end(OUTCOME_FAIL);
}

void tap_check_string(const char *file, int line, const char *what, const char *got,
		      const char *want)
{
	if (strcmp(got, want) == 0)
		return;
	tap_note("%s:%d: failed: %s is \"%s\", not \"%s\"", file, line, what, got, want);
	end(OUTCOME_FAIL);
}

_Noreturn void tap_skip(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(skip_reason, sizeof skip_reason, format, ap);
	va_end(ap);
	end(OUTCOME_SKIP);
}

void tap_line(bool ok, const char *group, const char *name, const char *reason)
{
	if (!ok)
		failed++;
	else if (reason != NULL)
		skipped++;
	else
		passed++;
	(void)printf("%s - %s: %s%s%s\n", ok ? "ok" : "not ok", group, name,
		     reason != NULL ? " # SKIP " : "", reason != NULL ? reason : "");
	(void)fflush(stdout);
}

bool tap_required(const char *name)
{
	const char *list = getenv("CARDMARK_REQUIRE");
	size_t len = strlen(name);

	for (; list != NULL && *list != '\0'; list += strcspn(list, ","), list += *list == ',')
		if (strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0'))
			return true;
	return false;
}

/* What ended it: 0 nothing. */
static int run_until_it_ends(void (*run)(void))
{
	int outcome = sigsetjmp(leave, 1);

	if (outcome == 0)
		run();
	return outcome;
}

void tap_run(const char *group, const char *name, void (*run)(void), void (*cleanup)(void))
{
	int outcome;

	(void)alarm(CASE_SECONDS);
	outcome = run_until_it_ends(run);
	if (cleanup != NULL && run_until_it_ends(cleanup) != 0)
		outcome = OUTCOME_FAIL;
	(void)alarm(0);
	tap_line(outcome != OUTCOME_FAIL, group, name,
		 outcome == OUTCOME_SKIP ? skip_reason : NULL);
}

int tap_status(void)
{
	if (failed != 0)
		return 1;
	return passed == 0 ? 77 : 0;
}

void tap_start_over(void)
{
	passed = failed = skipped = 0;
}

int tap_wait(pid_t pid)
{
	int status = -1;

	CHECK(pid > 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int tap_in_child(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		in_child = true;
		(void)alarm(CASE_SECONDS / 2);
		fn(arg);
		(void)fflush(stdout);
		_exit(0);
	}
	return tap_wait(pid);
}

#ifdef CARDMARK_COVERAGE
void __gcov_dump(void);

#undef _exit
_Noreturn void tap_leave(int status)
{
	__gcov_dump();
	_exit(status);
}
#endif
