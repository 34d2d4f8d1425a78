/* SPDX-License-Identifier: MIT */
#include "tests/support/smaps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *open_of(pid_t pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

/* "start-end perms offset dev inode  name", or a field of the last one. */
static bool is_header(const char *line, struct smaps_vma *v)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx ", &start, &end) != 2)
		return false;
	*v = (struct smaps_vma){ .start = start, .end = end };
	v->special = strstr(line, "[v") != NULL;
	return true;
}

size_t smaps_read(pid_t pid, struct smaps_vma *v)
{
	FILE *f = open_of(pid, "smaps");
	char line[4352];
	size_t n = 0;
	struct smaps_vma header;

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL) {
		if (is_header(line, &header)) {
			if (n == SMAPS_MAX) {
				n = 0;
				break;
			}
			v[n++] = header;
		} else if (n > 0 && strncmp(line, "Rss:", 4) == 0) {
			v[n - 1].rss = strtoul(line + 4, NULL, 10) << 10;
		} else if (n > 0 && strncmp(line, "Swap:", 5) == 0) {
			v[n - 1].swap = strtoul(line + 5, NULL, 10) << 10;
		} else if (n > 0 && strncmp(line, "VmFlags:", 8) == 0) {
			v[n - 1].wp_allowed = strstr(line, " uw") != NULL;
			v[n - 1].no_huge = strstr(line, " nh") != NULL;
			v[n - 1].pfn_map = strstr(line, " pf") != NULL;
		}
	}
	(void)fclose(f);
	return n;
}

long smaps_status_kib(pid_t pid, const char *field)
{
	FILE *f = open_of(pid, "status");
	size_t len = strlen(field);
	char line[256];
	long value = -1;

	if (f == NULL)
		return -1;
	while (value < 0 && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, field, len) == 0 && line[len] == ':')
			value = strtol(line + len + 1, NULL, 10);
	(void)fclose(f);
	return value;
}

bool smaps_entries(pid_t pid, uintptr_t addr, size_t n, uint64_t *out)
{
	size_t card = (size_t)sysconf(_SC_PAGESIZE), done = 0, want = n * sizeof *out;
	char path[64];
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && done < want) {
		ssize_t got = pread(fd, (char *)out + done, want - done,
				    (off_t)(addr / card * sizeof *out + done));
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	if (fd >= 0)
		(void)close(fd);
	return done == want;
}
