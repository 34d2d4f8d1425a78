/* SPDX-License-Identifier: MIT
 *
 * The object in the program: how it starts, the records that it writes, and how it ends. */
#include "tools/watch/object.h"
#include "tools/watch/stat.h"

#include "common/clock.h"
#include "common/signals.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define END_NS UINT64_C(2000000000) /* an exit waits for the last look, no longer */

struct object *object;
struct cardmark *object_tracker;
struct cardmark_process *object_self;
static pid_t pid, parent;

/* Waits for room as long as the command lives. What is written meanwhile is in the next look. */
static bool room(uint64_t head, size_t n)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	while (head + n - atomic_load_explicit(&object->shared.tail, memory_order_acquire) >
	       WATCH_RING) {
		if (getppid() != parent)
			return false;
		(void)nanosleep(&nap, NULL);
	}
	return true;
}

void object_tell(enum watch_record kind, const void *a, size_t na, const void *b, size_t nb)
{
	uint64_t head = atomic_load_explicit(&object->shared.head, memory_order_relaxed);
	uint64_t header[2] = { kind, na + nb };

	if (!room(head, sizeof header + na + nb))
		return;
	watch_copy(&object->shared, head, header, sizeof header, true);
	watch_copy(&object->shared, head + sizeof header, (void *)a, na, true);
	if (nb > 0)
		watch_copy(&object->shared, head + sizeof header + na, (void *)b, nb, true);
	/* Pairs with the acquire of the command: a record is whole or not there. */
	atomic_store_explicit(&object->shared.head, head + sizeof header + na + nb,
			      memory_order_release);
}

static void tell_start(void)
{
	struct watch_start start = { 0 };
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	start.stack = watch_stat_read(fd).stack;
	if (fd >= 0)
		(void)close(fd);
	(void)snprintf(start.name, sizeof start.name, "%s", program_invocation_short_name);
	object_tell(WATCH_START, &start, sizeof start, NULL, 0);
}

static bool start_tracking(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;

	/* Stacks and data are tracked while their threads run: no traps, no stopped writers. */
	options.backend = CARDMARK_BACKEND_PAGEMAP;
	options.flags = CARDMARK_OPEN_CONCURRENT | CARDMARK_OPEN_NO_ENV;
	if (cardmark_open(&object_tracker, &options) < 0 ||
	    cardmark_process_open(&object_self, pid) < 0) {
		const char *why = cardmark_last_error();

		object_tell(WATCH_FAILED, why, strlen(why), NULL, 0);
		return false;
	}
	for (unsigned i = 0; cardmark_probe(i, &probe) == 0; i++)
		if (probe.backend == CARDMARK_BACKEND_PAGEMAP)
			object->excluded =
				probe.categories &
				(CARDMARK_PAGE_FILE | CARDMARK_PAGE_PFNZERO | CARDMARK_PAGE_GUARD);
	tell_start();
	object->fault_ns = object_fault_ns();
	object_look(true);
	return true;
}

static void *run(void *ready)
{
	bool watched = start_tracking();
	uint64_t next = cm_now_ns(), interval_ns = object->interval_ns;
	uint32_t code;

	/* From here on the program runs. */
	atomic_store_explicit((_Atomic uint32_t *)ready, 1, memory_order_release);
	watch_wake(ready);
	/* The last look begins after the wish for it. */
	for (bool last = !watched; !last && getppid() == parent;) {
		uint64_t now = cm_now_ns();

		next = next + interval_ns > now ? next + interval_ns : now + interval_ns / 4;
		if (next < now + object->rest_ns)
			next = now + object->rest_ns;
		watch_wait(&object->shared.stop, 0, next);
		last = atomic_load_explicit(&object->shared.stop, memory_order_acquire) != 0;
		object_look(false);
	}
	if (watched)
		object_tell(WATCH_FINISHED, NULL, 0, NULL, 0);
	atomic_fetch_add_explicit(&object->shared.ended, 1, memory_order_release);
	watch_wake(&object->shared.ended);
	/* The program may go on for long. */
	cardmark_close(&object_tracker);
	code = atomic_load_explicit(&object->shared.last_code, memory_order_relaxed);
	if (code != 0)
		(void)syscall(SYS_exit, code);
	return NULL;
}

static void in_parent(void)
{
	if (getpid() == pid)
		atomic_fetch_add_explicit(&object->shared.forks, 1, memory_order_relaxed);
}

/* A child is not watched. The library has already rebuilt its trackers there, because its fork
 * handlers run first. */
static void in_child(void)
{
	object = NULL;
	cardmark_close(&object_tracker);
	cardmark_process_close(&object_self);
}

static void finish(void)
{
	uint32_t ended;

	/* A vfork child has all this, and another id. */
	if (object == NULL || getpid() != pid)
		return;
	ended = atomic_load_explicit(&object->shared.ended, memory_order_acquire);
	if (ended != 0 ||
	    atomic_exchange_explicit(&object->shared.stop, 1, memory_order_acq_rel) != 0)
		return;
	watch_wake(&object->shared.stop);
	watch_wait(&object->shared.ended, 0, cm_now_ns() + END_NS);
}

/* exit(3) does not come here, and the C library's own calls do not either. */
#pragma GCC visibility push(default)
_Noreturn void _exit(int status)
{
	finish();
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

_Noreturn void _Exit(int status)
{
	_exit(status);
}
#pragma GCC visibility pop

__attribute__((destructor)) static void at_exit(void)
{
	finish();
}

static struct object *attach(int fd)
{
	char path[64];
	void *at;

	(void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)parent, fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	at = mmap(NULL, sizeof(struct object), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	return at == MAP_FAILED ? NULL : at;
}

static void start_thread(void)
{
	static const char no_thread[] = "the object could not start a thread in it";
	static _Atomic uint32_t ready;
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstack(&attr, object->stack, OBJECT_STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	cm_signals_fill(&all);
	cm_signals_set(&all, &before);
	if (pthread_create(&thread, &attr, run, &ready) == 0)
		watch_wait(&ready, 0, UINT64_MAX / 2);
	else
		object_tell(WATCH_FAILED, no_thread, sizeof no_thread - 1, NULL, 0);
	cm_signals_set(&before, NULL);
	(void)pthread_attr_destroy(&attr);
}

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv(WATCH_VARIABLE);
	long long number[5];
	char *end;

	for (unsigned i = 0; i < 5; i++, text = end + 1) {
		number[i] = text != NULL ? strtoll(text, &end, 10) : 0;
		if (text == NULL || end == text || (*end != ':' && i < 4))
			return;
	}
	pid = (pid_t)number[0];
	parent = (pid_t)number[1];
	if (getpid() != pid || getppid() != parent)
		return; /* a program that the watched one has started */
	object = attach((int)number[2]);
	if (object == NULL || atomic_load_explicit(&object->shared.stop, memory_order_relaxed) != 0)
		return;
	atomic_store_explicit(&object->shared.ended, 0, memory_order_relaxed);
	object->interval_ns = (uint64_t)number[3];
	object->share = (uint64_t)number[4];
	object->rest_ns = 0;
	object->maps.fd = -1;
	object->hash = object->n_tracked = object->n_refused = 0;
	start_thread();
	(void)at_quick_exit(finish); /* runs after the program's own functions */
	if (object_tracker != NULL)
		(void)pthread_atfork(NULL, in_parent, in_child);
}
