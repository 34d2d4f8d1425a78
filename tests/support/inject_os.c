/* SPDX-License-Identifier: MIT */
#include "tests/support/inject_os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct inject_state *inject;

static const struct {
	const char *name;
	unsigned hows;
} calls[INJECT_COUNT] = {
#define INJECT_ENTRY(name, hows) { #name, hows },
	INJECT_CALLS(INJECT_ENTRY)
#undef INJECT_ENTRY
};

/* Every function of the seam is here, but for pid(), now(), nap(), alone() and release(). */
_Static_assert(sizeof(struct cm_os) == (INJECT_COUNT + 5) * sizeof(void (*)(void)),
	       "a function of the seam is missing from INJECT_CALLS");

const char *inject_name(enum inject_call call)
{
	return calls[call].name;
}

enum inject_call inject_named(const char *name)
{
	enum inject_call call = 0;

	while (call < INJECT_COUNT && strcmp(name, calls[call].name) != 0)
		call++;
	return call;
}

unsigned inject_hows(enum inject_call call)
{
	return calls[call].hows;
}

static _Thread_local bool stands_by, is_counter;

/* The clock is the kernel's own: that of the table may stand still. */
static void stop_thread(void)
{
	uint64_t end = cm_os_linux.now() + inject->fault.stop_ms * UINT64_C(1000000);
	int saved = errno;

	atomic_fetch_add_explicit(&inject->stopped, 1, memory_order_seq_cst);
	if (inject->fault.signal)
		(void)pthread_kill(pthread_self(), SIGUSR1);
	while (!atomic_load_explicit(&inject->go, memory_order_acquire) && cm_os_linux.now() < end)
		cm_os_linux.nap(100000);
	atomic_fetch_add_explicit(&inject->gone_on, 1, memory_order_seq_cst);
	errno = saved;
}

/* For most of two seconds: no helper may have begun, or none may be left. */
static void await_helper(void)
{
	uint64_t end = cm_os_linux.now() + UINT64_C(2000000000);

	while (atomic_load_explicit(&inject->fired, memory_order_relaxed) == 0 &&
	       cm_os_linux.now() < end)
		cm_os_linux.nap(100000);
}

/* 0, or how this call is to fail or to stop. */
static unsigned reach(enum inject_call call)
{
	const struct inject_fault *f = &inject->fault;
	unsigned n;

	if (stands_by || atomic_load_explicit(&inject->off, memory_order_relaxed))
		return 0;
	if (f->in_helper && is_counter && call == f->call) {
		await_helper();
		return 0;
	}
	n = atomic_fetch_add_explicit(&inject->calls[call], 1, memory_order_relaxed) + 1;
	if (call != f->call || f->nth == 0 || (f->on ? n < f->nth : n != f->nth))
		return 0;
	atomic_fetch_add_explicit(&inject->fired, 1, memory_order_relaxed);
	return f->how;
}

/* How a call fails, 0 if it does not; and whether it stops on the way out. */
struct visit {
	unsigned how;
	bool stops;
};

static struct visit enter(enum inject_call call)
{
	struct visit v = { .how = reach(call) };

	if (inject->fault.stop_ms != 0 && v.how != 0) {
		v.stops = v.how == INJECT_AFTER;
		if (!v.stops)
			stop_thread();
		v.how = 0;
	}
	return v;
}

static void leave(const struct visit *v)
{
	if (v->stops)
		stop_thread();
}

/* First in each function of the table: what is after the call is there at its end. */
#define VISIT(name) struct visit visit __attribute__((cleanup(leave))) = enter(INJECT_##name)

/* What the library gets to see of a failed call. */
static int seen(void)
{
	return inject->fault.lie ? 0 : inject->fault.error;
}

#define FAIL(name, call)                                                                           \
	do {                                                                                       \
		VISIT(name);                                                                       \
		if (visit.how == 0)                                                                \
			return (call);                                                             \
		if (visit.how == INJECT_AFTER)                                                     \
			(void)(call);                                                              \
		return seen();                                                                     \
	} while (0)

