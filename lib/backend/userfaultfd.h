/* SPDX-License-Identifier: MIT
 *
 * Opens a userfaultfd for the backends pagemap and uffd: by the system call or, where that
 * is refused, from /dev/userfaultfd (Linux 6.1). */
#ifndef CM_BACKEND_USERFAULTFD_H
#define CM_BACKEND_USERFAULTFD_H

#include "lib/backend/files.h"

/* Not NULL: asks for a userfaultfd that also handles the kernel's own writes, and stores whether it
 * does. NULL: the backend does not need that. 0 or -errno, with the cause in *why: -EPERM if it is
 * refused, -ENOTSUP if the kernel has none (too_old if it lacks the features), anything else is a
 * shortage. */
int cm_userfaultfd_open(struct cm_file *out, uint64_t features, bool *privileged,
			const char *too_old, const char **why);

#endif
