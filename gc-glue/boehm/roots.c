/* SPDX-License-Identifier: MIT
 *
 * Static roots. Two reasons to stand between libgc and dl_iterate_phdr():
 *
 * Before 8.2.8 soft_set_grungy_pages() (os_dep.c) misses the last page of a
 * root whose start is not page-aligned (libgc issue #544), and what it misses
 * counts as clean. So libgc is shown writable segments that begin on a page,
 * and GC_add_roots() adds the last page of an unaligned root as a root again.
 *
 * And it shows us, at each collection, which static data there is now: large
 * segments are tracked (a small one is cheaper to scan than to watch). */
#include "gc-glue/boehm/glue.h"

#include <string.h>

#define WATCH_MIN ((size_t)256 << 10)
#define SEGMENTS_MAX 64
#define PHDRS_MAX 64

struct segment {
	uintptr_t start, end;
	uintptr_t flags; /* as wide as the others: compared by memcmp */
};
struct segments {
	struct segment v[SEGMENTS_MAX];
	size_t n;
};
static struct segments current, watched;

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

static void note(uintptr_t start, uintptr_t end, unsigned flags)
{
	if (end > start && end - start >= WATCH_MIN && current.n < SEGMENTS_MAX)
		current.v[current.n++] = (struct segment){ start, end, flags };
}

static void note_segment(const struct dl_phdr_info *info, const ElfW(Phdr) * p,
			 const ElfW(Phdr) * relro)
{
	uintptr_t start = up(info->dlpi_addr + p->p_vaddr);
	uintptr_t file_end = up(info->dlpi_addr + p->p_vaddr + p->p_filesz);
	uintptr_t end = down(info->dlpi_addr + p->p_vaddr + p->p_memsz);

	if (relro && relro->p_vaddr - p->p_vaddr < p->p_memsz)
		start = up(info->dlpi_addr + relro->p_vaddr + relro->p_memsz);
	note(start, file_end < end ? file_end : end, CARDMARK_TRACK_FILE);
	note(file_end > start ? file_end : start, end, CARDMARK_TRACK_PRIVATE);
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
		/* Neither libgc's tables nor our own are worth watching. */
		if (p->p_type == PT_LOAD &&
		    ((cm_gc_api.shared && (uintptr_t)cm_gc_api.base - start < p->p_memsz) ||
		     (uintptr_t)&current - start < p->p_memsz))
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

	current.n = 0;
	return dl_iterate_phdr(show, &call);
}

static bool has(const struct segments *set, const struct segment *s)
{
	for (size_t i = 0; i < set->n; i++)
		if (memcmp(&set->v[i], s, sizeof *s) == 0)
			return true;
	return false;
}

void cm_gc_roots_update(void)
{
	const unsigned need = CARDMARK_CAP_NO_TRAP | CARDMARK_CAP_REMAP | CARDMARK_CAP_SHARED;

	/* A trap in static data could hit the trap handler's own. */
	if ((cm_gc_heap.tracker.capabilities & need) != need)
		return;
	if (current.n == watched.n &&
	    memcmp(current.v, watched.v, current.n * sizeof current.v[0]) == 0)
		return;
	for (size_t i = 0; i < watched.n; i++)
		if (!has(&current, &watched.v[i]))
			cm_gc_heap_unwatch(watched.v[i].start, watched.v[i].end);
	for (size_t i = 0; i < current.n; i++)
		if (!has(&watched, &current.v[i]))
			cm_gc_heap_watch(current.v[i].start, current.v[i].end,
					 (unsigned)current.v[i].flags);
	watched = current;
}

void cm_gc_hook_add_roots(void *start, void *end)
{
	uintptr_t from = (uintptr_t)start, to = (uintptr_t)end;

	cm_gc_api.GC_add_roots(start, end);
	/* A root of its own inside the program's: GC_remove_roots() takes both. */
	if (!cm_gc_test(CM_GC_TEST_NO_ROOT_DEFENCE) && from != down(from) && to > from &&
	    down(to - 1) > from)
		cm_gc_api.GC_add_roots((void *)down(to - 1), end);
}
