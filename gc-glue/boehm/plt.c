/* SPDX-License-Identifier: MIT
 *
 * Redirects calls of loaded objects: writes our function into their PLT and GOT
 * slots. Only the callers asked for are touched: the same libc function called
 * from elsewhere in the process is not affected.
 *
 * An object is in the list of dl_iterate_phdr() before another thread's dlopen() has relocated
 * it. If we make a page of it read-only then, ld.so crashes, and ld.so overwrites the slots that we
 * have written. We cannot ask whether ld.so is at work without waiting for it, and it may be
 * waiting for us: constructors allocate. So each slot must show that it is ready, or is left alone
 * until the next time:
 *   - ld.so makes an object's RELRO pages read-only when it has relocated all of it, and never
 *     touches them again. One step before they are writable, and we keep away.
 *   - in an object without such pages no protection is changed, and ld.so writes each slot
 *     once: what holds the address that the file has is still to be written.
 * dlclose() unmaps an object with the list's lock, which dl_iterate_phdr() holds around us. */
#include "gc-glue/boehm/glue.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
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

_Atomic bool cm_gc_plt_early;

struct walk {
	const void *base;
	struct cm_gc_slot *slots;
	size_t n;
	bool apply;
	unsigned count, early; /* slots redirected; slots that were not ready */
};

struct object {
	uintptr_t bias, relro_start, relro_end, size;
	const ElfW(Sym) * symbols;
	const char *strings;
	uintptr_t jmprel, rela, hash, gnu_hash;
	size_t pltrelsz, relasz;
	bool rel; /* not RELA: none of our architectures */
};

/* glibc relocates the pointers of the dynamic section in place, except where
 * that section is read-only. */
static uintptr_t pointer(const struct object *o, uintptr_t value)
{
	return value < o->bias ? value + o->bias : value;
}

/* Asks the kernel to add 0 to the slot: this opens no file, raises no signal, and does not undo a
 * write of ld.so at the same time. */
static bool is_read_only(uintptr_t addr)
{
	uint32_t none = 0;
	int saved = errno;
	bool refused;

	refused = syscall(SYS_futex, &none, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, addr,
			  FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)) < 0 &&
		  errno == EFAULT;
	errno = saved;
	return refused;
}

static bool is_ready(const struct object *o, uintptr_t slot)
{
	if (cm_gc_test(CM_GC_TEST_NO_LOADING_DEFENCE))
		return true;
	if (o->relro_start < o->relro_end)
		return is_read_only(o->relro_start) &&
		       is_read_only(o->relro_end - sizeof(uint32_t));
	/* A relocated address is above the object's size; addresses in the file are below it.
	 */
	return __atomic_load_n((uintptr_t *)slot, __ATOMIC_RELAXED) >= o->size;
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

	for (size_t i = 0; table && i < bytes / sizeof *r; i++) {
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
			if (w->apply && !is_ready(o, o->bias + r[i].r_offset)) {
				w->early++;
				continue;
			}
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

/* False: it has no symbols. */
static bool read_object(const struct dl_phdr_info *info, struct object *out)
{
	struct object o = { .bias = info->dlpi_addr };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const ElfW(Dyn) *d = NULL;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_DYNAMIC)
			d = (const ElfW(Dyn) *)(o.bias + p->p_vaddr);
		if (p->p_type == PT_GNU_RELRO) {
			o.relro_start = (o.bias + p->p_vaddr) & ~(page - 1);
			o.relro_end = (o.bias + p->p_vaddr + p->p_memsz) & ~(page - 1);
		}
		/* In an object at a fixed address they are addresses, and it was there first. */
		if (p->p_type == PT_LOAD && o.bias && p->p_vaddr + p->p_memsz > o.size)
			o.size = p->p_vaddr + p->p_memsz;
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
			o.jmprel = pointer(&o, d->d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			o.pltrelsz = d->d_un.d_val;
			break;
		case DT_PLTREL:
			o.rel = d->d_un.d_val != DT_RELA;
			break;
		case DT_RELA:
			o.rela = pointer(&o, d->d_un.d_ptr);
			break;
		case DT_RELASZ:
			o.relasz = d->d_un.d_val;
			break;
		case DT_HASH:
			o.hash = pointer(&o, d->d_un.d_ptr);
			break;
		case DT_GNU_HASH:
			o.gnu_hash = pointer(&o, d->d_un.d_ptr);
			break;
		default:
			break;
		}
	}
	*out = o;
	return o.symbols && o.strings;
}

