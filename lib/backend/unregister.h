/* SPDX-License-Identifier: MIT
 *
 * Gives memory back that a userfaultfd watches. */
#ifndef CM_BACKEND_UNREGISTER_H
#define CM_BACKEND_UNREGISTER_H

#include "lib/backend/backend.h"

void cm_unregister(int fd, uintptr_t start, uintptr_t end, struct cm_counters *counters);

#endif
