/* SPDX-License-Identifier: MIT
 *
 * Static roots. There are two reasons to redirect libgc's calls of dl_iterate_phdr():
 *
 * Before 8.2.8 soft_set_grungy_pages() (os_dep.c) misses the last page of a root whose start is not
 * page-aligned (libgc issue #544), and that page counts as clean. So libgc gets writable segments
 * that begin on a page, and GC_add_roots() adds the last page of an unaligned root as a root again.
 *
 * And before each stop we see which static data exist (rootset.c). */
#include "gc-glue/boehm/glue.h"

#include <string.h>

#define PHDRS_MAX 64

struct call {
	int (*fn)(struct dl_phdr_info *, size_t, void *);
	void *arg;
};

static uintptr_t down(uintptr_t addr)
{
	return addr & ~(uintptr_t)(cardmark_card_size() - 1);
}

static uintptr_t up(uintptr_t addr)
{
	return down(addr + cardmark_card_size() - 1);
}

static void note_segment(const struct dl_phdr_info *info, const ElfW(Phdr) * p,
			 const ElfW(Phdr) * relro)
{
	uintptr_t start = info->dlpi_addr + p->p_vaddr;
	uintptr_t file_end = up(start + p->p_filesz), end = up(start + p->p_memsz);

	if (relro && relro->p_vaddr - p->p_vaddr < p->p_memsz)
		start = info->dlpi_addr + relro->p_vaddr + relro->p_memsz;
	start = down(start);
	if (file_end < start)
		file_end = start;
	cm_gc_roots_show(start, file_end < end ? file_end : end, false);
	cm_gc_roots_show(file_end, end, true);
}

/* Begins writable segments on a page boundary. What ld.so protects after
 * relocation (RELRO) is cut to the pages that really are read-only. */
static void align_segments(struct dl_phdr_info *info, ElfW(Phdr) * copy)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		ElfW(Phdr) *p = &copy[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
		uintptr_t shift;

		if (p->p_type == PT_LOAD && (p->p_flags & PF_W)) {
			shift = start - down(start);
		} else if (p->p_type == PT_GNU_RELRO && down(end) > down(start)) {
			shift = start - down(start);
			p->p_memsz -= end - down(end);
		} else {
			continue;
		}
		p->p_vaddr -= shift;
		p->p_memsz += shift;
	}
	info->dlpi_phdr = copy;
}

static int show(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct call *call = arg;
	const ElfW(Phdr) *relro = NULL;
	struct dl_phdr_info shown = *info;
	ElfW(Phdr) copy[PHDRS_MAX];
	bool skip = false;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_GNU_RELRO)
			relro = p;
		/* Neither libgc's tables nor our own are worth watching, nor the core's: it
		 * writes there while it compares. */
		if (p->p_type == PT_LOAD &&
		    ((cm_gc_api.shared && (uintptr_t)cm_gc_api.base - start < p->p_memsz) ||
		     (uintptr_t)&cm_gc_config - start < p->p_memsz ||
		     (uintptr_t)cardmark_version() - start < p->p_memsz))
			skip = true;
	}
	for (int i = 0; !skip && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && (p->p_flags & PF_W))
			note_segment(info, p, relro);
	}
	if (!cm_gc_test(CM_GC_TEST_NO_ROOT_DEFENCE) && info->dlpi_phnum <= PHDRS_MAX) {
		memcpy(copy, info->dlpi_phdr, info->dlpi_phnum * sizeof *copy);
		align_segments(&shown, copy);
	}
	return call->fn(&shown, size < sizeof shown ? size : sizeof shown, call->arg);
}

int cm_gc_hook_dl_iterate_phdr(int (*fn)(struct dl_phdr_info *, size_t, void *), void *arg)
{
	struct call call = { fn, arg };
	int result;

	cm_gc_roots_show_begin();
	result = dl_iterate_phdr(show, &call);
	cm_gc_roots_show_end();
	return result;
}
