/* SPDX-License-Identifier: MIT
 *
 * Redirects calls of loaded objects: writes our function into their PLT and GOT
 * slots. Only the callers asked for are touched: the same libc function called
 * from elsewhere in the process is not affected.
 */
#include "gc-glue/boehm/glue.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define RELOC_PLT R_X86_64_JUMP_SLOT
#define RELOC_GOT R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOC_PLT R_AARCH64_JUMP_SLOT
#define RELOC_GOT R_AARCH64_GLOB_DAT
#else
#define RELOC_PLT ~0u
#define RELOC_GOT ~0u
#endif

struct walk {
	const void *base;
	struct cm_gc_slot *slots;
	size_t n;
	bool apply;
	unsigned count;
};

struct object {
	uintptr_t bias, relro_start, relro_end;
	const ElfW(Sym) * symbols;
	const char *strings;
};

/* glibc relocates the pointers of the dynamic section in place, except where
 * that section is read-only. */
static uintptr_t pointer(const struct object *o, uintptr_t value)
{
	return value < o->bias ? value + o->bias : value;
}

static bool write_slot(const struct object *o, uintptr_t slot, void *value)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = slot & ~(page - 1);
	bool relro = slot >= o->relro_start && slot < o->relro_end;

	if (relro && mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
		return false;
	__atomic_store_n((void **)slot, value, __ATOMIC_RELEASE);
	if (relro)
		mprotect((void *)start, page, PROT_READ);
	return true;
}

static void walk_table(struct walk *w, const struct object *o, uintptr_t table, size_t bytes)
{
	const ElfW(Rela) *r = (const ElfW(Rela) *)table;

	for (size_t i = 0; table && i < bytes / sizeof(*r); i++) {
		unsigned type = (unsigned)(r[i].r_info & 0xffffffff);
		const ElfW(Sym) * sym;
		const char *name;

		if (type != RELOC_PLT && type != RELOC_GOT)
			continue;
		sym = &o->symbols[r[i].r_info >> 32];
		name = o->strings + sym->st_name;
		for (size_t k = 0; k < w->n; k++) {
			if (strcmp(name, w->slots[k].symbol) != 0)
				continue;
			if (w->apply &&
			    !write_slot(o, o->bias + r[i].r_offset, w->slots[k].replacement))
				continue;
			w->slots[k].found++;
			w->count++;
		}
	}
}

static bool contains(const struct dl_phdr_info *info, uintptr_t addr)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && addr - (info->dlpi_addr + p->p_vaddr) < p->p_memsz)
			return true;
	}
	return false;
}

static int walk_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;
	struct object o = { .bias = info->dlpi_addr };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t jmprel = 0, rela = 0;
	size_t pltrelsz = 0, relasz = 0;
	bool pltrel_is_rela = true;
	const ElfW(Dyn) *d = NULL;

	(void)size;
	if (w->base && !contains(info, (uintptr_t)w->base))
		return 0;
	/* Ours: the adapter, and the core, which may be an object of its own: our sigaction()
	 * calls it, and it the real one. A string of the core's is where the core is. */
	if (contains(info, (uintptr_t)&cm_gc_config) ||
	    contains(info, (uintptr_t)cardmark_version()))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_DYNAMIC)
			d = (const ElfW(Dyn) *)(o.bias + p->p_vaddr);
		if (p->p_type == PT_GNU_RELRO) {
			o.relro_start = (o.bias + p->p_vaddr) & ~(page - 1);
			o.relro_end = (o.bias + p->p_vaddr + p->p_memsz) & ~(page - 1);
		}
	}
	for (; d && d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB:
			o.symbols = (const ElfW(Sym) *)pointer(&o, d->d_un.d_ptr);
			break;
		case DT_STRTAB:
			o.strings = (const char *)pointer(&o, d->d_un.d_ptr);
			break;
		case DT_JMPREL:
			jmprel = pointer(&o, d->d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			pltrelsz = d->d_un.d_val;
			break;
		case DT_PLTREL:
			pltrel_is_rela = d->d_un.d_val == DT_RELA;
			break;
		case DT_RELA:
			rela = pointer(&o, d->d_un.d_ptr);
			break;
		case DT_RELASZ:
			relasz = d->d_un.d_val;
			break;
		default:
			break;
		}
	}
	if (!o.symbols || !o.strings || !pltrel_is_rela)
		return 0;
	walk_table(w, &o, jmprel, pltrelsz);
	walk_table(w, &o, rela, relasz);
	return 0;
}

unsigned cm_gc_plt_redirect(const void *base, struct cm_gc_slot *slots, size_t n, bool apply)
{
	struct walk w = { base, slots, n, apply, 0 };

	for (size_t i = 0; i < n; i++)
		slots[i].found = 0;
	dl_iterate_phdr(walk_object, &w);
	return w.count;
}
