/* SPDX-License-Identifier: MIT
 *
 * Writes much, so that looks are long, and in the end to pages that it never wrote while it was
 * watched; then it is gone at once. FILE, which it maps, has numbers of 64 bits afterwards: the
 * times before and after the last writes (CLOCK_MONOTONIC, ns), and the addresses.
 *
 * leave SEED exit|_exit|quick|none FILE   none: by a bare system call, which nobody can see coming
 */
#include "common/clock.h"
#include "common/die.h"
#include "common/random.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUSY = 1024, LATE = 64, LAST = 8 };

int main(int argc, char **argv)
{
	uint64_t seed = argc == 4 ? strtoull(argv[1], NULL, 10) : 0, *told, until;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = argc == 4 ? open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	volatile char *mem;
	void *at;

	if (fd < 0 || ftruncate(fd, (LAST + 2) * sizeof *told) < 0)
		die("takes a seed, a way to exit, and a file");
	told = mmap(NULL, (LAST + 2) * sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	at = mmap(NULL, (BUSY + LATE) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		  -1, 0);
	if (told == MAP_FAILED || at == MAP_FAILED)
		die_of("mmap");
	(void)madvise(at, (BUSY + LATE) * page, MADV_NOHUGEPAGE);
	mem = memset(at, 1, (BUSY + LATE) * page);
	until = cm_now_ns() + 8000000 + random_below(&seed, 8000000);
	while (cm_now_ns() < until)
		mem[random_below(&seed, BUSY) * page]++;
	for (unsigned i = 0; i < LAST; i++)
		told[2 + i] = (uintptr_t)(mem + (BUSY + random_below(&seed, LATE)) * page);
	told[0] = cm_now_ns();
	for (unsigned i = 0; i < LAST; i++)
		(*(volatile char *)(uintptr_t)told[2 + i])++;
	told[1] = cm_now_ns();
	if (strcmp(argv[2], "_exit") == 0)
		_exit(0);
	if (strcmp(argv[2], "quick") == 0)
		quick_exit(0);
	if (strcmp(argv[2], "none") == 0)
		(void)syscall(SYS_exit_group, 0);
	return 0;
}
