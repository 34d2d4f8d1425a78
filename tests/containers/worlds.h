/* SPDX-License-Identifier: MIT
 *
 * What container engines and service managers do to a process: a seccomp filter, another
 * /dev, another user. For the rest of the process's life, and for its children. */
#ifndef CM_TESTS_WORLDS_H
#define CM_TESTS_WORLDS_H

#include <stdbool.h>
#include <stddef.h>

enum dev {
	DEV_AS_IT_IS,
	DEV_EMPTY,    /* no /dev/userfaultfd: what containers have */
	DEV_READABLE, /* one that everybody may open */
	DEV_WRONG     /* something else of that name, as where a path is masked */
};

struct world {
	const char *name;
	int call_error; /* of userfaultfd(2), by a filter; 0: there is none */
	enum dev dev;
	bool nobody;
	bool no_open;       /* a filter: files are opened, but no device */
	bool no_uffd_ioctl; /* a filter: none of a userfaultfd's requests */
	bool no_scan;       /* a filter: no PAGEMAP_SCAN */
	/* What is expected: NULL is usable, otherwise words of the reason. */
	const char *no_pagemap, *no_uffd;
	bool kernel_writes; /* uffd sees those of the kernel */
	int error;          /* of opening what is not usable */
};

extern const struct world worlds[];
extern const size_t n_worlds;

/* NULL: there is no such world. */
const struct world *world_named(const char *name);

/* False if this process may not, and why. */
bool world_enter(const struct world *w, const char **why);

#endif