static int failing_map(size_t len, void **out)
{
	VISIT(map);
	int error = visit.how != 0 ? seen() : cm_os_linux.map(len, out);

	if (error == 0)
		atomic_fetch_add_explicit(&inject->maps, 1, memory_order_relaxed);
	return error;
}

static int failing_unmap(void *addr, size_t len)
{
	VISIT(unmap);
	unsigned how = visit.how;

	if (how != INJECT_BEFORE && cm_os_linux.unmap(addr, len) == 0)
		atomic_fetch_sub_explicit(&inject->maps, 1, memory_order_relaxed);
	return how == 0 ? 0 : seen();
}

/* Nothing can help a writer whose page cannot be made writable any more: what
 * fails for good only takes access away. */
static int failing_mprotect(uintptr_t addr, size_t len, int prot)
{
	if (inject->fault.on && (prot & PROT_WRITE) != 0)
		return cm_os_linux.mprotect(addr, len, prot);
	FAIL(mprotect, cm_os_linux.mprotect(addr, len, prot));
}

static int failing_madvise(void *addr, size_t len, int advice)
{
	FAIL(madvise, cm_os_linux.madvise(addr, len, advice));
}

static int failing_covered(uintptr_t addr, size_t len)
{
	FAIL(covered, cm_os_linux.covered(addr, len));
}

static int failing_vma_at(uintptr_t addr, struct cm_vma *out)
{
	FAIL(vma_at, cm_os_linux.vma_at(addr, out));
}

static int failing_writable(uintptr_t addr)
{
	FAIL(writable, cm_os_linux.writable(addr));
}

static int failing_vacant(uintptr_t addr, size_t len, int prot)
{
	FAIL(vacant, cm_os_linux.vacant(addr, len, prot));
}

static int failing_close(int fd)
{
	FAIL(close, cm_os_linux.close(fd));
}

/* EBADF is what closed descriptors say, and no others. */
static int failing_fd_id(int fd, struct cm_file_id *out)
{
	VISIT(fd_id);

	if (visit.how == 0)
		return cm_os_linux.fd_id(fd, out);
	if (seen() == -EBADF)
		(void)cm_os_linux.close(fd);
	return seen();
}

static bool failing_fd_is(int fd, const char *suffix)
{
	VISIT(fd_is);

	return visit.how == 0 && cm_os_linux.fd_is(fd, suffix);
}

static int failing_open_self(const char *name, int flags)
{
	FAIL(open_self, cm_os_linux.open_self(name, flags));
}

static int failing_open_proc(int pid, const char *name, int flags)
{
	FAIL(open_proc, cm_os_linux.open_proc(pid, name, flags));
}

static ssize_t failing_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	VISIT(pread);
	unsigned how = visit.how;

	if (how == INJECT_SHORT)
		return cm_os_linux.pread(fd, buf, len / 2, offset);
	if (how != 0 && inject->fault.lie) {
		memset(buf, 0, len); /* nothing there */
		return (ssize_t)len;
	}
	ssize_t n = how == INJECT_BEFORE ? 0 : cm_os_linux.pread(fd, buf, len, offset);
	return how == 0 ? n : seen();
}

static ssize_t failing_read(int fd, void *buf, size_t len)
{
	VISIT(read);
	unsigned how = visit.how;

	if (how == INJECT_SHORT)
		return cm_os_linux.read(fd, buf, len / 2);
	/* Nobody takes a message and says that there was none. */
	if (how == INJECT_AFTER && (seen() == -EAGAIN || seen() == -EINTR))
		how = INJECT_BEFORE;
	ssize_t n = how == INJECT_BEFORE ? 0 : cm_os_linux.read(fd, buf, len);
	return how == 0 ? n : seen();
}

static ssize_t failing_write(int fd, const void *buf, size_t len)
{
	VISIT(write);
	unsigned how = visit.how;

	if (how == INJECT_SHORT)
		return cm_os_linux.write(fd, buf, len / 2);
	ssize_t n = how == INJECT_BEFORE ? 0 : cm_os_linux.write(fd, buf, len);
	return how == 0 ? n : seen();
}

