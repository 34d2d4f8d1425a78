/* SPDX-License-Identifier: MIT
 *
 * Reads /proc/self/maps, perhaps while the world is stopped, and always under libgc's lock. */
#include "gc-glue/boehm/glue.h"

#include "common/maps.h"
#include "lib/os/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Private memory that can be written to, without a file behind it (a name may be given to other
 * memory, too), and no stack. */
static bool may_be_heap(const struct cm_maps_line *line)
{
	const char *name = cm_maps_name(line->rest);

	if (!line->read || !line->write || line->shared)
		return false;
	/* libgc built without MAP_ANONYMOUS maps /dev/zero. */
	if (*line->rest != '0' && strncmp(name, "/dev/zero", 9) != 0)
		return false;
	return strncmp(name, "[stack", 6) != 0;
}

static bool is_constant(const struct cm_maps_line *line)
{
	return line->read && !line->write && !line->shared && *line->rest != '0';
}

/* Mappings of our own, in order of address. */
struct own {
	uintptr_t start, end;
	bool none;
};

/* The part of the mapping that is not ours: the kernel joins similar neighbours. */
static void give(uintptr_t start, uintptr_t end, struct own *own,
		 void (*fn)(uintptr_t, uintptr_t, void *), void *arg)
{
	while (start < end) {
		if (!own->none && own->end <= start)
			own->none = !cm_own_next(start, &own->start, &own->end);
		if (own->none || own->start >= end) {
			fn(start, end, arg);
			return;
		}
		if (own->start > start)
			fn(start, own->start, arg);
		start = own->end;
	}
}

static int open_maps(void)
{
	return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
}

__attribute__((constructor)) static void know_own_memory(void)
{
	cm_own_start();
}

typedef void each_fn(uintptr_t start, uintptr_t end, void *arg);

static int each(bool (*is_asked_for)(const struct cm_maps_line *), bool ours_too, each_fn *fn,
		void *arg)
{
	struct cm_maps maps = { .fd = open_maps() };
	struct own own = { .none = ours_too };
	struct cm_maps_line parsed;
	char *line;
	int found;

	if (maps.fd < 0)
		return -EIO;
	while ((found = cm_maps_next(&maps, &line)) > 0)
		if (cm_maps_parse(line, &parsed) && is_asked_for(&parsed))
			give(parsed.start, parsed.end, &own, fn, arg);
	syscall(SYS_close, maps.fd);
	return found < 0 ? -EIO : 0;
}

int cm_gc_maps_each(each_fn *fn, void *arg)
{
	return each(may_be_heap, false, fn, arg);
}

int cm_gc_maps_each_constant(each_fn *fn, void *arg)
{
	return each(is_constant, true, fn, arg);
}

uint64_t cm_gc_maps_count(void)
{
	struct cm_maps maps = { .fd = open_maps() };
	uint64_t n = 0;
	char *line;

	if (maps.fd < 0)
		return 0;
	while (cm_maps_next(&maps, &line) > 0)
		n++;
	syscall(SYS_close, maps.fd);
	return n;
}
