/* SPDX-License-Identifier: MIT
 *
 * The fixture with a tracker that verifies itself, its counters, and what it says
 * on standard error. */
#ifndef CM_TESTS_VERIFYING_H
#define CM_TESTS_VERIFYING_H

#include "lib/os/os.h"
#include "tests/support/fixture.h"

#include <sys/mman.h>
#include <unistd.h>

/* As set_up_with(), strict unless the flags have CARDMARK_OPEN_CONCURRENT. */
static inline void set_up_verifying(unsigned open_flags)
{
	set_up_on(live_open_verifying(open_flags));
	CHECK_EQ(live_stats(cm).verify_changed, 0);
}

static inline uint64_t missed(void)
{
	return live_stats(cm).verify_missed;
}

/* Descriptors of this process named so: how many, and where the last one is. */
static inline unsigned descriptors(const char *suffix, int *last)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		if (!cm_os_linux.fd_is(fd, suffix))
			continue;
		*last = fd;
		n++;
	}
	return n;
}

static char said[8192];
static int said_fd = -1, real_stderr = -1;

/* Between the two nothing may fail. */
static inline void listen_to_stderr(void)
{
	said_fd = memfd_create("stderr", MFD_CLOEXEC);
	real_stderr = dup(STDERR_FILENO);
	CHECK(said_fd >= 0 && real_stderr >= 0);
	CHECK(dup2(said_fd, STDERR_FILENO) >= 0);
}

static inline void stop_listening(void)
{
	ssize_t n = pread(said_fd, said, sizeof said - 1, 0);

	said[n > 0 ? n : 0] = '\0';
	(void)dup2(real_stderr, STDERR_FILENO);
	(void)close(real_stderr);
	(void)close(said_fd);
}

static inline size_t times_said(const char *what)
{
	size_t n = 0;

	for (const char *p = said; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

#endif
