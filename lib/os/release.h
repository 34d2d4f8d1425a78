/* SPDX-License-Identifier: MIT */
#ifndef CM_OS_RELEASE_H
#define CM_OS_RELEASE_H

#include "lib/os/os.h"

#include <stdlib.h>

/* Is the kernel older than that, by its number? A number that cannot be read counts as old. */
static inline bool cm_release_before(unsigned long major, unsigned long minor)
{
	char release[64];
	char *at = release;
	unsigned long is_major, is_minor;

	if (cm_os->release(release, sizeof release) < 0)
		return true;
	is_major = strtoul(at, &at, 10);
	is_minor = *at == '.' ? strtoul(at + 1, NULL, 10) : 0;
	return is_major < major || (is_major == major && is_minor < minor);
}

#endif
