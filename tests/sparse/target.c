/* SPDX-License-Identifier: MIT
 *
 * A program built with a sanitizer: maps RESERVED MiB, writes the first byte of each
 * page of TOUCHED MiB, copies the first 64 pages to FILE, prints where they are, and
 * waits until its input ends. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t touched = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	size_t reserved = argc > 2 ? strtoul(argv[2], NULL, 10) << 20 : 0;
	unsigned char *p = mmap(NULL, reserved, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || touched > reserved)
		return 1;
	for (size_t i = 0; i < touched / page; i++)
		p[i * page] = (unsigned char)(1 + i % 251);
	if (argc > 3) {
		FILE *f = fopen(argv[3], "we");

		if (f == NULL || fwrite(p, page, 64, f) != 64 || fclose(f) != 0)
			return 1;
	}
	(void)printf("ready %p\n", (void *)p);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
