/* SPDX-License-Identifier: MIT
 *
 * The seam's Linux side: thin wrappers that return -errno and keep errno. */
#include "common/clock.h"
#include "lib/os/maps.h"
#include "lib/os/os.h"
#include "lib/os/own.h"
#include "lib/os/valgrind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Programs close or dup2 over low numbers without asking. */
#define HIGH_FD 200

/* The C library's open, read, close and the like are cancellation points: a thread that is
 * cancelled in one of ours would leave a lock behind, or die in a plain store that trapped.
 * syscall(2) is none. These are the only calls of their kind. */
#define raw_open(path, flags) ((int)syscall(SYS_openat, AT_FDCWD, path, flags))
#define raw_close(fd) ((int)syscall(SYS_close, fd))
#define raw_raise(fd, least) ((int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least))

/* syscall(2)'s result, with errno as it was. */
#define RESULT(type, call)                                                                         \
	do {                                                                                       \
		int saved_ = errno;                                                                \
		type result_ = (call);                                                             \
		if (result_ < 0)                                                                   \
			result_ = -errno;                                                          \
		errno = saved_;                                                                    \
		return result_;                                                                    \
	} while (0)

/* Moves fd to a high number; keeps its number if there is no room (RLIMIT_NOFILE below 200). But fd
 * is never 0, 1 or 2: a program that runs without these may still print to them, and text in
 * clear_refs or in our pipe acts as a command. -1 with EMFILE: there is no other number. */
static int raise_fd(int fd)
{
	int saved = errno;
	int high = fd < 0 || fd >= HIGH_FD ? -1 : raw_raise(fd, HIGH_FD);

	if (high < 0 && fd >= 0 && fd <= STDERR_FILENO) {
		high = raw_raise(fd, STDERR_FILENO + 1);
		if (high < 0) {
			(void)raw_close(fd);
			errno = EMFILE;
			return -1;
		}
	}
	if (high >= 0) {
		(void)raw_close(fd);
		fd = high;
	}
	errno = saved;
	return fd;
}

static int linux_map(size_t len, void **out)
{
	int saved = errno;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		int error = -errno;
		errno = saved;
		return error;
	}
	/* VM_DONTDUMP differs from any heap's flags, so the kernel never merges
	 * this mapping with one that is tracked (R14). The name is for a person
	 * who reads /proc/PID/maps; kernels without it refuse, no harm done. */
	(void)madvise(p, len, MADV_DONTDUMP);
	/* Our tables are large and sparse. If huge pages are always on, one byte of a table would
	 * cost 2 MiB (since 6.7 a mapping that long is aligned to it: commit efa7df3e3bb5). */
	(void)madvise(p, len, MADV_NOHUGEPAGE);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, len, "libcardmark");
	cm_own_add(p, len);
	errno = saved;
	*out = p;
	return 0;
}

static int linux_unmap(void *addr, size_t len)
{
	cm_own_remove(addr);
	RESULT(int, munmap(addr, len));
}

static int linux_mprotect(uintptr_t addr, size_t len, int prot)
{
	RESULT(int, mprotect((void *)addr, len, prot));
}

static int linux_madvise(void *addr, size_t len, int advice)
{
	RESULT(int, madvise(addr, len, advice));
}

static int linux_covered(uintptr_t addr, size_t len)
{
	/* MS_ASYNC only walks the mappings, and fails at a hole. */
	RESULT(int, (int)syscall(SYS_msync, addr, len, MS_ASYNC));
}

static int linux_vma_at(uintptr_t addr, struct cm_vma *out)
{
	int saved = errno;
	int error = 0;
	int fd = raw_open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct procmap_query q;

	if (fd < 0) {
		error = -errno; /* ENOENT too: there is no /proc */
		errno = saved;
		return error;
	}
	memset(&q, 0, sizeof q);
	q.size = sizeof q;
	q.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA;
	q.query_addr = addr;
	if (ioctl(fd, PROCMAP_QUERY, &q) == 0) {
		out->start = (uintptr_t)q.vma_start;
		out->end = (uintptr_t)q.vma_end;
		out->prot = (q.vma_flags & PROCMAP_QUERY_VMA_READABLE ? PROT_READ : 0) |
			    (q.vma_flags & PROCMAP_QUERY_VMA_WRITABLE ? PROT_WRITE : 0) |
			    (q.vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE ? PROT_EXEC : 0);
		out->shared = (q.vma_flags & PROCMAP_QUERY_VMA_SHARED) != 0;
		out->file = q.inode != 0 || q.dev_major != 0 || q.dev_minor != 0;
		out->page_size = (size_t)q.vma_page_size;
	} else if (errno == ENOENT) {
		*out = CM_NO_VMA;
	} else { /* ENOTTY: before 6.11 */
		error = cm_vma_from_text(fd, addr, out);
	}
	(void)raw_close(fd);
	errno = saved;
	return error;
}

