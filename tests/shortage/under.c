/* SPDX-License-Identifier: MIT
 *
 * Preloaded into any program: it becomes short of something.
 *
 * CARDMARK_SHORTAGE=KIND[,SEED]. The seed decides how short and when. What comes later comes
 * from a thread of its own, and so in this process only; what is there from the beginning
 * comes to its children too. A process that may not be made short ends with status 77. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/random.h"

#define CANNOT 77
#define NOBODY 65534
#define MOST_MS 150 /* until what comes later comes */
#define MOST_FD 1024

static uint64_t rng;
static char kind[64];
static _Atomic bool over;
static pthread_t later;
static bool comes_later;

/* The program calls it, if it wants to know how it fares afterwards. False: there is no way
 * back. */
bool shortage_end(void);

static _Noreturn void cannot(const char *what)
{
	(void)fprintf(stderr, "short of %s: %s: %s\n", kind, what, strerror(errno));
	_exit(CANNOT);
}

static bool is(const char *name)
{
	return strcmp(kind, name) == 0;
}

static void wait_ms(uint64_t most)
{
	uint64_t ns = random_below(&rng, most * 1000000);
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000),
			      .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&t, NULL);
}

/* ---- Limits ------------------------------------------------------------------------- */

static struct rlimit before_files, before_space;

static void limit(__rlimit_resource_t which, rlim_t value, struct rlimit *before)
{
	struct rlimit r;

	if (getrlimit(which, before) != 0)
		cannot("getrlimit");
	r = *before;
	if (r.rlim_cur > value)
		r.rlim_cur = value;
	if (setrlimit(which, &r) != 0)
		cannot("setrlimit");
}

/* Bytes that are mapped. */
static rlim_t space_now(void)
{
	unsigned long pages = 0;
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
		pages = strtoul(text, NULL, 10);
	(void)close(fd);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* ---- Files that are taken away --------------------------------------------------------- */

/* A number that is open and no standard stream; the program has none of its own. */
static int some_number(void)
{
	int fd = (int)random_below(&rng, MOST_FD);

	for (int n = 0; n < MOST_FD; n++, fd = (fd + 1) % MOST_FD)
		if (fd > 2 && fcntl(fd, F_GETFD) >= 0)
			return fd;
	return -1;
}

static void take_one(void)
{
	int fd = some_number(), null;

	if (fd < 0)
		return;
	if (random_below(&rng, 2) == 0) {
		(void)close(fd);
		return;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	if (null != fd)
		(void)dup2(null, fd);
	(void)close(null);
}

static void take_files(void)
{
	while (!atomic_load(&over)) {
		take_one();
		wait_ms(8);
	}
}

/* ---- System calls that are refused -------------------------------------------------------- */

enum which { ANY, UFFD_IOCTL, SCAN_IOCTL, TAKES_WRITE };

static const struct call {
	const char *name;
	unsigned nr;
	enum which which;
} calls[] = {
	{ "userfaultfd", SYS_userfaultfd, ANY },
	{ "uffd-ioctl", SYS_ioctl, UFFD_IOCTL },
	{ "scan-ioctl", SYS_ioctl, SCAN_IOCTL },
	{ "openat", SYS_openat, ANY },
	{ "pread", SYS_pread64, ANY },
	{ "read", SYS_read, ANY },
	{ "write", SYS_write, ANY },
	{ "madvise", SYS_madvise, ANY },
	{ "msync", SYS_msync, ANY },
	{ "mincore", SYS_mincore, ANY },
	/* Whoever may not give PROT_WRITE back leaves memory without it. */
	{ "mprotect", SYS_mprotect, TAKES_WRITE },
	{ "mmap", SYS_mmap, ANY },
	{ "munmap", SYS_munmap, ANY },
	{ "pipe", SYS_pipe2, ANY },
	{ "fcntl", SYS_fcntl, ANY },
	{ "fstat", SYS_newfstatat, ANY },
	{ "readlink", SYS_readlinkat, ANY },
	{ "sigaction", SYS_rt_sigaction, ANY },
	{ "clone", SYS_clone3, ANY },
	{ "prctl", SYS_prctl, ANY },
};

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif

#define ARG_LOW(n) ((unsigned)(offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t)))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

static void refuse(const struct call *call, unsigned error)
{
	struct sock_filter any[] = {
		LOAD(offsetof(struct seccomp_data, arch)), UNLESS(ARCH, 3),
		LOAD(offsetof(struct seccomp_data, nr)),   UNLESS(call->nr, 1),
		ANSWER(SECCOMP_RET_ERRNO | error),         ANSWER(SECCOMP_RET_ALLOW)
	};
	/* The type of an ioctl is its second byte. */
	struct sock_filter ioctls[] = { LOAD(offsetof(struct seccomp_data, arch)),
					UNLESS(ARCH, 6),
					LOAD(offsetof(struct seccomp_data, nr)),
					UNLESS(call->nr, 4),
					LOAD(ARG_LOW(1)),
					BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
					UNLESS(call->which == UFFD_IOCTL ? 0xaa00 : 'f' << 8, 1),
					ANSWER(SECCOMP_RET_ERRNO | error),
					ANSWER(SECCOMP_RET_ALLOW) };
	struct sock_filter takes_write[] = { LOAD(offsetof(struct seccomp_data, arch)),
					     UNLESS(ARCH, 6),
					     LOAD(offsetof(struct seccomp_data, nr)),
					     UNLESS(call->nr, 4),
					     LOAD(ARG_LOW(2)),
					     BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE),
					     UNLESS(0, 1),
					     ANSWER(SECCOMP_RET_ERRNO | error),
					     ANSWER(SECCOMP_RET_ALLOW) };
	struct sock_fprog program = { .len = sizeof any / sizeof *any, .filter = any };

	if (call->which == UFFD_IOCTL || call->which == SCAN_IOCTL)
		program = (struct sock_fprog){ sizeof ioctls / sizeof *ioctls, ioctls };
	else if (call->which == TAKES_WRITE)
		program = (struct sock_fprog){ sizeof takes_write / sizeof *takes_write,
					       takes_write };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		cannot("seccomp");
}

static unsigned some_error(void)
{
	static const unsigned errors[] = { EPERM, ENOSYS, EACCES, ENOMEM, EINVAL };

	return errors[random_below(&rng, sizeof errors / sizeof *errors)];
}

/* "no-NAME": the call is refused. */
static bool refuse_named(const char *name)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (strcmp(calls[i].name, name) == 0) {
			refuse(&calls[i], some_error());
			return true;
		}
	return false;
}

