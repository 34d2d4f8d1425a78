/* SPDX-License-Identifier: MIT
 * How run and watch start a program: found as the shell does, with an object preloaded. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/tool.h"

bool tool_set_variable(const char *sub, const char *name, const char *value)
{
	int err = value != NULL ? setenv(name, value, 1) : unsetenv(name);

	if (err != 0)
		tool_message(sub, "cannot set %s: %s", name, strerror(errno));
	return err == 0;
}

bool tool_set_first(const char *sub, const char *variable, const char *path)
{
	const char *old = getenv(variable);
	bool more = old != NULL && *old != '\0';
	char list[3 * TOOL_PATH];
	int n = snprintf(list, sizeof list, "%s%s%s", path, more ? ":" : "", more ? old : "");

	if (n > 0 && (size_t)n < sizeof list)
		return tool_set_variable(sub, variable, list);
	tool_message(sub, "%s is longer than %zu bytes", variable, sizeof list - 1);
	return false;
}

bool tool_set_preload(const char *sub, const char *variable, const char *preload)
{
	char path[TOOL_PATH];

	if (!tool_absolute(sub, preload, path))
		return false;
	if (strpbrk(path, ": ") != NULL) {
		tool_message(
			sub,
			"LD_PRELOAD cannot name %s: spaces and colons divide its list; put the "
			"preload object elsewhere, and name it with %s",
			path, variable);
		return false;
	}
	return tool_set_first(sub, "LD_PRELOAD", path);
}

/* Shells look for a byte of 0 as well, before they run a file as a script. */
static bool is_text(const char *program)
{
	char head[256];
	FILE *f = fopen(program, "re");
	size_t n = f != NULL ? fread(head, 1, sizeof head, f) : 0;

	if (f != NULL)
		fclose(f);
	errno = ENOEXEC;
	return f != NULL && memchr(head, '\0', n) == NULL &&
	       !(n >= 4 && memcmp(head, "\177ELF", 4) == 0);
}

int tool_find_to_run(const char *sub, const char *name, const char *hint, char program[TOOL_PATH])
{
	int error = tool_find_program(name, program);

	switch (error) {
	case 0:
		return TOOL_OK;
	case EACCES:
		tool_message(
			sub,
			"%s is not executable by this user (its mode or that of its directory, "
			"or a file system mounted noexec)",
			name);
		return TOOL_NOT_EXECUTABLE;
	case EISDIR:
		tool_message(sub, "%s is not executable: it is a directory", name);
		return TOOL_NOT_EXECUTABLE;
	case ENOENT:
		tool_message(sub, "%s: not found%s%s", name,
			     strchr(name, '/') == NULL ? " in the directories of PATH" : "", hint);
		return TOOL_NOT_FOUND;
	default:
		tool_message(sub, "%s: not found: %s", name, strerror(error));
		return TOOL_NOT_FOUND;
	}
}

int tool_become(const char *sub, char *program, char **argv)
{
	size_t words = 0;
	int status;

	while (argv[words] != NULL)
		words++;
	fflush(NULL);
	execv(program, argv);
	if (errno == ENOEXEC && is_text(program)) { /* a script without #!, which shells run */
		char **shell = calloc(words + 2, sizeof *shell);

		if (shell != NULL) {
			size_t n = 0;

			shell[n++] = strdup("sh");
			shell[n++] = program;
			for (char **a = argv + 1; *a != NULL; a++)
				shell[n++] = *a;
			execv("/bin/sh", shell);
		}
		errno = ENOEXEC;
	}
	status = errno == ENOENT ? TOOL_NOT_FOUND : TOOL_NOT_EXECUTABLE;
	/* The program itself was found. */
	tool_message(sub, "cannot start %s: %s", program,
		     errno == ENOENT ? "the interpreter that its first line names, or its dynamic "
				       "linker, does not exist"
		     : errno == ENOEXEC ? "it is not a program for this machine, and not a script"
					: strerror(errno));
	return status;
}