/* Adds 0 to the word, atomically for other threads' writes, as a side effect of waking no
 * thread. */
static int linux_writable(uintptr_t addr)
{
	static uint32_t word; /* no thread waits on it */
	int saved = errno, answer = 1;

	if (syscall(SYS_futex, &word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0,
		    addr & ~(uintptr_t)3, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_LT, -2048)) < 0)
		answer = errno == EFAULT ? 0 : -errno;
	errno = saved;
	return answer;
}

/* mprotect(2) refuses this flag (EINVAL) for memory that is not a stack, but only after it has
 * found a mapping. */
static int linux_vacant(uintptr_t addr, size_t len, int prot)
{
	int saved = errno, answer = 0;

	if (mprotect((void *)addr, len, prot | PROT_GROWSDOWN) < 0 && errno != EINVAL)
		answer = errno == ENOMEM ? 1 : -errno;
	errno = saved;
	return answer;
}

static int linux_close(int fd)
{
	RESULT(int, raw_close(fd));
}

static int linux_fd_id(int fd, struct cm_file_id *out)
{
	int saved = errno, error = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		error = -errno;
	else
		*out = (struct cm_file_id){ st.st_dev, st.st_ino };
	errno = saved;
	return error;
}

static bool linux_fd_is(int fd, const char *suffix)
{
	char link[40] = "/proc/self/fd/", digits[12], path[256];
	size_t n = strlen(link), want = strlen(suffix);
	int saved = errno, i = 0;
	ssize_t len;

	if (fd < 0)
		return false;
	do
		digits[i++] = (char)('0' + fd % 10);
	while ((fd /= 10) != 0);
	while (i > 0)
		link[n++] = digits[--i];
	link[n] = '\0';
	len = readlink(link, path, sizeof path);
	errno = saved;
	return len >= (ssize_t)want && memcmp(path + len - want, suffix, want) == 0;
}

static int linux_open_self(const char *name, int flags)
{
	char path[32] = "/proc/self/";
	size_t n = strlen(path), len = strlen(name);

	if (n + len >= sizeof path)
		return -EINVAL;
	memcpy(path + n, name, len + 1);
	RESULT(int, raise_fd(raw_open(path, flags | O_CLOEXEC)));
}

static int linux_open_proc(int pid, const char *name, int flags)
{
	char path[48] = "/proc/", digits[12];
	size_t n = strlen(path), len = strlen(name);
	int i = 0;

	if (pid <= 0 || n + sizeof digits + 1 + len >= sizeof path)
		return -EINVAL;
	do
		digits[i++] = (char)('0' + pid % 10);
	while ((pid /= 10) != 0);
	while (i > 0)
		path[n++] = digits[--i];
	path[n++] = '/';
	memcpy(path + n, name, len + 1);
	RESULT(int, raise_fd(raw_open(path, flags | O_CLOEXEC)));
}

static ssize_t linux_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	RESULT(ssize_t, syscall(SYS_pread64, fd, buf, len, offset));
}

static ssize_t linux_read(int fd, void *buf, size_t len)
{
	RESULT(ssize_t, syscall(SYS_read, fd, buf, len));
}

/* A pipe whose other end the program has just closed returns EPIPE: its SIGPIPE, which would
 * end the program, is taken back. */
