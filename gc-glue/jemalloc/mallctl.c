/* SPDX-License-Identifier: MIT
 *
 * Questions and commands to jemalloc. */
#include "gc-glue/jemalloc/glue.h"

#include <errno.h>
#include <stdio.h>

int cm_je_read(cardmark_mallctl mallctl, const char *name, void *value, size_t size)
{
	size_t got = size;
	int error = mallctl(name, value, &got, NULL, 0);

	return error != 0 || got == size ? error : EINVAL;
}

static void arena_name(char name[static 64], const char *format, unsigned arena)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(name, 64, format, arena);
#pragma GCC diagnostic pop
}

int cm_je_read_of(cardmark_mallctl mallctl, const char *format, unsigned arena, void *value,
		  size_t size)
{
	char name[64];

	arena_name(name, format, arena);
	return cm_je_read(mallctl, name, value, size);
}

int cm_je_write_hooks(cardmark_mallctl mallctl, unsigned arena, struct cm_je_hooks *hooks)
{
	char name[64];

	arena_name(name, "arena.%u.extent_hooks", arena);
	return mallctl(name, NULL, NULL, &hooks, sizeof(void *));
}

int cm_je_destroy_arena(cardmark_mallctl mallctl, unsigned arena)
{
	char name[64];

	arena_name(name, "arena.%u.destroy", arena);
	return mallctl(name, NULL, NULL, NULL, 0);
}

int cm_je_reset_arena(cardmark_mallctl mallctl, unsigned arena)
{
	char name[64];

	arena_name(name, "arena.%u.reset", arena);
	return mallctl(name, NULL, NULL, NULL, 0);
}

int cm_je_create_arena(cardmark_mallctl mallctl, unsigned *arena, struct cm_je_hooks *hooks)
{
	size_t size = sizeof *arena;

	return hooks == NULL ? mallctl("arenas.create", arena, &size, NULL, 0)
			     : mallctl("arenas.create", arena, &size, &hooks, sizeof(void *));
}

const char *cm_je_words(int error)
{
	switch (error) {
	case ENOENT:
		return "there is no such name or arena (ENOENT)";
	case EPERM:
		return "it does not allow such access (EPERM)";
	case EINVAL:
		return "it refuses the value (EINVAL)";
	case EAGAIN:
		return "it has no arena number left (EAGAIN)";
	case ENOMEM:
		return "it has no memory (ENOMEM)";
	case EFAULT:
		return "the arena is one of its automatic ones, or does not exist (EFAULT)";
	default:
		return "it gives no reason";
	}
}
