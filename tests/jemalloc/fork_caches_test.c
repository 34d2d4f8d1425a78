/* SPDX-License-Identifier: MIT
 *
 * Description: threads' caches in a fork child: the arena can be destroyed there, jemalloc is
 * whole afterwards, and a fork while a cache is being given back makes no thread wait for
 * ever. */
#include "tests/jemalloc/je.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cardmark *cm;
static struct cardmark_jemalloc *je;
static int flags;
static const char *fork_in; /* that call: as a signal's handler may */
static pid_t child;

static int forking_mallctl(const char *name, void *old, size_t *old_size, void *new,
			   size_t new_size)
{
	if (fork_in != NULL && strcmp(name, fork_in) == 0) {
		fork_in = NULL;
		child = fork();
		if (child == 0)
			alarm(20);
	}
	return mallctl(name, old, old_size, new, new_size);
}

static void set_up(void)
{
	cm = live_open();
	CHECK_EQ(cardmark_jemalloc_create(&je, cm, forking_mallctl, 0), 0);
	flags = cardmark_jemalloc_flags(je);
	dallocx(mallocx(64, flags), flags);
}

static void *allocate(void *unused)
{
	for (unsigned i = 0; i < 20; i++)
		plain_free(plain_malloc(100));
	return unused;
}

/* Threads that end in the child have caches, too: jemalloc's own. */
static void threads_come_and_go(void)
{
	for (unsigned i = 0; i < 20; i++) {
		pthread_t thread;

		CHECK_EQ(pthread_create(&thread, NULL, allocate, NULL), 0);
		CHECK_EQ(pthread_join(thread, NULL), 0);
	}
}

/* jemalloc walks its lists of caches. Memory that it freed is in use again. */
static void look_at_statistics(void)
{
	uint64_t epoch = 1;

	threads_come_and_go();
	for (size_t size = 64; size <= 65536; size += size / 4)
		for (unsigned i = 0; i < 16; i++)
			memset(plain_malloc(size), 0x55, size);
	CHECK_EQ(mallctl("epoch", NULL, NULL, &epoch, sizeof epoch), 0);
}

static void destroy_arena(void *unused)
{
	(void)unused;
	threads_come_and_go();
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	look_at_statistics();
}

static void destroy_cache(void *unused)
{
	unsigned tcache = (unsigned)(flags & 0xfff00) >> 8;

	(void)unused;
	tcache -= 2; /* as MALLOCX_TCACHE() adds */
	threads_come_and_go();
	CHECK_EQ(mallctl("tcache.destroy", NULL, NULL, &tcache, sizeof tcache), 0);
	look_at_statistics();
}

static void *reset_there(void *error)
{
	*(int *)error = cardmark_jemalloc_reset(je);
	return NULL;
}

static void reset_arena(void *unused)
{
	pthread_t thread;
	int error = 1;
	void *q;

	(void)unused;
	CHECK_EQ(cardmark_jemalloc_reset(je), -ENOTSUP);
	CHECK(strstr(cardmark_last_error(), "before the fork") != NULL);
	q = mallocx(100, flags); /* nothing was done */
	CHECK_EQ(cardmark_jemalloc_check(je, q, 100), 0);
	dallocx(q, flags);
	/* A thread without a cache from before the fork cannot do it either: the first
	 * thread's cache would hand out freed memory. */
	CHECK_EQ(pthread_create(&thread, NULL, reset_there, &error), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(error, -ENOTSUP);
	look_at_statistics();
}

static void caches_from_before_a_fork_are_given_up(void)
{
	if (TAP_TSAN)
		tap_skip("this sanitizer cannot start threads in a fork child");
	set_up();
	CHECK_EQ(tap_in_child(destroy_arena, NULL), 0);
	CHECK_EQ(tap_in_child(reset_arena, NULL), 0);
	/* A jemalloc that can do this does not need our handling. */
	tap_note("control: a cache that is destroyed in a child: status %#x",
		 (unsigned)tap_in_child(destroy_cache, NULL));
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
}

static void a_fork_with_a_cache_on_its_way(void)
{
	int status = -1, error;

	set_up();
	fork_in = "tcache.destroy";
	error = cardmark_jemalloc_destroy(&je);
	if (child == 0)
		_exit(error != 0);
	CHECK_EQ(error, 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

static const struct live_case cases[] = {
	{ "caches from before a fork are given up", caches_from_before_a_fork_are_given_up, 0, 0 },
	{ "a fork with a cache on its way", a_fork_with_a_cache_on_its_way, 0, 0 },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
