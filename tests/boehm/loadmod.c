/* SPDX-License-Identifier: MIT
 *
 * A library with a function that is chosen while it is being relocated; see loading.c. */
#include <gc.h>

extern volatile int in_resolver, go_on;

int chosen(void);
int use(void);
void module_set(void);
GC_on_collection_event_proc module_get(void);

static int implementation(void)
{
	return 1;
}

/* Calls no function here: it may not be relocated yet. */
__attribute__((used)) static int (*resolve(void))(void)
{
	in_resolver = 1;
	while (!go_on)
		;
	return implementation;
}

int chosen(void) __attribute__((ifunc("resolve")));

int use(void)
{
	return chosen();
}

static void on_event(GC_EventType event)
{
	(void)event;
}

void module_set(void)
{
	GC_set_on_collection_event(on_event);
}

GC_on_collection_event_proc module_get(void)
{
	return GC_get_on_collection_event();
}
