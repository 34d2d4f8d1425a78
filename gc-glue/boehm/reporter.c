/* SPDX-License-Identifier: MIT
 *
 * The reporter: a thread that writes while the program runs: the log, the counters at an interval,
 * and a report for `cardmark stats PID`.
 *
 * libgc does not know this thread, so it is never stopped. It never takes libgc's lock, so it may
 * wait for a slow pipe. It blocks every signal.
 *
 * A request is SIGURG to this one thread, which takes it with sigtimedwait(). No handler is called,
 * no system call of the program is interrupted, and no file or socket is left behind. If the thread
 * is gone and another thread has its number, SIGURG does nothing by default. The kernel decides who
 * may send it (kill(2)). The answer is a memory file among our descriptors, which only root and the
 * process's user can open. */
#include "gc-glue/boehm/tell.h"
#include "lib/os/own.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME "cardmark-report" /* tools/ask.c looks for it */
#define STACK ((size_t)256 << 10)
#define LOWEST_FD 200
#define ANSWER_NS UINT64_C(10000000000) /* how long an answer is kept */
#define MOST_EVERY_NS (UINT64_C(86400) * 1000000000)

static bool wanted;
static uint64_t every_ns;
static _Atomic int reporter;   /* the thread's id; 0: none */
static _Atomic bool is_needed; /* by a fork child that collects */

static struct {
	int fd; /* 0: none */
	struct stat st;
	uint64_t until;
} answer;

/* ---- An answer --------------------------------------------------------------------------- */

static void drop_answer(void)
{
	struct stat st;

	/* The program may have closed it, and the number may be another file's. */
	if (answer.fd > 0 && fstat(answer.fd, &st) == 0 && st.st_dev == answer.st.st_dev &&
	    st.st_ino == answer.st.st_ino)
		close(answer.fd);
	answer.fd = 0;
}

static void give_answer(int token)
{
	char name[64];
	struct cm_gc_out o;
	int fd, high;

	drop_answer();
	(void)snprintf(name, sizeof name, NAME "-%d", token);
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return;
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	if (high > 0) {
		close(fd);
		fd = high;
	}
	o = (struct cm_gc_out){ .fd = fd };
	cm_gc_report_put(&o);
	cm_gc_flush(&o);
	/* Sealed: it is whole. */
	if (o.error || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0 ||
	    fstat(fd, &answer.st) != 0) {
		close(fd);
		return;
	}
	answer.fd = fd;
	answer.until = cm_now_ns() + ANSWER_NS;
}

/* ---- The thread ---------------------------------------------------------------------------- */

static uint64_t wait_ns(uint64_t next_every)
{
	uint64_t now = cm_now_ns(), until = UINT64_MAX;

	if (every_ns)
		until = next_every;
	if (answer.fd > 0 && answer.until < until)
		until = answer.until;
	if (until == UINT64_MAX)
		return MOST_EVERY_NS;
	return until > now ? until - now : 0;
}

static void act(const siginfo_t *info, int sig, bool is_time)
{
	if (!cm_gc_turn_take())
		return;
	cm_gc_log_write();
	if (sig == SIGURG && info->si_code == SI_QUEUE) {
		give_answer(info->si_value.sival_int);
		cm_gc_tracefile_write();
	}
	if (is_time)
		cm_gc_statsfile_write();
	if (answer.fd > 0 && cm_now_ns() >= answer.until)
		drop_answer();
	cm_gc_turn_give();
}

static void *report(void *arg)
{
	uint64_t next = cm_now_ns() + every_ns;
	sigset_t urgent;

	(void)arg;
	(void)prctl(PR_SET_NAME, NAME);
	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	atomic_store_explicit(&reporter, (int)syscall(SYS_gettid), memory_order_relaxed);
	for (;;) {
		uint64_t ns = wait_ns(next);
		const struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
		siginfo_t info = { 0 };
		int sig = sigtimedwait(&urgent, &info, &t);
		bool is_time = every_ns && cm_now_ns() >= next;

		act(&info, sig, is_time);
		while (is_time && next <= cm_now_ns())
			next += every_ns;
	}
	return NULL;
}

/* Some builds of libgc replace pthread_create(), and would then try to stop this thread, which
 * blocks the signal. */
static bool is_libgcs_own(int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
					void *))
{
	return (uintptr_t)create >= (uintptr_t)cm_gc_api.base && (uintptr_t)create < cm_gc_api.end;
}

static int start(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	void *stack;
	int error;

	if (is_libgcs_own(pthread_create))
		return ENOTSUP;
	if (cm_own_map(STACK, &stack) < 0)
		return ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, report, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error)
		(void)cm_own_unmap(stack, STACK);
	return error;
}

static void start_and_say(void)
{
	char text[400];
	int error = start();

	if (!error)
		return;
	(void)snprintf(text, sizeof text,
		       "the thread that writes while the program runs cannot be started (%s): the "
		       "log comes at the end, --every and cardmark stats do nothing",
		       error == ENOTSUP ? "this libgc would stop it with the program's"
					: cm_gc_file_words(error));
	cm_gc_say("cardmark", text);
}

void cm_gc_reporter_start(void)
{
	const char *live = secure_getenv("CARDMARK_LIVE");
	const char *every = secure_getenv("CARDMARK_STATS_EVERY");

	/* Seconds: a thousandth of what the same text means in milliseconds. */
	if (every && *every &&
	    (!cm_gc_ms_parse(every, MOST_EVERY_NS / 1000, &every_ns) || every_ns < 100000)) {
		cm_gc_say("cardmark", "CARDMARK_STATS_EVERY is not a number of seconds from 0.1 to "
				      "86400: nothing is written until the end");
		every_ns = 0;
	}
	every_ns *= 1000;
	wanted = cm_gc_log_is_on() || every_ns || (live && *live == '1');
	if (wanted)
		start_and_say();
}

void cm_gc_reporter_wake(void)
{
	int thread = atomic_load_explicit(&reporter, memory_order_relaxed);
	int saved = errno;

	if (thread && cm_gc_log_is_on())
		(void)syscall(SYS_tgkill, cm_gc_config.self, thread, SIGURG);
	else if (!thread && wanted && cm_gc_config.pid != cm_gc_config.self)
		atomic_store_explicit(&is_needed, true, memory_order_relaxed);
	errno = saved;
}

void cm_gc_reporter_check(void)
{
	int saved = errno;

	if (!atomic_load_explicit(&is_needed, memory_order_relaxed) ||
	    !atomic_exchange_explicit(&is_needed, false, memory_order_relaxed))
		return;
	start_and_say();
	errno = saved;
}

void cm_gc_reporter_child(void)
{
	atomic_store_explicit(&reporter, 0, memory_order_relaxed);
	atomic_store_explicit(&is_needed, false, memory_order_relaxed);
	/* The copy of the parent's: a reader would wait for us. */
	drop_answer();
}
