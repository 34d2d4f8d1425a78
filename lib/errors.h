/* SPDX-License-Identifier: MIT
 *
 * What the kernel said, in words. */
#ifndef CM_ERRORS_H
#define CM_ERRORS_H

/* A phrase for an errno value of either sign, for after a colon: the cause, the name, and what
 * to do where there is one thing to do. Static, never NULL: from anywhere, signal handlers too. */
const char *cm_errno_text(int error);

#endif
