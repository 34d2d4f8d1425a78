/* SPDX-License-Identifier: MIT */
#include "dump.h"

#include "common/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool starts(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* False: not a mapping to dump. */
static bool parse(const char *text, struct snap_mapping *out)
{
	struct cm_maps_line line;
	const char *name;

	if (!cm_maps_parse(text, &line))
		return false;
	out->start = line.start;
	out->end = line.end;
	out->writable = line.write;
	out->file = *line.rest != '0';
	name = cm_maps_name(line.rest);
	return !line.shared && !starts(name, "[vdso") && !starts(name, "[vvar") &&
	       !starts(name, "[vsyscall") && !starts(name, "[anon:libcardmark");
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
	struct cm_maps maps = { .fd = open_maps(pid) };
	size_t n = 0;
	char *text;
	int found;

	if (maps.fd < 0)
		return -errno;
	while ((found = cm_maps_next(&maps, &text)) > 0) {
		if (n == max) {
			found = -E2BIG;
			break;
		}
		n += parse(text, &v[n]);
	}
	(void)close(maps.fd);
	return found < 0 ? found : (long)n;
}
