/* SPDX-License-Identifier: MIT
 *
 * Our functions that this process has twice: in the preloaded adapter, which has a core inside, and
 * in the libraries that the program was linked with. */
#include "gc-glue/boehm/glue.h"
#include "lib/errors.h"

#include <dlfcn.h>

void *cm_gc_find_other(const char *name, const void *ours)
{
	void *other = dlsym(RTLD_DEFAULT, name);

	/* A program that exports its own comes before the preloaded one. */
	if (other == ours)
		other = dlsym(RTLD_NEXT, name);
	/* A missing function is no error, and the program's next dlerror() must not report it. */
	if (other == NULL)
		(void)dlerror();
	return other == ours ? NULL : other;
}

void cm_gc_tell_program(int error, const char *words)
{
	union { /* C has no cast between function and object pointers */
		void *object;
		int (*fail)(int, const char *, ...);
	} ours = { .fail = cm_fail }, theirs = { cm_gc_find_other("cm_fail", ours.object) };

	if (theirs.object)
		(void)theirs.fail(error, "%s", words);
}