/* ---- Signals --------------------------------------------------------------------------------- */

static void do_nothing(int sig)
{
	(void)sig;
}

static void start_signals(void)
{
	struct sigaction act = { .sa_handler = do_nothing };
	struct itimerval often = { { 0, 500 }, { 0, 500 } };

	/* No SA_RESTART: what can be interrupted is. */
	(void)sigaction(SIGUSR1, &act, NULL);
	(void)sigaction(SIGPROF, &act, NULL);
	(void)setitimer(ITIMER_PROF, &often, NULL);
}

static void send_signals(void)
{
	while (!atomic_load(&over)) {
		(void)kill(getpid(), SIGUSR1);
		wait_ms(1);
	}
}

/* ---- All kinds ----------------------------------------------------------------------------------
 */

static void leave_proc(void)
{
	char empty[] = "/tmp/shortage-XXXXXX";

	/* What is removed can be a root, and is gone with the process. */
	if (mkdtemp(empty) == NULL || chdir(empty) != 0 || rmdir(empty) != 0 || chroot(".") != 0)
		cannot("chroot");
}

static void become_nobody(void)
{
	if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
		cannot("setuid");
}

static void fill_files(unsigned left)
{
	int last = -1;

	limit(RLIMIT_NOFILE, 64 + random_below(&rng, 400), &before_files);
	for (int fd; (fd = fcntl(2, F_DUPFD_CLOEXEC, 3)) >= 0;)
		last = fd;
	for (; left > 0 && last > 2; left--)
		(void)close(last--);
}

/* What needs no thread, now. False: there is no such kind. */
static bool begin(const char *name)
{
	if (strcmp(name, "few-files") == 0)
		limit(RLIMIT_NOFILE, 3 + random_below(&rng, 12), &before_files);
	else if (strcmp(name, "full-files") == 0)
		fill_files((unsigned)random_below(&rng, 4));
	else if (strcmp(name, "space") == 0)
		limit(RLIMIT_AS, space_now() + random_below(&rng, 24) * (1 << 19), &before_space);
	else if (strcmp(name, "proc") == 0)
		leave_proc();
	else if (strcmp(name, "rights") == 0)
		become_nobody();
	else if (strcmp(name, "dumpable") == 0)
		return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
	else
		return strncmp(name, "no-", 3) == 0 && refuse_named(name + 3);
	return true;
}

static void *come_later(void *unused)
{
	if (is("lost-files")) {
		take_files();
	} else if (is("signals")) {
		send_signals();
	} else {
		wait_ms(MOST_MS);
		if (!atomic_load(&over) && !begin(kind + strlen("late-")))
			cannot("no such kind");
	}
	return unused;
}

bool shortage_end(void)
{
	atomic_store(&over, true);
	if (comes_later)
		(void)pthread_join(later, NULL);
	comes_later = false;
	if (before_files.rlim_max != 0 && setrlimit(RLIMIT_NOFILE, &before_files) != 0)
		return false;
	if (before_space.rlim_max != 0 && setrlimit(RLIMIT_AS, &before_space) != 0)
		return false;
	if (is("signals") || is("lost-files"))
		return true;
	return strstr(kind, "files") != NULL ? strstr(kind, "full") == NULL
					     : is("space") || is("late-space");
}

__attribute__((constructor)) static void become_short(void)
{
	const char *text = getenv("CARDMARK_SHORTAGE");
	unsigned long seed = 1;

	if (text == NULL || sscanf(text, "%63[^,],%lu", kind, &seed) < 1)
		return;
	rng = seed;
	(void)random_next(&rng);
	if (is("none") || is("cancel"))
		return;
	if (is("signals"))
		start_signals();
	if (!is("signals") && !is("lost-files") && strncmp(kind, "late-", 5) != 0) {
		if (!begin(kind))
			cannot("no such kind");
		return;
	}
	if (pthread_create(&later, NULL, come_later, NULL) != 0)
		cannot("pthread_create");
	comes_later = true;
}
