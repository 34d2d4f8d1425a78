/* SPDX-License-Identifier: MIT */
#include "lib/sized.h"

#include "cardmark/cardmark.h"
#include "lib/errors.h"

#include <errno.h>
#include <string.h>

#define MOST 4096 /* larger than any struct will be: size was not set */

static size_t size_of(const void *caller)
{
	size_t size;

	memcpy(&size, caller, sizeof size);
	return size;
}

int cm_sized_check(const char *name, const void *caller)
{
	size_t size;

	if (caller == NULL)
		return cm_fail(-EINVAL, "struct %s: the pointer is NULL", name);
	size = size_of(caller);
	if (size < sizeof size || size > MOST)
		return cm_fail(-EINVAL,
			       "struct %s: size is %zu: begin with the struct's _INIT, which "
			       "sets it",
			       name, size);
	return 0;
}

int cm_sized_take(const char *name, void *known, size_t len, const void *caller)
{
	const unsigned char *bytes = caller;
	int error = cm_sized_check(name, caller);
	size_t size;

	if (error < 0)
		return error;
	size = size_of(caller);
	for (size_t i = len; i < size; i++)
		if (bytes[i] != 0)
			return cm_fail(-EINVAL,
				       "struct %s: byte %zu is set, which libcardmark %s does not "
				       "know: the program was built for a newer one",
				       name, i, cardmark_version());
	if (size > len)
		size = len;
	memcpy((unsigned char *)known + sizeof size, bytes + sizeof size, size - sizeof size);
	return 0;
}

void cm_sized_give(void *caller, const void *known, size_t len)
{
	unsigned char *bytes = caller;
	size_t size = size_of(caller), filled = size < len ? size : len;

	memcpy(bytes + sizeof size, (const unsigned char *)known + sizeof size,
	       filled - sizeof size);
	memset(bytes + filled, 0, size - filled);
}
