/* SPDX-License-Identifier: MIT
 *
 * Description: read(2) into old memory of the collected heap. A collector that
 * protects its heap makes the kernel fail with EFAULT, as no signal handler runs
 * for the kernel's own writes. Also checks that the objects read are kept: pointers arrive
 * through the pipe, and the collector must see them. Prints "reads: N efault: N lost: N"; exit
 * status 0 whatever they are. */
#include <gc.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUFFERS 64
#define WORDS 4096 /* 32 KiB a buffer: pages of their own */
#define ROUNDS 12

struct leaf {
	uintptr_t magic, number;
};

int main(void)
{
	struct leaf ***buffers;
	unsigned long reads = 0, efault = 0, lost = 0;
	int fd[2];

	GC_INIT();
	buffers = GC_MALLOC(BUFFERS * sizeof(*buffers));
	for (int i = 0; i < BUFFERS; i++) {
		buffers[i] = GC_MALLOC(WORDS * sizeof(*buffers[i]));
		/* all cards written */
		for (size_t k = 0; k < WORDS; k += 512)
			buffers[i][k] = NULL;
	}
	if (pipe(fd) != 0)
		return 99;
	for (int round = 0; round < ROUNDS; round++) {
		GC_gcollect(); /* everything is old now, and armed */
		for (int i = 0; i < BUFFERS; i++) {
			struct leaf *leaves[64];
			ssize_t n;

			for (int k = 0; k < 64; k++) {
				leaves[k] = GC_MALLOC(sizeof(*leaves[k]));
				leaves[k]->magic = 0x1eaf;
				leaves[k]->number = (uintptr_t)(round * 100 + k);
			}
			if (write(fd[1], leaves, sizeof(leaves)) != (ssize_t)sizeof(leaves))
				return 99;
			memset(leaves, 0, sizeof(leaves));
			n = read(fd[0], &buffers[i][512 * (round % 8)], sizeof(leaves));
			reads++;
			if (n < 0 && errno == EFAULT) {
				efault++;
				n = read(fd[0], leaves, sizeof(leaves)); /* drain */
				memset(leaves, 0, sizeof(leaves));
			}
			if (n != (ssize_t)sizeof(leaves))
				return 99;
		}
		/* Partial collections, in between much litter. */
		for (int i = 0; i < 20000; i++)
			memset(GC_MALLOC(200), 0x55, 200);
		for (int i = 0; i < BUFFERS && efault == 0; i++)
			for (int k = 0; k < 64; k++) {
				struct leaf *l = buffers[i][512 * (round % 8) + k];

				if (!l || l->magic != 0x1eaf ||
				    l->number != (uintptr_t)(round * 100 + k))
					lost++;
			}
	}
	printf("reads: %lu efault: %lu lost: %lu collections: %lu\n", reads, efault, lost,
	       (unsigned long)GC_get_gc_no());
	return 0;
}