static int failing_pipe(int ends[2])
{
	FAIL(pipe, cm_os_linux.pipe(ends));
}

static int failing_poll(struct pollfd *fds, unsigned n, int timeout_ms)
{
	VISIT(poll);
	unsigned how = visit.how;
	int ready = how == INJECT_BEFORE ? 0 : cm_os_linux.poll(fds, n, timeout_ms);

	/* It may have waited until after the fault was gone. */
	if (how == 0 || atomic_load_explicit(&inject->off, memory_order_relaxed))
		return ready;
	return seen();
}

static int failing_uffd_open(bool user_mode_only, uint64_t features)
{
	FAIL(uffd_open, cm_os_linux.uffd_open(user_mode_only, features));
}

static int failing_uffd_open_device(bool user_mode_only, uint64_t features)
{
	FAIL(uffd_open_device, cm_os_linux.uffd_open_device(user_mode_only, features));
}

static int failing_uffd_register(int fd, uintptr_t start, size_t len)
{
	FAIL(uffd_register, cm_os_linux.uffd_register(fd, start, len));
}

static int failing_uffd_unregister(int fd, uintptr_t start, size_t len)
{
	FAIL(uffd_unregister, cm_os_linux.uffd_unregister(fd, start, len));
}

static int failing_uffd_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	FAIL(uffd_protect, cm_os_linux.uffd_protect(fd, start, len, protect));
}

static int failing_uffd_watched(int fd, uintptr_t start, size_t len, const void *nowhere)
{
	FAIL(uffd_watched, cm_os_linux.uffd_watched(fd, start, len, nowhere));
}

static int failing_futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	FAIL(futex_wait, cm_os_linux.futex_wait(word, value));
}

static int failing_futex_wake(_Atomic uint32_t *word, unsigned n)
{
	FAIL(futex_wake, cm_os_linux.futex_wake(word, n));
}

static long failing_scan(int fd, struct pm_scan_arg *arg)
{
	VISIT(scan);
	unsigned how = visit.how;
	long n = how == INJECT_BEFORE ? 0 : cm_os_linux.scan(fd, arg);

	if (how == 0)
		return n;
	if (inject->fault.lie)
		arg->walk_end = arg->end;
	return seen();
}

static int failing_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	FAIL(sigaction, cm_os_linux.sigaction(sig, act, old));
}

static int failing_seccomp_mode(void)
{
	FAIL(seccomp_mode, cm_os_linux.seccomp_mode());
}

static int failing_sysctl(const char *name)
{
	FAIL(sysctl, cm_os_linux.sysctl(name));
}

void inject_set_up(void)
{
	inject = mmap(NULL, sizeof *inject, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (inject == MAP_FAILED)
		abort();
}

static struct cm_os table;

void inject_begin(const struct inject_fault *fault)
{
	memset(inject, 0, sizeof *inject);
	inject->fault = *fault;
	table = cm_os_linux;
#define INJECT_ENTRY(name, hows) table.name = failing_##name;
	INJECT_CALLS(INJECT_ENTRY)
#undef INJECT_ENTRY
	cm_os = &table;
}

struct cm_os *inject_table(void)
{
	return &table;
}

static uint64_t still(void)
{
	return 1;
}

void inject_stop_clock(void)
{
	table.now = still;
}

void inject_stop(void)
{
	atomic_store_explicit(&inject->off, true, memory_order_relaxed);
}

void inject_end(void)
{
	cm_os = &cm_os_linux;
}

void inject_count_anew(void)
{
	for (size_t i = 0; i < INJECT_COUNT; i++)
		atomic_store_explicit(&inject->calls[i], 0, memory_order_relaxed);
	is_counter = true;
	atomic_store_explicit(&inject->off, false, memory_order_relaxed);
}

void inject_go(void)
{
	atomic_store_explicit(&inject->go, true, memory_order_release);
}

void inject_stand_by(void)
{
	stands_by = true;
}