static int walk_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;
	struct object o;

	(void)size;
	if (w->base && !contains(info, (uintptr_t)w->base))
		return 0;
	/* Our objects: the adapter, and the core, which may be a separate object. Our sigaction()
	 * calls the core, and the core calls the real one. A string of the core shows which object
	 * it is. */
	if (contains(info, (uintptr_t)&cm_gc_config) ||
	    contains(info, (uintptr_t)cardmark_version()))
		return 0;
	if (!read_object(info, &o) || o.rel)
		return 0;
	walk_table(w, &o, o.jmprel, o.pltrelsz);
	walk_table(w, &o, o.rela, o.relasz);
	return 0;
}

unsigned cm_gc_plt_redirect(const void *base, struct cm_gc_slot *slots, size_t n, bool apply)
{
	struct walk w = { base, slots, n, apply, 0, 0 };

	for (size_t i = 0; i < n; i++)
		slots[i].found = 0;
	dl_iterate_phdr(walk_object, &w);
	if (w.early)
		atomic_store_explicit(&cm_gc_plt_early, true, memory_order_relaxed);
	return w.count;
}

/* ---- What an object is ---------------------------------------------------------------- */

struct look {
	uintptr_t addr;
	unsigned index; /* of the object: the program comes first */
	uintptr_t end;
	enum cm_gc_place place;
};

/* Does libgc export this? In some builds it replaces malloc and calls that it must know of. */
static bool is_of_libgc(const char *name)
{
	static const char *const others[] = {
		"malloc",       "calloc",         "realloc",         "free",
		"memalign",     "posix_memalign", "aligned_alloc",   "valloc",
		"pvalloc",      "cfree",          "strdup",          "strndup",
		"dlopen",       "pthread_create", "pthread_join",    "pthread_detach",
		"pthread_exit", "pthread_cancel", "pthread_sigmask", "_init",
		"_fini",
	};

	if (strncmp(name, "GC_", 3) == 0 || strncmp(name, "_GC_", 4) == 0 ||
	    strncmp(name, "AO_", 3) == 0)
		return true;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(name, others[i]) == 0)
			return true;
	return false;
}

static bool is_foreign(const struct object *o, size_t i)
{
	const ElfW(Sym) *s = &o->symbols[i];
	unsigned type = s->st_info & 0xf;

	return s->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC) &&
	       !is_of_libgc(o->strings + s->st_name);
}

/* The number of symbols is in no header: it is where the last chain of the hash table ends. */
static bool gnu_hash_has_foreign(const struct object *o)
{
	const uint32_t *h = (const uint32_t *)o->gnu_hash;
	const uint32_t *buckets = (const uint32_t *)((const ElfW(Addr) *)(h + 4) + h[2]);
	const uint32_t *chain = buckets + h[0];

	for (uint32_t b = 0; b < h[0]; b++)
		for (uint32_t i = buckets[b]; i >= h[1]; i++) {
			if (is_foreign(o, i))
				return true;
			if (chain[i - h[1]] & 1)
				break;
		}
	return false;
}

static bool has_foreign(const struct object *o)
{
	const uint32_t *h = (const uint32_t *)o->hash;

	if (o->gnu_hash)
		return gnu_hash_has_foreign(o);
	for (uint32_t i = 0; h && i < h[1]; i++)
		if (is_foreign(o, i))
			return true;
	return !h;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct look *l = arg;
	struct object o;

	(void)size;
	if (!contains(info, l->addr)) {
		l->index++;
		return 0;
	}
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t end = info->dlpi_addr + p->p_vaddr + p->p_memsz;

		if (p->p_type == PT_LOAD && end > l->end)
			l->end = end;
	}
	if (l->index == 0)
		l->place = CM_GC_IN_PROGRAM;
	else if (read_object(info, &o) && !has_foreign(&o))
		l->place = CM_GC_ALONE;
	return 1;
}

enum cm_gc_place cm_gc_plt_place(const void *addr, uintptr_t *end)
{
	struct look l = { (uintptr_t)addr, 0, 0, CM_GC_WITH_OTHERS };

	dl_iterate_phdr(look_at, &l);
	*end = l.end;
	return l.place;
}