static ssize_t linux_write(int fd, const void *buf, size_t len)
{
	struct timespec none = { 0, 0 };
	sigset_t broken, before, pending;
	int saved = errno;
	ssize_t n;

	(void)sigemptyset(&broken);
	(void)sigaddset(&broken, SIGPIPE);
	(void)sigpending(&pending);
	(void)pthread_sigmask(SIG_BLOCK, &broken, &before);
	n = syscall(SYS_write, fd, buf, len);
	if (n < 0) {
		n = -errno;
		while (n == -EPIPE && sigismember(&pending, SIGPIPE) == 0 &&
		       syscall(SYS_rt_sigtimedwait, &broken, NULL, &none, _NSIG / 8) < 0 &&
		       errno == EINTR)
			;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return n;
}

static int linux_pipe(int ends[2])
{
	int saved = errno, error = 0;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		error = -errno;
	} else {
		ends[0] = raise_fd(ends[0]);
		ends[1] = raise_fd(ends[1]);
		if (ends[0] < 0 || ends[1] < 0) {
			if (ends[0] >= 0)
				(void)raw_close(ends[0]);
			if (ends[1] >= 0)
				(void)raw_close(ends[1]);
			error = -EMFILE;
		}
	}
	errno = saved;
	return error;
}

static int linux_poll(struct pollfd *fds, unsigned n, int timeout_ms)
{
	struct timespec limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	RESULT(int, (int)syscall(SYS_ppoll, fds, n, timeout_ms < 0 ? NULL : &limit, NULL, 0));
}

/* fd is a new userfaultfd, or none: errno has the reason. */
static int ready_uffd(int fd, uint64_t features, int saved)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int error;

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0) {
		fd = raise_fd(fd);
		error = fd < 0 ? -errno : fd;
		errno = saved;
		return error;
	}
	error = -errno;
	if (fd >= 0)
		(void)raw_close(fd);
	errno = saved;
	return error;
}

#define UFFD_FLAGS(user_mode_only)                                                                 \
	(O_CLOEXEC | O_NONBLOCK | ((user_mode_only) ? UFFD_USER_MODE_ONLY : 0))

static int linux_uffd_open(bool user_mode_only, uint64_t features)
{
	int saved = errno;
	int fd = (int)syscall(SYS_userfaultfd, UFFD_FLAGS(user_mode_only));

	return ready_uffd(fd, features, saved);
}

static int linux_uffd_open_device(bool user_mode_only, uint64_t features)
{
	int saved = errno, fd = -1, error;
	/* Not to wait, if it should be a pipe. */
	int device = raw_open("/dev/userfaultfd", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, UFFD_FLAGS(user_mode_only));
		error = errno;
		(void)raw_close(device);
		errno = error;
	}
	return ready_uffd(fd, features, saved);
}

static int linux_uffd_unregister(int fd, uintptr_t start, size_t len)
{
	struct uffdio_range range = { .start = start, .len = len };
	RESULT(int, ioctl(fd, UFFDIO_UNREGISTER, &range));
}

static int linux_uffd_register(int fd, uintptr_t start, size_t len)
{
	struct uffdio_register reg = { .range = { .start = start, .len = len },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	int saved = errno;
	int error = ioctl(fd, UFFDIO_REGISTER, &reg) == 0 ? 0 : -errno;

	errno = saved;
	/* A feature that only huge TLB pages lack. The kernel would register them. */
	if (error == 0 && !(reg.ioctls & UINT64_C(1) << _UFFDIO_ZEROPAGE)) {
		(void)linux_uffd_unregister(fd, start, len);
		error = -ENOTSUP;
	}
	return error;
}

static int linux_uffd_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	struct uffdio_writeprotect wp = { .range = { .start = start, .len = len },
					  .mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };
	RESULT(int, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
}

/* No call answers this directly. But a copy checks its destination before it reads its source, and
 * a source without access ends the copy before it writes anything. */
static int copy_nothing(int fd, uintptr_t start, size_t len, const void *nowhere)
{
	struct uffdio_copy copy = { .dst = start,
				    .src = (uintptr_t)nowhere,
				    .len = len,
				    .mode = UFFDIO_COPY_MODE_DONTWAKE };
	int error = ioctl(fd, UFFDIO_COPY, &copy) == 0 ? 0 : -errno;

	return error == -EFAULT || error == -EEXIST ? 0 : error;
}

/* Before that, the source must end below the end of user space, or the call returns EINVAL: nowhere
 * may lie too high for the length of a large heap, but never for one card. */
static int linux_uffd_watched(int fd, uintptr_t start, size_t len, const void *nowhere)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), piece = len;
	int saved = errno, error = 0;

	while (len > 0) {
		if (piece > len)
			piece = len;
		error = copy_nothing(fd, start, piece, nowhere);
		if (error == -EINVAL && piece > page) {
			piece = piece / 2 / page * page;
			continue;
		}
		if (error < 0)
			break;
		start += piece;
		len -= piece;
	}
	errno = saved;
	return error;
}

