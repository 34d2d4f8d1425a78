/* SPDX-License-Identifier: MIT
 *
 * Description: the calls of all objects are redirected again while another thread's dlopen()
 * is in the middle of relocating one: MODULE's function is chosen by a resolver (ifunc), which
 * ld.so calls then, and which waits until that is over. Later, when it is loaded, its calls must
 * have been redirected too. Prints "redirected: N"; dies if ld.so's pages were taken from it.
 *
 * loading MODULE */
#include <gc.h>

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* The module's resolver uses these. */
extern volatile int in_resolver, go_on;
volatile int in_resolver, go_on;

static void on_event(GC_EventType event)
{
	(void)event;
}

static void *module;

static void *load(void *file)
{
	module = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
	if (!module)
		printf("%s\n", dlerror());
	return NULL;
}

/* Slow allocations, in each of which the adapter checks its callbacks. */
static void allocate(int n)
{
	static void *some;

	for (int i = 0; i < n; i++)
		*(void *volatile *)&some = GC_MALLOC(100000);
}

static bool waited(void)
{
	time_t end = time(NULL) + 20;

	while (!in_resolver && time(NULL) < end)
		sched_yield();
	return in_resolver;
}

int main(int argc, char **argv)
{
	/* The functions as an object that is loaded later finds them. */
	void (*set)(GC_on_collection_event_proc) = NULL;
	GC_on_collection_event_proc (*get)(void) = NULL, before, theirs;
	void (*module_set)(void) = NULL;
	GC_on_collection_event_proc (*module_get)(void) = NULL;
	pthread_t thread;

	*(void **)&set = dlsym(RTLD_DEFAULT, "GC_set_on_collection_event");
	*(void **)&get = dlsym(RTLD_DEFAULT, "GC_get_on_collection_event");
	GC_INIT();
	allocate(10);
	if (argc < 2 || pthread_create(&thread, NULL, load, argv[1]) != 0)
		return 99;
	if (!waited()) {
		printf("its resolver was not called\n");
		go_on = 1;
		pthread_join(thread, NULL);
		return 77;
	}
	set(on_event);
	allocate(1);
	go_on = 1;
	pthread_join(thread, NULL);
	if (!module)
		return 99;
	before = get();
	if (before == on_event) {
		printf("ours was not put back in front\n");
		return 1;
	}
	allocate(200);
	*(void **)&module_set = dlsym(module, "module_set");
	*(void **)&module_get = dlsym(module, "module_get");
	module_set();
	theirs = module_get();
	/* Redirected, its call leaves libgc with the callback that was in front. */
	printf("redirected: %d\n", get() == before && theirs != before);
	return get() == before && theirs != before ? 0 : 1;
}
