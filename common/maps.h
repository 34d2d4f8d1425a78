/* SPDX-License-Identifier: MIT
 *
 * The text of /proc/PID/maps, line by line, in a buffer of the caller's. By bare system calls:
 * it may run while the world is stopped, and the C library's are cancellation points. */
#ifndef CM_COMMON_MAPS_H
#define CM_COMMON_MAPS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CM_MAPS_KEPT ((size_t)200) /* of a line longer than the buffer */

struct cm_maps {
	int fd; /* open for reading */
	uint64_t offset;
	size_t have, at; /* bytes in buf, and where the next line begins */
	char buf[4096];
};

struct cm_maps_line {
	uintptr_t start, end;
	bool read, write, execute, shared;
	bool device;      /* a file system's, or /dev/zero's: not 0:0 */
	const char *rest; /* from the inode on: "0", or a file's number, then the name */
};

/* 0: the end was reached. -errno. */
static inline int cm_maps_fill(struct cm_maps *m)
{
	long n;

	m->have -= m->at;
	memmove(m->buf, m->buf + m->at, m->have);
	m->at = 0;
	if (m->have == sizeof m->buf - 1)
		m->have = CM_MAPS_KEPT; /* a path may be longer than the buffer */
	do
		n = syscall(SYS_pread64, m->fd, m->buf + m->have, sizeof m->buf - 1 - m->have,
			    m->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	m->offset += (uint64_t)n;
	m->have += (size_t)n;
	return n > 0;
}

/* The next line, without its newline: 1, 0 after the last one, or -errno; -EIO: it ends in the
 * middle of a line. Valid until the next call. */
static inline int cm_maps_next(struct cm_maps *m, char **line)
{
	for (;;) {
		char *from = m->buf + m->at, *newline = memchr(from, '\n', m->have - m->at);
		int more;

		if (newline != NULL) {
			*newline = '\0';
			*line = from;
			m->at = (size_t)(newline + 1 - m->buf);
			return 1;
		}
		more = cm_maps_fill(m);
		if (more <= 0)
			return more < 0 ? more : m->have > 0 ? -EIO : 0;
	}
}

/* A field of hexadecimal digits at *p, which moves past them. */
static inline uint64_t cm_maps_hex(const char **p)
{
	uint64_t v = 0;

	for (;; (*p)++) {
		char c = **p;
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else
			return v;
		v = v << 4 | digit;
	}
}

/* "start-end rwxs offset major:minor inode path". False: the line has another form. */
static inline bool cm_maps_parse(const char *p, struct cm_maps_line *out)
{
	uint64_t major, minor;

	out->start = (uintptr_t)cm_maps_hex(&p);
	if (*p++ != '-')
		return false;
	out->end = (uintptr_t)cm_maps_hex(&p);
	if (*p++ != ' ' || out->end <= out->start || strnlen(p, 5) < 5 || p[4] != ' ')
		return false;
	out->read = p[0] == 'r';
	out->write = p[1] == 'w';
	out->execute = p[2] == 'x';
	out->shared = p[3] == 's';
	p += 5;
	(void)cm_maps_hex(&p);
	if (*p++ != ' ')
		return false;
	major = cm_maps_hex(&p);
	if (*p++ != ':')
		return false;
	minor = cm_maps_hex(&p);
	if (*p++ != ' ')
		return false;
	out->device = major != 0 || minor != 0;
	out->rest = p;
	return true;
}

/* Of rest: the name of the mapping; "" if it has none. */
static inline const char *cm_maps_name(const char *rest)
{
	rest += strcspn(rest, " ");
	return rest + strspn(rest, " ");
}

#endif
