/* SPDX-License-Identifier: MIT
 *
 * A library, loaded after the collector started, that sets a callback of the
 * collector's; see guests.c. */
#include <gc.h>

void module_set(void);
void module_chain(void);
void module_alternate(void);
unsigned long module_events(void);

static unsigned long events;
static GC_on_collection_event_proc before;
/* Through a pointer: the function that the slot had when the library was loaded. */
static void (*volatile set)(GC_on_collection_event_proc) = GC_set_on_collection_event;
static GC_on_collection_event_proc (*volatile get)(void) = GC_get_on_collection_event;

static void on_event(GC_EventType event)
{
	(void)event;
	events++;
}

static void on_chained(GC_EventType event)
{
	events++;
	if (before)
		before(event);
}

static void on_other(GC_EventType event)
{
	(void)event;
	events++;
}

void module_set(void)
{
	set(on_event);
}

/* Replaces the callback that is there, unless that is this one: it may call this one. */
void module_chain(void)
{
	if (get() == on_chained)
		return;
	before = get();
	set(on_chained);
}

void module_alternate(void)
{
	static unsigned n;

	set(n++ % 2 ? on_other : on_event);
}

unsigned long module_events(void)
{
	return events;
}
