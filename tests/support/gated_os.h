/* SPDX-License-Identifier: MIT
 *
 * Calls of the seam that stop at a gate, and a thread that makes some of them inside a call of
 * ours, with the tracker's lock. Included once, by the test itself. */
#ifndef CM_TESTS_GATED_OS_H
#define CM_TESTS_GATED_OS_H

#include "tests/support/broken_os.h"
#include "tests/support/fixture.h"
#include "tests/support/gate.h"

static inline int gated_madvise(void *addr, size_t len, int advice)
{
	pass_gate();
	return cm_os_linux.madvise(addr, len, advice);
}

static inline int gated_covered(uintptr_t addr, size_t len)
{
	pass_gate();
	return cm_os_linux.covered(addr, len);
}

static inline int gated_vma_at(uintptr_t addr, struct cm_vma *out)
{
	pass_gate();
	return cm_os_linux.vma_at(addr, out);
}

static inline long gated_scan(int fd, struct pm_scan_arg *arg)
{
	pass_gate();
	return cm_os_linux.scan(fd, arg);
}

static inline void *track_four_cards(void *at)
{
	(void)cardmark_track(cm, at, 4 * live_card, 0);
	return NULL;
}

/* Returns while the thread is inside cardmark_track(). */
static inline pthread_t start_track_and_stop_inside(void *at)
{
	pthread_t thread;

	shut_gate();
	CHECK(pthread_create(&thread, NULL, track_four_cards, at) == 0);
	await(&gate_reached);
	return thread;
}

#endif
