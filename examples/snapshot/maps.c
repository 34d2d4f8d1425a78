/* SPDX-License-Identifier: MIT */
#include "dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uintptr_t hex(const char **p)
{
	uintptr_t v = 0;

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

static bool starts(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* "start-end rwxp offset dev inode      name". False: not for us. */
static bool parse(const char *p, struct snap_mapping *out)
{
	bool shared;

	out->start = hex(&p);
	p++;
	out->end = hex(&p);
	p++;
	out->writable = p[1] == 'w';
	shared = p[3] == 's';
	for (unsigned field = 0; field < 3; field++)
		p += strcspn(p, " ") + 1;
	out->file = *p != '0';
	p += strcspn(p, " ");
	p += strspn(p, " ");
	return !shared && !starts(p, "[vdso") && !starts(p, "[vvar") && !starts(p, "[vsyscall") &&
	       !starts(p, "[anon:libcardmark");
}

static int open_maps(int pid)
{
	char path[40];

	if (pid == 0)
		return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof path, "/proc/%d/maps", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

long snap_read_maps(int pid, struct snap_mapping *v, size_t max)
{
	char buf[8192];
	size_t n = 0, have = 0;
	ssize_t got = 0;
	int fd = open_maps(pid);

	if (fd < 0)
		return -errno;
	for (;;) {
		char *line = buf, *end;

		got = read(fd, buf + have, sizeof buf - 1 - have);
		if (got <= 0)
			break;
		have += (size_t)got;
		for (; (end = memchr(line, '\n', have - (size_t)(line - buf))) != NULL;
		     line = end + 1) {
			*end = '\0';
			if (n == max) {
				(void)close(fd);
				return -E2BIG;
			}
			n += parse(line, &v[n]);
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
	}
	got = got < 0 ? -errno : 0;
	(void)close(fd);
	return got < 0 ? got : (long)n;
}
