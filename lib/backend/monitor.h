/* SPDX-License-Identifier: MIT
 *
 * The uffd backend's descriptors and its monitor thread. */
#ifndef CM_BACKEND_MONITOR_H
#define CM_BACKEND_MONITOR_H

#include "lib/backend/backend.h"
#include "lib/backend/files.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

struct cm_uffd {
	struct cm_backend b; /* first */
	struct cm_file uffd, pagemap;
	struct cm_file ear, bell; /* the pipe: the monitor listens, we ring */
	bool privileged, running, suspended;
	bool registered; /* all ranges, with this userfaultfd */
	pthread_t monitor;
	_Atomic bool quit, may_leave, recalled, parked;
	_Atomic bool has_files;   /* the monitor has seen that the userfaultfd is in its table */
	bool keeps_files;         /* parked by a recall, and all files are as they were */
	bool deaf;                /* the monitor's own: the pipe shows nothing more */
	struct cm_file its_bell;  /* the bell as the monitor got it: ring() may close ours */
	sem_t go_on;              /* for a parked monitor */
	struct cm_cards snapshot; /* what a scan found written */
	void *nowhere;            /* a card without access */
};

/* Tries again on EAGAIN: the address space is changing (fork, mremap, munmap under way). */
int cm_uffd_protect(struct cm_uffd *t, uintptr_t start, uintptr_t end, bool protect);
void cm_uffd_close_files(struct cm_uffd *t);

/* 0, or -ENOMEM. */
int cm_monitor_start(struct cm_uffd *t);
void cm_monitor_stop(struct cm_uffd *t);
bool cm_monitor_is_parked(struct cm_uffd *t);
/* Makes the monitor park, without closing anything. False: it did not park, and goes on. */
bool cm_monitor_recall(struct cm_uffd *t);
/* A parked monitor's answer: the files are all there. If the caller does not find them, its thread
 * has another table of descriptors (unshare(2), clone(2) without CLONE_FILES). */
bool cm_monitor_keeps_files(struct cm_uffd *t);
/* Lets a parked monitor go on with the files that it has. */
void cm_monitor_go_on(struct cm_uffd *t);
/* Gives a parked monitor the descriptors that stand in t. */
void cm_monitor_resume(struct cm_uffd *t);
/* Has the monitor found the files? Before that, a write to a protected card does not return. False:
 * the monitor has another table (then it is parked), or it did not run. */
bool cm_monitor_has_files(struct cm_uffd *t);

#endif
