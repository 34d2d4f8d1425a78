/* SPDX-License-Identifier: MIT
 *
 * Programs that lose /proc, their last descriptor or their right to read /proc while their
 * memory is tracked, or may make next to no call. Included once, by the test itself. */
#ifndef CM_TESTS_TAKEN_AWAY_H
#define CM_TESTS_TAKEN_AWAY_H

#include "tests/support/broken_os.h"
#include "tests/support/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT 77  /* how a child leaves that may not do what it is for, */
#define IN_CORE 78 /* and one whose page was not reclaimed */
#define NOBODY 65534

enum way { PROC, FILES, RIGHTS };

static enum way way;

/* Before any thread is there. */
static inline void prepare(void)
{
	if (way == PROC && geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
		_exit(CANNOT);
}

static char empty[32];

static inline void leave_proc(void)
{
	if (chroot(empty) != 0)
		_exit(CANNOT);
	CHECK(chdir("/") == 0);
	CHECK(open("/proc/self/maps", O_RDONLY) < 0);
}

static inline void take_away(void)
{
	struct rlimit few = { 20, 20 };

	switch (way) {
	case PROC:
		leave_proc();
		break;
	case FILES:
		CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
		while (dup(STDOUT_FILENO) >= 0)
			;
		CHECK_EQ(errno, EMFILE);
		break;
	case RIGHTS:
		if (geteuid() == 0)
			CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
		CHECK(open("/proc/self/pagemap", O_RDONLY) < 0);
		break;
	}
}

static inline int run_in(enum way w, void (*fn)(void *))
{
	int status;

	way = w;
	(void)snprintf(empty, sizeof empty, "noproc-XXXXXX");
	CHECK(mkdtemp(empty) != NULL);
	status = tap_in_child(fn, NULL);
	CHECK(rmdir(empty) == 0);
	return status;
}

static inline void check_in(enum way w, void (*fn)(void *))
{
	int status = run_in(w, fn);

	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		tap_skip("this process may not leave /proc behind");
	if (WIFEXITED(status) && WEXITSTATUS(status) == IN_CORE)
		tap_skip("the file system here lets go of no page");
	CHECK_EQ(status, 0);
}

/* A case for each way. */
#define EACH_WAY(name)                                                                             \
	static void name##_without_proc(void)                                                      \
	{                                                                                          \
		check_in(PROC, name);                                                              \
	}                                                                                          \
	static void name##_without_files(void)                                                     \
	{                                                                                          \
		check_in(FILES, name);                                                             \
	}                                                                                          \
	static void name##_without_rights(void)                                                    \
	{                                                                                          \
		check_in(RIGHTS, name);                                                            \
	}
#define WAYS(text, name, needs, only)                                                              \
	{ text " without /proc", name##_without_proc, needs, only },                               \
		{ text " without descriptors", name##_without_files, needs, only },                \
	{                                                                                          \
		text " and not dumpable", name##_without_rights, needs, only                       \
	}

static inline void write_and_find(size_t i)
{
	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_is_dirty(table, card_at(i)));
}

/* A sandbox that allows next to nothing: card by card. */
static inline int not_allowed(void)
{
	return -EPERM;
}

static inline int covered_not_allowed(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return not_allowed();
}

static inline int vacant_not_allowed(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return not_allowed();
}

static inline int writable_not_allowed(uintptr_t addr)
{
	(void)addr;
	return not_allowed();
}

static inline void allow_nothing(void)
{
	struct cm_os *os = broken_os_begin();

	os->covered = covered_not_allowed;
	os->vacant = vacant_not_allowed;
	os->writable = writable_not_allowed;
}

#endif
