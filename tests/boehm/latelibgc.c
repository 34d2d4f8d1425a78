/* SPDX-License-Identifier: MIT
 *
 * Description: a program that has no libgc when it starts, and loads one with dlopen().
 * Prints "incremental: N lost: N". */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

struct link {
	struct link *next;
	uintptr_t number;
};

int main(void)
{
	void *libgc = dlopen("libgc.so.1", RTLD_NOW), *collectable;
	struct link *head = NULL;
	unsigned lost = 0;
	void (*init)(void), (*collect)(void);
	void *(*allocate)(size_t);
	int (*incremental)(void);

	if (!libgc) {
		printf("no libgc: %s\n", dlerror());
		return 77;
	}
	*(void **)&init = dlsym(libgc, "GC_init");
	*(void **)&allocate = dlsym(libgc, "GC_malloc");
	*(void **)&collect = dlsym(libgc, "GC_gcollect");
	*(void **)&incremental = dlsym(libgc, "GC_is_incremental_mode");
	init();
	for (uintptr_t i = 0; i < 200000; i++) {
		struct link *l = allocate(sizeof(*l));

		l->number = i;
		l->next = head;
		head = l;
	}
	collect();
	collectable = allocate(100);
	for (uintptr_t i = 200000; i-- > 0; head = head->next)
		lost += head->number != i;
	printf("incremental: %d lost: %u\n", incremental(), lost + (collectable == NULL));
	return lost != 0;
}
