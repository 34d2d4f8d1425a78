/* SPDX-License-Identifier: MIT
 *
 * Finds libgc's functions. Weak references bind to a shared libgc and to one
 * linked into the program statically; dlsym finds those of a program that was
 * not linked against us (the preload object has no libgc among its libraries). */
#include "gc-glue/boehm/glue.h"

#include <dlfcn.h>
#include <errno.h>

#define DECLARE_WEAK(required, result, name, parameters)                                           \
	extern result name parameters __attribute__((weak, visibility("default")));
CM_GC_API(DECLARE_WEAK)

struct cm_gc_api cm_gc_api;

static void *look_up(const char *name, void *weak)
{
	void *found = weak ? weak : dlsym(RTLD_DEFAULT, name);

	/* Some may be missing: the program's next dlerror() must not report that. */
	if (!found)
		(void)dlerror();
	return found;
}

/* The object that holds a function. Not an object that has only an entry of its procedure linkage
 * table for it: in a program at a fixed address, that entry is the function's address for
 * everyone. */
static const void *object_of(void *function)
{
	const ElfW(Sym) *symbol = NULL;
	void *extra = NULL;
	Dl_info info;

	if (!dladdr1(function, &info, &extra, RTLD_DL_SYMENT))
		return NULL;
	symbol = extra;
	return symbol && symbol->st_shndx == SHN_UNDEF ? NULL : info.dli_fbase;
}

int cm_gc_api_load(void)
{
	struct cm_gc_api *api = &cm_gc_api;
	uintptr_t end;
	const void *other = NULL; /* an object that holds a part of it, too */

	api->partial = false;
	api->base = NULL;
	/* A union, as C has no cast between function and object pointers. */
#define LOOK_UP(required, result, name, parameters)                                                \
	{                                                                                          \
		union {                                                                            \
			result(*function) parameters;                                              \
			void *object;                                                              \
		} u;                                                                               \
		const void *base;                                                                  \
		u.function = name;                                                                 \
		u.object = look_up(#name, u.object);                                               \
		api->name = u.function;                                                            \
		if (required && !u.object)                                                         \
			api->partial = true;                                                       \
		base = u.object ? object_of(u.object) : NULL;                                      \
		if (required && base && api->base && base != api->base)                            \
			other = base;                                                              \
		if (required && base && !api->base)                                                \
			api->base = base;                                                          \
	}
	CM_GC_API(LOOK_UP)
#undef LOOK_UP
	if (!api->GC_init)
		return cm_gc_fail(-ENOTSUP, "there is no libgc in this process");
	api->place = api->base ? cm_gc_plt_place(api->base, &api->end) : CM_GC_WITH_OTHERS;
	if (other &&
	    (api->place == CM_GC_IN_PROGRAM || cm_gc_plt_place(other, &end) == CM_GC_IN_PROGRAM))
		return cm_gc_fail(-ENOTSUP, "there are two copies of libgc in this process, one of "
					    "them linked into the program");
	if (api->partial && api->place == CM_GC_IN_PROGRAM)
		return cm_gc_fail(-ENOTSUP, "libgc is linked into the program, which does not "
					    "export all of its functions (link with -rdynamic)");
	if (api->partial)
		return cm_gc_fail(-ENOTSUP, "this libgc lacks functions of version 8.0");
	if (api->GC_get_version() >> 16 < 8)
		return cm_gc_fail(-ENOTSUP, "this libgc is older than 8.0");
	api->threads = api->GC_get_suspend_signal != NULL;
	return 0;
}

static void *variable(const char *name)
{
	void *at = look_up(name, NULL);
	Dl_info info;

	return at && dladdr(at, &info) && info.dli_fbase == cm_gc_api.base ? at : NULL;
}

void *cm_gc_arrays(void)
{
	return variable("GC_arrays");
}

int *cm_gc_dont_gc(void)
{
	return variable("GC_dont_gc");
}
