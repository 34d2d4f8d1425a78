/* SPDX-License-Identifier: MIT
 *
 * Description: preloaded, it raises SIGTERM inside the malloc whose number INMALLOC has. A malloc
 * inside that malloc would wait for a lock for ever: it ends the process with status 88. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);

static void check(bool inside)
{
	static const char text[] = "malloc inside malloc\n";

	if (!inside)
		return;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(88);
}

void *malloc(size_t size)
{
	/* volatile: because for the compiler raise() calls nothing back */
	static volatile bool inside;
	static long calls, at;
	const char *s;
	void *p;

	check(inside);
	if (!at) {
		s = getenv("INMALLOC");
		at = s ? strtol(s, NULL, 10) : -1;
	}
	p = __libc_malloc(size);
	if (++calls == at) {
		inside = true;
		(void)raise(SIGTERM);
		inside = false;
	}
	return p;
}
