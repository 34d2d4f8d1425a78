/* SPDX-License-Identifier: MIT
 *
 * The oracle of the fault injection: a few pages, which of them are tracked, and which were
 * written since the last answer with them. Each call is checked against its contract when
 * kernel calls fail. For one child process, which it ends on an error. */
#ifndef CM_TESTS_TRIAL_H
#define CM_TESTS_TRIAL_H

#include "cardmark/process.h"

#include <stdbool.h>
#include <stddef.h>

#define TRIAL_PAGES 40
#define TRIAL_CONSUMERS 2

/* Begins a trial: call it once, before anything else. Messages go to report. */
void trial_begin(enum cardmark_backend backend, unsigned capabilities, int report);
bool trial_can(unsigned capability);
enum cardmark_backend trial_backend(void);
_Noreturn void trial_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* In a process that has not probed yet: a call that always fails counts as unsupported. */
void trial_is_cold(void);

/* Pages [from, to). A call may fail only as the contract allows. Then it changes nothing, and
 * works when it is repeated. */
void trial_open(unsigned flags);
void trial_close(void);
void trial_share(unsigned threads); /* in a collect: before open */
void trial_track(size_t from, size_t to);
void trial_untrack(size_t from, size_t to);
void trial_preclean(void);
void trial_hold(size_t from, size_t to);
void trial_release(size_t from, size_t to);
void trial_suspend(void);
void trial_resume(void);
void trial_tables(void); /* a second one: new, union, delete */

void trial_store(size_t page);
void trial_store_all(size_t from, size_t to);
void trial_drop(size_t from, size_t to);  /* MADV_DONTNEED */
void trial_remap(size_t from, size_t to); /* new memory in the place, written */

/* The questions: all due pages must be in the answer. */
void trial_collect(void);
void trial_discarded(void);
void trial_look(size_t from, size_t to);         /* GET of what was written, and of what was not */
void trial_take(size_t from, size_t to);         /* GET_AND_CLEAR, in small pieces */
void trial_view(void);                           /* cardmark_process_scan */
void trial_take_blindly(size_t from, size_t to); /* CLEAR */

/* Consumer number k: pages written since it last asked must be in its answer, even if others
 * asked meanwhile. It is deleted with the tracker. */
void trial_consumer_new(size_t k);
void trial_consumer_collect(size_t k);
void trial_consumer_collect_range(size_t k, size_t from, size_t to);
/* Negative control: a consumer asks by cardmark_collect(), and so takes from the others. */
void trial_consumers_take_from_others(void);

/* In a fork child: everything is due. */
void trial_is_child(void);
/* The fault is gone: the answers become exact again. */
void trial_heal(void);
/* Checks that every descriptor and mapping was given back, except `more` mappings that stay
 * with the process. */
void trial_end(int more);

#endif
