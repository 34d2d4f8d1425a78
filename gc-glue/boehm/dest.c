/* SPDX-License-Identifier: MIT
 *
 * File names from environment variables, and which process writes which file. */
#include "gc-glue/boehm/tell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fits(int n)
{
	return n >= 0 && n < PATH_MAX;
}

static void resolve(struct cm_gc_dest *p, const char *s)
{
	char here[PATH_MAX];
	int n;

	p->too_long = false;
	p->name_at = 0;
	p->path[0] = '\0';
	if (!fits(snprintf(p->asked, PATH_MAX, "%s", s))) {
		p->too_long = true;
		return;
	}
	if (*s == '\0')
		return;
	/* If the directory is gone, a relative name does as well. */
	if (strcmp(s, "-") == 0 || *s == '/' || !getcwd(here, sizeof here))
		n = snprintf(p->path, PATH_MAX, "%s", s);
	else
		n = snprintf(p->path, PATH_MAX, "%s/%s", strcmp(here, "/") == 0 ? "" : here, s);
	if (!fits(n)) {
		p->too_long = true;
		p->path[0] = '\0';
		return;
	}
	p->name_at = (size_t)n - strlen(s);
}

void cm_gc_dest_read(struct cm_gc_dest *p, const char *variable)
{
	const char *path = secure_getenv(variable);

	if (!path || strcmp(path, p->asked) != 0)
		resolve(p, path ? path : "");
}

bool cm_gc_dest_is_set(const struct cm_gc_dest *p)
{
	return *p->path || p->too_long;
}

static bool numbered_name(char name[PATH_MAX], const char *path, const char *id, bool numbered)
{
	if (id)
		return fits(snprintf(name, PATH_MAX, "%.*s%ld%s", (int)(id - path), path,
				     (long)getpid(), id + 2));
	if (numbered)
		return fits(snprintf(name, PATH_MAX, "%s.%ld", path, (long)getpid()));
	return fits(snprintf(name, PATH_MAX, "%s", path));
}

const char *cm_gc_dest_id(const struct cm_gc_dest *p)
{
	return strstr(p->path + p->name_at, "%p");
}

bool cm_gc_dest_name(char name[PATH_MAX], const struct cm_gc_dest *p, bool numbered)
{
	return numbered_name(name, p->path, cm_gc_dest_id(p), numbered);
}

bool cm_gc_dest_plain(char name[PATH_MAX], const char *path)
{
	return numbered_name(name, path, strstr(path, "%p"), false);
}
