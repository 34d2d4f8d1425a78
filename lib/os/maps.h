/* SPDX-License-Identifier: MIT */
#ifndef CM_OS_MAPS_H
#define CM_OS_MAPS_H

#include "lib/os/os.h"

/* What cm_os->vma_at returns, from the text in an open maps file: for kernels before 6.11,
 * which have no PROCMAP_QUERY. 0, the error of pread(2), or -EIO: it is no such text. */
int cm_vma_from_text(int fd, uintptr_t addr, struct cm_vma *out);

#endif
