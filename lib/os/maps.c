/* SPDX-License-Identifier: MIT
 *
 * The text of /proc/PID/maps, line by line, in a buffer on the stack. */
#include "lib/os/maps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a line, up to the path's first characters. */
#define FIELDS ((size_t)200)

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

/* "start-end rwxs offset major:minor inode path". False: it is no such line. */
static bool parse_maps_line(const char *p, struct cm_vma *out)
{
	out->start = (uintptr_t)hex(&p);
	if (*p++ != '-')
		return false;
	out->end = (uintptr_t)hex(&p);
	if (*p++ != ' ' || out->end <= out->start || strnlen(p, 5) < 5 || p[4] != ' ')
		return false;
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
	return true;
}

int cm_vma_from_text(int fd, uintptr_t addr, struct cm_vma *out)
{
	char buf[4096];
	size_t have = 0;
	uint64_t offset = 0;
	bool any = false;

	for (;;) {
		ssize_t n = syscall(SYS_pread64, fd, buf + have, sizeof buf - 1 - have, offset);
		if (n < 0)
			return -errno;
		offset += (uint64_t)n;
		have += (size_t)n;
		buf[have] = '\0';

		char *line = buf, *nl;
		while ((nl = memchr(line, '\n', have - (size_t)(line - buf))) != NULL) {
			*nl = '\0';
			if (!parse_maps_line(line, out))
				return -EIO;
			if (out->end > addr)
				return 0;
			any = true;
			line = nl + 1;
		}
		if (n == 0) {
			/* No line at all, or half a one, is no list of mappings: this
			 * code is mapped somewhere. */
			if (!any || have > (size_t)(line - buf))
				return -EIO;
			*out = CM_NO_VMA;
			return 0;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == sizeof buf - 1)
			have = FIELDS; /* a path may be longer than the buffer */
	}
}
