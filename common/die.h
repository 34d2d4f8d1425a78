/* SPDX-License-Identifier: MIT
 *
 * Ends a program of ours that cannot go on: prints "NAME: words" on standard error, status 1. */
#ifndef CM_COMMON_DIE_H
#define CM_COMMON_DIE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static inline void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn static inline void die(const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(1);
}

/* The same for a call that failed, with the text of errno. */
_Noreturn static inline void die_of(const char *call)
{
	die("%s: %s", call, strerror(errno));
}

#endif
