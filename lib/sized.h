/* SPDX-License-Identifier: MIT
 *
 * Public structs begin with their size, so that a program and the library may be of different
 * releases. The rule is in docs/design.md ("The interface"), and here is all of its code. A
 * caller's struct is never read or written beyond its own size field. */
#ifndef CM_SIZED_H
#define CM_SIZED_H

#include "lib/export.h"

#include <stddef.h>

/* What the caller set goes into `known`, our struct of len bytes, which holds the defaults: a
 * shorter one leaves those of the fields that it lacks. 0; -EINVAL, and words that begin with
 * the struct's name: no plausible size, or the caller knows fields that we do not, and uses
 * them. */
CM_PRIVATE_EXPORT int cm_sized_take(const char *name, void *known, size_t len, const void *caller);

/* For a struct that is all answer: 0, or -EINVAL and words if its size is not plausible. */
CM_PRIVATE_EXPORT int cm_sized_check(const char *name, const void *caller);

/* The answer goes to the caller: as much of it as the struct has room for. Fields that we do
 * not know become 0. Its size has been checked. */
CM_PRIVATE_EXPORT void cm_sized_give(void *caller, const void *known, size_t len);

#endif
