/* SPDX-License-Identifier: MIT
 *
 * What the clients of the shortage tests share. A client uses the library as a stranger would
 * and checks what it is told: an error is one of the list, with a reason in words. What is
 * wrong is said on standard output, and the status is 1. */
#ifndef CM_TESTS_SHORTAGE_CLIENT_H
#define CM_TESTS_SHORTAGE_CLIENT_H

#include "common/clock.h"

#include <cardmark/cardmark.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* For controls: what the client, or the library, does wrong. */
static enum { SOUND, TAKES_AN_ERROR_FOR_CLEAN, LEAVES_MEMORY_PROTECTED, SAYS_A_NUMBER } fault;

/* No stdio: nothing may be left to allocate from. */
_Noreturn static void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn static void wrong(const char *format, ...)
{
	char text[700];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof text - 1, format, args);
	va_end(args);
	if (n > (int)sizeof text - 2)
		n = (int)sizeof text - 2;
	text[n++] = '\n';
	(void)!write(STDOUT_FILENO, text, (size_t)n);
	_exit(1);
}

static inline bool in_closed_list(int error)
{
	static const int list[] = { -EINVAL, -ENOMEM, -ENOTSUP, -EPERM, -ENOENT, -EBUSY, -EIO };

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (list[i] == error)
			return true;
	return false;
}

static bool well; /* nothing is short: every call works */

/* Did the call work? If not, it has failed as it may. */
static inline bool worked(const char *call, int error, const char *words)
{
	const char *number;

	if (error >= 0)
		return true;
	if (fault == SAYS_A_NUMBER)
		words = "cannot open pagemap: errno 24";
	if (!in_closed_list(error))
		wrong("%s: %d is not of the closed list", call, error);
	if (*words == '\0')
		wrong("%s: %s, and no reason", call, cardmark_strerror(error));
	number = strstr(words, "errno ");
	if (number != NULL && number[6] >= '0' && number[6] <= '9')
		wrong("%s: a number is no reason: %s", call, words);
	if (well)
		wrong("%s fails though nothing is short: %s", call, words);
	return false;
}

/* Is what was short there again? */
static inline bool end_shortage(void)
{
	bool (*end)(void) = (bool (*)(void))dlsym(RTLD_DEFAULT, "shortage_end");

	return end == NULL || end();
}

/* A fork child that found something wrong has said so. */
static inline void wait_for_child(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		wrong("a fork child died of signal %d", WTERMSIG(status));
	if (status != 0)
		_exit(1);
}

static inline const char *shortage(void)
{
	const char *text = getenv("CARDMARK_SHORTAGE");

	return text != NULL ? text : "none";
}

static inline unsigned long shortage_seed(void)
{
	const char *comma = strchr(shortage(), ',');

	return comma != NULL ? strtoul(comma + 1, NULL, 10) : 1;
}

static inline void read_fault(void)
{
	const char *text = getenv("CARDMARK_SHORTAGE_CONTROL");

	if (text != NULL)
		fault = strcmp(text, "clean") == 0       ? TAKES_AN_ERROR_FOR_CLEAN
			: strcmp(text, "protected") == 0 ? LEAVES_MEMORY_PROTECTED
							 : SAYS_A_NUMBER;
}

#endif
