/* SPDX-License-Identifier: MIT
 *
 * Reads /proc/self/maps with system calls and a buffer of our own, so that it
 * may run while the world is stopped. Bare ones: the C library's are cancellation points,
 * and all of this runs under libgc's lock.
 */
#include "gc-glue/boehm/glue.h"
#include "lib/os/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct reader {
	int fd;
	size_t len, at;
	bool failed;
	char buf[4096];
};

static int next_char(struct reader *r)
{
	if (r->at == r->len) {
		ssize_t n;

		do
			n = syscall(SYS_read, r->fd, r->buf, sizeof(r->buf));
		while (n < 0 && errno == EINTR);
		r->failed = n < 0;
		r->at = 0;
		r->len = n > 0 ? (size_t)n : 0;
		if (n <= 0)
			return -1;
	}
	return (unsigned char)r->buf[r->at++];
}

/* A line without its newline, cut to the room there is. */
static bool next_line(struct reader *r, char *line, size_t room)
{
	size_t n = 0;
	int c;

	while ((c = next_char(r)) >= 0 && c != '\n')
		if (n + 1 < room)
			line[n++] = (char)c;
	line[n] = '\0';
	return c >= 0;
}

static const char *hex(const char *s, uintptr_t *out)
{
	uintptr_t v = 0;

	for (;; s++) {
		unsigned digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			digit = (unsigned)(*s - 'a') + 10;
		else
			break;
		v = v << 4 | digit;
	}
	*out = v;
	return s;
}

static const char *after_word(const char *s)
{
	while (*s && *s != ' ')
		s++;
	while (*s == ' ')
		s++;
	return s;
}

/* "start-end perms offset dev inode   name". A mapping of a file has an inode: a name may be
 * given to other memory, too. */
static bool wanted(const char *line, uintptr_t *start, uintptr_t *end)
{
	const char *s = hex(line, start), *inode, *name;

	if (*s++ != '-')
		return false;
	s = hex(s, end);
	if (s[0] != ' ' || s[1] != 'r' || s[2] != 'w' || s[4] != 'p')
		return false;
	/* libgc built without MAP_ANONYMOUS maps /dev/zero. */
	inode = after_word(after_word(after_word(s + 1)));
	name = after_word(inode);
	if (*inode != '0' && strncmp(name, "/dev/zero", 9) != 0)
		return false;
	return strncmp(name, "[stack", 6) != 0;
}

/* Mappings of our own, in order of address. */
struct own {
	uintptr_t start, end;
	bool none;
};

/* What of the mapping is not ours: the kernel makes one of neighbours that look alike. */
static void give(uintptr_t start, uintptr_t end, struct own *own,
		 void (*fn)(uintptr_t, uintptr_t, void *), void *arg)
{
	while (start < end) {
		if (!own->none && own->end <= start)
			own->none = !cm_own_next(start, &own->start, &own->end);
		if (own->none || own->start >= end) {
			fn(start, end, arg);
			return;
		}
		if (own->start > start)
			fn(start, own->start, arg);
		start = own->end;
	}
}

static int open_maps(void)
{
	return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

__attribute__((constructor)) static void know_own_memory(void)
{
	cm_own_start();
}

int cm_gc_maps_each(void (*fn)(uintptr_t, uintptr_t, void *), void *arg)
{
	struct reader r = { .fd = open_maps() };
	struct own own = { 0, 0, false };
	char line[160];
	uintptr_t start, end;

	if (r.fd < 0)
		return -EIO;
	while (next_line(&r, line, sizeof(line)))
		if (wanted(line, &start, &end))
			give(start, end, &own, fn, arg);
	syscall(SYS_close, r.fd);
	return r.failed ? -EIO : 0;
}

uint64_t cm_gc_maps_count(void)
{
	struct reader r = { .fd = open_maps() };
	char line[16];
	uint64_t n = 0;

	if (r.fd < 0)
		return 0;
	while (next_line(&r, line, sizeof(line)))
		n++;
	syscall(SYS_close, r.fd);
	return n;
}
