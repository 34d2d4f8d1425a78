/* SPDX-License-Identifier: MIT
 *
 * The seam's Linux side: thin wrappers that return -errno and keep errno. */
#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Programs close or dup2 over low numbers without asking. */
#define HIGH_FD 200

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

/* Moves fd out of the program's way; keeps it where it is if there is no room
 * (RLIMIT_NOFILE below 200). */
static int raise_fd(int fd)
{
	int saved = errno;
	int high = fd < 0 || fd >= HIGH_FD ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (high >= 0) {
		(void)close(fd);
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
	 * this mapping with one that is tracked (R14). The name is for people
	 * who read /proc/PID/maps; kernels without it refuse, no harm done. */
	(void)madvise(p, len, MADV_DONTDUMP);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, len, "libcardmark");
	errno = saved;
	*out = p;
	return 0;
}

static int linux_unmap(void *addr, size_t len)
{
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
	/* MS_ASYNC does nothing but walk the mappings and fail at a hole. */
	RESULT(int, msync((void *)addr, len, MS_ASYNC));
}

/* A field of a maps line: hexadecimal digits at *p, which moves past them. */
static uint64_t hex(const char **p)
{
	uint64_t v = 0;

	for (;; (*p)++) {
		char c = **p;
		unsigned d;
		if (c >= '0' && c <= '9')
			d = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			d = (unsigned)(c - 'a') + 10;
		else
			return v;
		v = v << 4 | d;
	}
}

/* "start-end rwxs offset major:minor inode path" */
static void parse_maps_line(const char *p, struct cm_vma *out)
{
	out->start = (uintptr_t)hex(&p);
	p++;
	out->end = (uintptr_t)hex(&p);
	p++;
	out->prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) |
		    (p[2] == 'x' ? PROT_EXEC : 0);
	out->shared = p[3] == 's';
	p += 5;
	(void)hex(&p);
	p++;
	uint64_t major = hex(&p);
	p++;
	uint64_t minor = hex(&p);
	p++;
	out->file = !(major == 0 && minor == 0 && *p == '0');
	out->page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (strstr(p, "hugepage") != NULL || strstr(p, "/hugetlbfs") != NULL)
		out->page_size = (size_t)2 << 20;
}

/* Kernels before 6.11: read the text, line by line, in a buffer on the stack. */
static int vma_from_text(int fd, uintptr_t addr, struct cm_vma *out)
{
	char buf[4096];
	size_t have = 0;
	uint64_t offset = 0;

	for (;;) {
		ssize_t n = pread(fd, buf + have, sizeof buf - 1 - have, (off_t)offset);
		if (n < 0)
			return -errno;
		offset += (uint64_t)n;
		have += (size_t)n;
		buf[have] = '\0';

		char *line = buf, *nl;
		while ((nl = memchr(line, '\n', have - (size_t)(line - buf))) != NULL) {
			*nl = '\0';
			parse_maps_line(line, out);
			if (out->end > addr)
				return 0;
			line = nl + 1;
		}
		if (n == 0)
			return -ENOENT;
		have -= (size_t)(line - buf);
		if (have == sizeof buf - 1)
			return -EIO; /* no line is that long */
		memmove(buf, line, have);
	}
}

static int linux_vma_at(uintptr_t addr, struct cm_vma *out)
{
	int saved = errno;
	int error = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct procmap_query q;

	if (fd < 0) {
		error = -errno;
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
		error = -ENOENT;
	} else { /* ENOTTY: before 6.11 */
		error = vma_from_text(fd, addr, out);
	}
	(void)close(fd);
	errno = saved;
	return error;
}

static int linux_close(int fd)
{
	RESULT(int, close(fd));
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
	RESULT(int, raise_fd(open(path, flags | O_CLOEXEC)));
}

static ssize_t linux_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	RESULT(ssize_t, pread(fd, buf, len, (off_t)offset));
}

static ssize_t linux_read(int fd, void *buf, size_t len)
{
	RESULT(ssize_t, read(fd, buf, len));
}

static ssize_t linux_write(int fd, const void *buf, size_t len)
{
	RESULT(ssize_t, write(fd, buf, len));
}

static int linux_eventfd(void)
{
	RESULT(int, raise_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

static int linux_poll(struct pollfd *fds, unsigned n, int timeout_ms)
{
	RESULT(int, poll(fds, n, timeout_ms));
}

static int linux_uffd_open(bool user_mode_only, uint64_t features)
{
	int saved = errno;
	int fd = (int)syscall(SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | (user_mode_only ? UFFD_USER_MODE_ONLY : 0));
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int error;

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0) {
		errno = saved;
		return raise_fd(fd);
	}
	error = -errno;
	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return error;
}

static int linux_uffd_register(int fd, uintptr_t start, size_t len)
{
	struct uffdio_register reg = { .range = { .start = start, .len = len },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	RESULT(int, ioctl(fd, UFFDIO_REGISTER, &reg));
}

static int linux_uffd_unregister(int fd, uintptr_t start, size_t len)
{
	struct uffdio_range range = { .start = start, .len = len };
	RESULT(int, ioctl(fd, UFFDIO_UNREGISTER, &range));
}

static int linux_uffd_protect(int fd, uintptr_t start, size_t len, bool protect)
{
	struct uffdio_writeprotect wp = { .range = { .start = start, .len = len },
					  .mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };
	RESULT(int, ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
}

static long linux_scan(int fd, struct pm_scan_arg *arg)
{
	RESULT(long, ioctl(fd, PAGEMAP_SCAN, arg));
}

static int linux_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	RESULT(int, sigaction(sig, act, old));
}

static uint64_t linux_now(void)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const struct cm_os cm_os_linux = {
	.map = linux_map,
	.unmap = linux_unmap,
	.mprotect = linux_mprotect,
	.madvise = linux_madvise,
	.covered = linux_covered,
	.vma_at = linux_vma_at,
	.close = linux_close,
	.fd_is = linux_fd_is,
	.open_self = linux_open_self,
	.pread = linux_pread,
	.read = linux_read,
	.write = linux_write,
	.eventfd = linux_eventfd,
	.poll = linux_poll,
	.uffd_open = linux_uffd_open,
	.uffd_register = linux_uffd_register,
	.uffd_unregister = linux_uffd_unregister,
	.uffd_protect = linux_uffd_protect,
	.scan = linux_scan,
	.sigaction = linux_sigaction,
	.now = linux_now,
};

const struct cm_os *cm_os = &cm_os_linux;
