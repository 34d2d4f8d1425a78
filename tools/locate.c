/* SPDX-License-Identifier: MIT
 * Finds the files that this command needs, installed or in the build tree. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/tool.h"

_Static_assert(TOOL_PATH >= PATH_MAX, "paths fit");

static bool readable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

/* out = a + b; false if it does not fit. */
static bool join(char out[TOOL_PATH], const char *a, const char *b)
{
	int n = snprintf(out, TOOL_PATH, "%s%s", a, b);

	return n > 0 && n < TOOL_PATH;
}

/* The top of the build tree, if this command runs from one: libtool leaves the
 * real program in tools/.libs. */
static bool build_tree(char out[TOOL_PATH])
{
	static const char *const tails[] = { "/tools/.libs/", "/tools/" };
	ssize_t n = readlink("/proc/self/exe", out, TOOL_PATH - 1);
	char *slash;

	if (n <= 0)
		return false;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (slash == NULL)
		return false;
	slash[1] = '\0';
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		size_t len = strlen(out), tail = strlen(tails[i]);

		if (len > tail && strcmp(out + len - tail, tails[i]) == 0) {
			char makefile[TOOL_PATH];

			out[len - tail] = '\0';
			return join(makefile, out, "/config.status") && readable(makefile);
		}
	}
	return false;
}

bool tool_find_object(const char *variable, const char *room, const char *name, char out[TOOL_PATH])
{
	const char *env = getenv(variable);
	char top[TOOL_PATH], below[128];

	if (env != NULL && *env != '\0')
		return join(out, env, "") && readable(out);
	snprintf(below, sizeof below, "/%s/.libs/%s", room, name);
	if (build_tree(top) && join(out, top, below) && readable(out))
		return true;
	return join(out, CM_PKGLIBDIR "/", name) && readable(out);
}

bool tool_find_preload(char out[TOOL_PATH])
{
	return tool_find_object("CARDMARK_PRELOAD", "gc-glue/boehm", "libcardmark-preload.so", out);
}

const char *tool_command(char out[TOOL_PATH])
{
	char top[TOOL_PATH], here[TOOL_PATH];
	size_t n;

	if (!build_tree(top) || !join(out, top, "/tools/cardmark") || !readable(out))
		return "cardmark";
	if (getcwd(here, sizeof here) == NULL)
		return out;
	n = strlen(here);
	return strncmp(out, here, n) == 0 && out[n] == '/' ? out + n + 1 : out;
}

bool tool_find_bench(const char *name, char out[TOOL_PATH])
{
	static const char *const built[] = { "/bench/boehm/", "/bench/share/", "/bench/",
					     "/examples/minigc/" };
	static const char *const installed[] = { CM_PKGLIBEXECDIR "/", CM_PKGDATADIR "/" };
	char dir[TOOL_PATH], top[TOOL_PATH];

	if (build_tree(top))
		for (size_t i = 0; i < sizeof built / sizeof *built; i++)
			if (join(dir, top, built[i]) && join(out, dir, name) && readable(out))
				return true;
	for (size_t i = 0; i < sizeof installed / sizeof *installed; i++)
		if (join(out, installed[i], name) && readable(out))
			return true;
	return false;
}

bool tool_find_minigc(char out[TOOL_PATH])
{
	const char *env = getenv("CARDMARK_MINIGC");

	if (env != NULL && *env != '\0')
		return join(out, env, "") && readable(out);
	return tool_find_bench("minigc", out);
}

int tool_find_program(const char *name, char out[TOOL_PATH])
{
	const char *path = getenv("PATH");
	int result = ENOENT;

	if (strchr(name, '/') != NULL) {
		struct stat st;

		if (!join(out, name, ""))
			return ENAMETOOLONG;
		if (stat(out, &st) != 0)
			return errno;
		if (S_ISDIR(st.st_mode))
			return EISDIR;
		return S_ISREG(st.st_mode) && access(out, X_OK) == 0 ? 0 : EACCES;
	}
	if (*name == '\0')
		return ENOENT;
	if (path == NULL)
		path = "/usr/local/bin:/usr/bin:/bin";
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, ":");
		struct stat st;
		int n = snprintf(out, TOOL_PATH, "%.*s%s%s", (int)len, p, len ? "/" : "./", name);

		if (n > 0 && n < TOOL_PATH && stat(out, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(out, X_OK) == 0)
				return 0;
			result = EACCES;
		}
		p += len;
		if (*p == '\0')
			return result;
	}
}
