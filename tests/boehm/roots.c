/* SPDX-License-Identifier: MIT
 *
 * Description: an unaligned root whose last page alone changes. libgc before
 * 8.2.8 misses that page in its soft-dirty mode (its issue #544), so that stores there are
 * lost without our adapter. Two roots: one added with GC_add_roots(), one the data of a
 * library loaded with dlopen() whose segment does not begin on a page (no RELRO). Prints "lost
 * added: N lost library: N".
 *
 * roots LIBRARY */
#include <gc.h>

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define ROUNDS 60

struct leaf {
	uintptr_t magic, number;
};

struct segment {
	uintptr_t inside, start, end;
};

static int find(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct segment *s = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    s->inside - start < info->dlpi_phdr[i].p_memsz) {
			s->start = start;
			s->end = start + info->dlpi_phdr[i].p_memsz;
		}
	}
	return 0;
}

/* Kept out of line, so that no register or stack slot keeps the leaf alive. */
__attribute__((noinline)) static void store(struct leaf **slot, uintptr_t number)
{
	struct leaf *l = GC_MALLOC(sizeof(*l));

	l->magic = 0x1eaf;
	l->number = number;
	*slot = l;
}

__attribute__((noinline)) static void litter(void)
{
	for (int i = 0; i < 30000; i++)
		memset(GC_MALLOC(sizeof(struct leaf)), 0x55, sizeof(struct leaf));
}

static unsigned lost_in(struct leaf **slot)
{
	unsigned lost = 0;

	for (uintptr_t i = 0; i < ROUNDS; i++) {
		store(slot, i);
		litter();
		if ((*slot)->magic != 0x1eaf || (*slot)->number != i)
			lost++;
	}
	*slot = NULL;
	return lost;
}

int main(int argc, char **argv)
{
	struct segment s = { 0 };
	void *library, *slots = NULL;
	char *area;
	unsigned added, loaded = 0;
	uintptr_t heap, libraries;

	GC_INIT();
	/* Starts in the middle of a page, ends early in another: 1.75 pages are
	 * read as two, and the third is missed. */
	area = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return 99;
	GC_add_roots(area + PAGE / 2, area + 2 * PAGE + PAGE / 4);
	added = lost_in((struct leaf **)(void *)(area + 2 * PAGE + 64));

	library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	if (library)
		slots = dlsym(library, "root_slots");
	if (slots) {
		s.inside = (uintptr_t)slots;
		dl_iterate_phdr(find, &s);
		if (s.start % PAGE == 0 || s.end % PAGE == 0 || s.end % PAGE > s.start % PAGE)
			printf("library: its segment does not show the case\n");
		else
			loaded = lost_in((struct leaf **)((s.end - 1) & ~(uintptr_t)(PAGE - 1)));
	} else {
		printf("library: not loaded: %s\n", argc > 1 ? dlerror() : "none given");
	}
	heap = (uintptr_t)GC_MALLOC((size_t)4 << 20);
	libraries = (uintptr_t)dlsym(RTLD_DEFAULT, "GC_get_version");
	printf("libgc: %u lost added: %u lost library: %u apart: %llu collections: %lu\n",
	       GC_get_version(), added, loaded,
	       (unsigned long long)(heap > libraries ? heap - libraries : libraries - heap) >> 30,
	       (unsigned long)GC_get_gc_no());
	return 0;
}
