/* SPDX-License-Identifier: MIT
 *
 * Description: structs of <cardmark/gc.h> that begin with their size: shorter, longer, and longer
 * with something set that the adapter does not know. The adapter is enabled once in a process, so
 * each call is made in a child. */
#include "cardmark/gc.h"
#include "lib/errors.h"
#include "tests/support/sized.h"

#include <gc.h>
#include <sys/mman.h>

/* The report of a child: the struct it was given, the result of the call, and its error text. */
static struct told {
	unsigned char caller[SIZED_ROOM];
	int error;
	char words[640];
} * told;

static int in_child(void (*call)(void *arg), void *caller)
{
	if (told == NULL)
		told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	CHECK(told != MAP_FAILED);
	memcpy(told->caller, caller, SIZED_ROOM);
	CHECK_EQ(tap_in_child(call, NULL), 0);
	memcpy(caller, told->caller, SIZED_ROOM);
	return told->error < 0 ? cm_fail(told->error, "%s", told->words) : told->error;
}

static void tell(int error)
{
	told->error = error;
	(void)snprintf(told->words, sizeof told->words, "%s", cardmark_last_error());
}

static void enable(void *arg)
{
	(void)arg;
	tell(cardmark_gc_enable((const void *)told->caller));
}

static void info(void *arg)
{
	(void)arg;
	CHECK_EQ(cardmark_gc_enable(NULL), 0);
	tell(cardmark_gc_info((void *)told->caller));
}

static int options(void *caller)
{
	return in_child(enable, caller);
}

static int information(void *caller)
{
	return in_child(info, caller);
}

static const struct sized_struct structs[] = {
	{ "gc_options", options, sizeof(struct cardmark_gc_options), sizeof(size_t), false },
	{ "gc_info", information, sizeof(struct cardmark_gc_info), sizeof(size_t), true },
};

static const struct sized_list list = { "gc.h", structs, sizeof structs / sizeof *structs };

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		SIZED_CASES,
	};

	(void)setenv("CARDMARK_BACKEND", "alldirty", 1);
	GC_gcollect(); /* the collector is there */
	return unit_main(argc, argv, UNIT_CASES(cases));
}
