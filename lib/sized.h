/* SPDX-License-Identifier: MIT
 *
 * Public structs begin with their size, so that a program and the library may be of different
 * releases. The rule is in docs/design.md ("The interface"), and here is all of its code. A
 * caller's struct is never read or written beyond its own size field. */
#ifndef CM_SIZED_H
#define CM_SIZED_H

#include "lib/export.h"

#include <stddef.h>

/* Copies the caller's fields into `known`, our struct of len bytes, which has the defaults. Fields
 * that a shorter struct lacks keep their default. 0, or -EINVAL and a message that begins with the
 * struct's name: its size is not plausible, or the caller uses fields that we do not know. */
CM_PRIVATE_EXPORT int cm_sized_take(const char *name, void *known, size_t len, const void *caller);

/* For a struct that has only answers: 0, or -EINVAL and a message if its size is not plausible. */
CM_PRIVATE_EXPORT int cm_sized_check(const char *name, const void *caller);

/* Copies the answer to the caller, as far as its struct has room. Fields that we do not know
 * become 0. The size has been checked. */
CM_PRIVATE_EXPORT void cm_sized_give(void *caller, const void *known, size_t len);

#endif
