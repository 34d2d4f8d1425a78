/* SPDX-License-Identifier: MIT
 *
 * Finds libgc's functions. Weak references bind to a shared libgc and to one
 * linked into the program statically; dlsym finds those of a program that was
 * not linked against us (the preload object has no libgc among its libraries).
 */
#include "gc-glue/boehm/glue.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define DECLARE_WEAK(required, result, name, parameters)                                           \
	extern result name parameters __attribute__((weak, visibility("default")));
CM_GC_API(DECLARE_WEAK)

struct cm_gc_api cm_gc_api;

static void *look_up(const char *name, void *weak)
{
	return weak ? weak : dlsym(RTLD_DEFAULT, name);
}

int cm_gc_api_load(void)
{
	struct cm_gc_api *api = &cm_gc_api;
	Dl_info info;
	bool missing = false;

	/* A union, as C has no cast between function and object pointers. */
#define LOOK_UP(required, result, name, parameters)                                                \
	{                                                                                          \
		union {                                                                            \
			result(*function) parameters;                                              \
			void *object;                                                              \
		} u;                                                                               \
		u.function = name;                                                                 \
		u.object = look_up(#name, u.object);                                               \
		api->name = u.function;                                                            \
		if (required && !u.object)                                                         \
			missing = true;                                                            \
		if (required && u.object && !api->base && dladdr(u.object, &info)) {               \
			api->base = info.dli_fbase;                                                \
			strncpy(api->object, info.dli_fname, sizeof(api->object) - 1);             \
		}                                                                                  \
	}
	CM_GC_API(LOOK_UP)
#undef LOOK_UP
	if (!api->GC_init)
		return cm_gc_fail(-ENOTSUP, "there is no libgc in this process");
	if (missing)
		return cm_gc_fail(-ENOTSUP, "this libgc lacks functions of version 8.0");
	if (api->GC_get_version() >> 16 < 8)
		return cm_gc_fail(-ENOTSUP, "this libgc is older than 8.0");
	const char *name = strrchr(api->object, '/');

	api->shared = strncmp(name ? name + 1 : api->object, "libgc.so", 8) == 0;
	api->threads = api->GC_get_suspend_signal != NULL;
	return 0;
}
