/* SPDX-License-Identifier: MIT */
#include "lib/os/maps.h"

#include "common/maps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void describe(const struct cm_maps_line *line, struct cm_vma *out)
{
	out->start = line->start;
	out->end = line->end;
	out->prot = (line->read ? PROT_READ : 0) | (line->write ? PROT_WRITE : 0) |
		    (line->execute ? PROT_EXEC : 0);
	out->shared = line->shared;
	out->file = line->device || *line->rest != '0';
	out->page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (strstr(line->rest, "hugepage") != NULL || strstr(line->rest, "/hugetlbfs") != NULL)
		out->page_size = (size_t)2 << 20;
}

int cm_vma_from_text(int fd, uintptr_t addr, struct cm_vma *out)
{
	struct cm_maps maps = { .fd = fd };
	struct cm_maps_line parsed;
	bool any = false;
	char *line;
	int found;

	while ((found = cm_maps_next(&maps, &line)) > 0) {
		if (!cm_maps_parse(line, &parsed))
			return -EIO;
		if (parsed.end > addr) {
			describe(&parsed, out);
			return 0;
		}
		any = true;
	}
	if (found < 0)
		return found;
	/* A text without lines is no list of mappings, because at least this code is mapped. */
	if (!any)
		return -EIO;
	*out = CM_NO_VMA;
	return 0;
}
