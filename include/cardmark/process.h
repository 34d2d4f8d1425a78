/* SPDX-License-Identifier: MIT
 *
 * The full query on another process, read-only: which of its pages are in memory, swapped out,
 * backed by a file, or written. Errors, units and the query are those of <cardmark/cardmark.h>. */
#ifndef CARDMARK_PROCESS_H
#define CARDMARK_PROCESS_H

#include <cardmark/cardmark.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opaque. */
struct cardmark_process;

/* Opens the memory of another process (or of this one) for reading only, as CRIU does: nothing in
 * it is armed, cleared or stopped. Needs the rights that ptrace(2) needs for reading. A fork
 * child's copy looks at the same process. Freed by cardmark_process_close(). Do not call either
 * while the world is stopped.
 * -EINVAL bad pid; -ENOENT no such process, or one without memory of its own; -EPERM
 * not permitted; -ENOTSUP a kernel without PAGEMAP_SCAN; -ENOMEM; -EIO. */
CARDMARK_API int cardmark_process_open(struct cardmark_process **out, int pid);

/* NULL and pointer to NULL are fine. Sets *process to NULL. */
CARDMARK_API void cardmark_process_close(struct cardmark_process **process);

/* Categories that this kernel can answer (CARDMARK_PAGE_*). */
CARDMARK_API uint64_t cardmark_process_categories(const struct cardmark_process *process);

/* The full query over all memory of that process; it skips addresses that are not mapped. op must
 * be GET, flags 0. Works piece by piece, so that an mmap in that process waits for at most 64 MiB
 * of populated cards. If any_of or required asks for PRESENT or SWAPPED, the time grows with the
 * populated memory, not with the mapped memory. A process that runs meanwhile may have changed when
 * the answer comes. WRITTEN means "not write-protected by userfaultfd", which is true of all memory
 * that is not tracked. For a card that holds nothing, kernels differ. A range that reaches above
 * user space is cut there, and still counts as complete. Nothing is guessed: a failure is an error,
 * and the query then has the regions found so far and where to go on. -EINVAL as in
 * cardmark_scan();
 * -ENOTSUP a category that this kernel cannot answer; -ENOENT the process has ended or runs another
 * program now; -ENOMEM, -EIO. Any thread, but two may not use one handle at once. No malloc and no
 * lock of ours: may run while the world is stopped. */
CARDMARK_API int cardmark_process_scan(struct cardmark_process *process,
				       struct cardmark_query *query);

#ifdef __cplusplus
}
#endif
#endif
