/* SPDX-License-Identifier: MIT
 *
 * A library, loaded after the collector started, that sets a callback of the
 * collector's; see guests.c. */
#include <gc.h>

void module_set(void);
unsigned long module_events(void);

static unsigned long events;

static void on_event(GC_EventType event)
{
	(void)event;
	events++;
}

void module_set(void)
{
	GC_set_on_collection_event(on_event);
}

unsigned long module_events(void)
{
	return events;
}
