/* SPDX-License-Identifier: MIT
 *
 * The library's own memory: its mappings for tables, trackers and the like. Code that looks for
 * memory to track in /proc/self/maps must know it: a tracked table would report itself, and only
 * some kernels show names of mappings. The adapters are libraries of their own: these functions are
 * exported to them, in a version node that promises nothing. */
#ifndef CM_OS_OWN_H
#define CM_OS_OWN_H

#include "lib/export.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cm_os calls these two: from any thread, at any time, without lock and malloc. add is called
 * when the memory is mapped, and remove while it still is. */
void cm_own_add(void *addr, size_t len);
void cm_own_remove(void *addr);

/* Begins the list, when an adapter that reads it is loaded. Without a reader nothing is
 * written, so that a snapshot of a fork child has no page that its parent lacks. Earlier mappings
 * are not in the list. An adapter takes them for the program's memory and reports too much. */
CM_PRIVATE_EXPORT void cm_own_start(void);

/* The lowest own mapping that ends above addr. False: none. */
CM_PRIVATE_EXPORT bool cm_own_next(uintptr_t addr, uintptr_t *start, uintptr_t *end);

/* For an adapter's memory of its own: cm_os->map and unmap (lib/os/linux.c). */
CM_PRIVATE_EXPORT int cm_own_map(size_t len, void **out);
CM_PRIVATE_EXPORT int cm_own_unmap(void *addr, size_t len);

#endif
