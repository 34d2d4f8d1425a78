/* SPDX-License-Identifier: MIT
 *
 * The fixture for programs that close descriptors, even ours, or put other files in their
 * place. */
#ifndef CM_TESTS_DESCRIPTORS_H
#define CM_TESTS_DESCRIPTORS_H

#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST 200 /* the library's, where there is room */
#define LAST 260

static bool open_before[LAST];

static inline uint64_t still(void)
{
	return 1;
}

/* Waits for the monitor without a limit: it may be slow on a busy machine, and then the answer
 * would be a guess. Only for uffd, whose other waits end without a clock. */
static inline void stop_clock(void)
{
	static struct cm_os os;

	if (live_backend != CARDMARK_BACKEND_UFFD)
		return;
	os = *cm_os;
	os.now = still;
	cm_os = &os;
}

static inline void set_up_watched(void)
{
	if (cm_os == &cm_os_linux)
		stop_clock();
	for (int fd = FIRST; fd < LAST; fd++)
		open_before[fd] = fcntl(fd, F_GETFD) >= 0;
	set_up();
}

static inline bool keeps_files(void)
{
	return live_backend == CARDMARK_BACKEND_PAGEMAP || live_backend == CARDMARK_BACKEND_UFFD ||
	       live_backend == CARDMARK_BACKEND_SOFTDIRTY;
}

/* The backend loses no state if its files are closed. */
static inline bool stays_exact(void)
{
	return live_backend == CARDMARK_BACKEND_SOFTDIRTY || !keeps_files();
}

/* Runs a case in a child, which may lose its descriptors. */
static inline void in_child(void (*act)(void *arg), void *arg)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		tap_skip("the thread sanitizer supports no new thread in a fork child");
	CHECK_EQ(tap_in_child(act, arg), 0);
}

static inline void nothing_lost(void)
{
	for (size_t i = 0; i < CARDS; i++)
		CHECK(!want[i] || cardmark_table_is_dirty(table, mem + i * live_card));
}

static inline void exact_from_here(void)
{
	for (size_t round = 0; round < 4; round++) {
		write_some(round, 5);
		CHECK_EQ(live_collect(cm, table), CARDMARK_EXACT);
		live_expect(table, mem, CARDS, want);
	}
}

static inline size_t count_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static inline void close_all(void)
{
	CHECK(syscall(SYS_close_range, 3u, ~0u, 0u) == 0);
}

#endif