static long scan(int fd, struct pm_scan_arg *arg)
{
	long n = ioctl(fd, PAGEMAP_SCAN, arg);

	if (n > 0)
		cm_valgrind_defined((uintptr_t)arg->vec, (size_t)n * sizeof(struct page_region));
	return n;
}

static long linux_scan(int fd, struct pm_scan_arg *arg)
{
	RESULT(long, scan(fd, arg));
}

static int linux_futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	RESULT(int, (int)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0));
}

static int linux_futex_wake(_Atomic uint32_t *word, unsigned n)
{
	RESULT(int, (int)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0));
}

static int linux_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	RESULT(int, sigaction(sig, act, old));
}

static int linux_pid(void)
{
	return getpid();
}

static uint64_t linux_now(void)
{
	return cm_now_ns();
}

/* Without a descriptor: the program may count on the lowest numbers. The first thread stays in the
 * count of threads until the process ends, but has no program any more. */
static int linux_alone(void)
{
	enum { LINKS = 2, THREADS = 2 };
	int saved = errno;
	struct stat s;
	char c;
	int alone = stat("/proc/self/task", &s) == 0 && s.st_nlink == LINKS + THREADS &&
		    readlink("/proc/self/exe", &c, 1) < 0 && errno == ENOENT;

	errno = saved;
	return alone;
}

static int linux_seccomp_mode(void)
{
	RESULT(int, prctl(PR_GET_SECCOMP));
}

static int linux_sysctl(const char *name)
{
	char path[64] = "/proc/sys/", text[16];
	size_t n = strlen(path), len = strlen(name);
	int saved = errno, fd, answer;
	ssize_t got;

	if (n + len >= sizeof path)
		return -EINVAL;
	memcpy(path + n, name, len + 1);
	fd = raw_open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof text - 1);
	answer = got < 0 ? -errno : -EIO;
	if (got > 0) {
		text[got] = '\0';
		answer = atoi(text);
	}
	if (fd >= 0)
		(void)raw_close(fd);
	errno = saved;
	return answer;
}

static int linux_release(char *buf, size_t len)
{
	struct utsname name;
	size_t n;

	/* Fails for a bad address only. */
	if (len == 0 || uname(&name) != 0)
		return -EINVAL;
	n = strlen(name.release);
	if (n >= len)
		n = len - 1;
	memcpy(buf, name.release, n);
	buf[n] = '\0';
	return 0;
}

static void linux_nap(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	int saved = errno;

	(void)syscall(SYS_nanosleep, &ts, NULL);
	errno = saved;
}

const struct cm_os cm_os_linux = {
	.map = linux_map,
	.unmap = linux_unmap,
	.mprotect = linux_mprotect,
	.madvise = linux_madvise,
	.covered = linux_covered,
	.vma_at = linux_vma_at,
	.writable = linux_writable,
	.vacant = linux_vacant,
	.close = linux_close,
	.fd_id = linux_fd_id,
	.fd_is = linux_fd_is,
	.open_self = linux_open_self,
	.open_proc = linux_open_proc,
	.pread = linux_pread,
	.read = linux_read,
	.write = linux_write,
	.pipe = linux_pipe,
	.poll = linux_poll,
	.uffd_open = linux_uffd_open,
	.uffd_open_device = linux_uffd_open_device,
	.uffd_register = linux_uffd_register,
	.uffd_unregister = linux_uffd_unregister,
	.uffd_protect = linux_uffd_protect,
	.uffd_watched = linux_uffd_watched,
	.scan = linux_scan,
	.futex_wait = linux_futex_wait,
	.futex_wake = linux_futex_wake,
	.sigaction = linux_sigaction,
	.pid = linux_pid,
	.now = linux_now,
	.alone = linux_alone,
	.seccomp_mode = linux_seccomp_mode,
	.sysctl = linux_sysctl,
	.release = linux_release,
	.nap = linux_nap,
};

const struct cm_os *cm_os = &cm_os_linux;

int cm_own_map(size_t len, void **out)
{
	return cm_os->map(len, out);
}

int cm_own_unmap(void *addr, size_t len)
{
	return cm_os->unmap(addr, len);
}
