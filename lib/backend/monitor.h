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
	pthread_t monitor;
	_Atomic bool quit, recalled, parked;
	bool deaf;                /* the monitor's own: the pipe shows nothing more */
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
/* Has the monitor park, without closing anything. False: it has not, and goes on. */
bool cm_monitor_recall(struct cm_uffd *t);
/* Gives a parked monitor the descriptors that stand in t. */
void cm_monitor_resume(struct cm_uffd *t);

#endif
