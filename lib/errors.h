/* SPDX-License-Identifier: MIT
 *
 * Errors of the kernel, in words. */
#ifndef CM_ERRORS_H
#define CM_ERRORS_H

#include "lib/export.h"

/* A phrase for an errno value of either sign, to follow a colon: the cause, the name, and a remedy
 * if there is just one. Static, never NULL; may be called anywhere, also in signal handlers. */
const char *cm_errno_text(int error);

/* The error of the closed list that stands for any -errno. */
int cm_closed_error(int error);
/* The same for a backend that could not be opened: a missing kernel feature is -ENOTSUP. */
int cm_open_error(int error);
/* Sets this thread's last error, returns error. Its arguments may be cardmark_last_error()
 * itself. */
CM_PRIVATE_EXPORT int cm_fail(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
