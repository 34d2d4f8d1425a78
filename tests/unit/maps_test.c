/* SPDX-License-Identifier: MIT
 *
 * Description: what the text of /proc/PID/maps shows for an address (lib/os/maps.c): with
 * texts by hand, with random texts, and with this process's own text compared with the
 * kernel's query. */
#include "lib/os/maps.h"

#include "tests/support/random.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(const char *text, size_t len)
{
	int fd = memfd_create("maps", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, len), (ssize_t)len);
	return fd;
}

static void fields_are_read(void)
{
	static const char text[] =
		"00400000-00452000 r-xp 00000000 fe:00 173521      /usr/bin/dbus-daemon\n"
		"7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n"
		"7f0000001000-7f0000003000 rw-s 00002000 00:01 77   /memfd:x (deleted)\n"
		"7f0000200000-7f0000400000 rw-p 00000000 00:0f 9    /anon_hugepage (deleted)\n"
		"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0    [stack]\n";
	static const struct {
		uintptr_t at, start, end;
		int prot;
		bool shared, file, huge;
	} want[] = {
		{ 0, 0x400000, 0x452000, PROT_READ | PROT_EXEC, false, true, false },
		{ 0x451fff, 0x400000, 0x452000, PROT_READ | PROT_EXEC, false, true, false },
		{ 0x452000, 0x7f0000000000, 0x7f0000001000, 0, false, false, false },
		{ 0x7f0000001000, 0x7f0000001000, 0x7f0000003000, PROT_READ | PROT_WRITE, true,
		  true, false },
		{ 0x7f0000003000, 0x7f0000200000, 0x7f0000400000, PROT_READ | PROT_WRITE, false,
		  true, true },
		{ 0x7f0000400000, 0x7ffd00000000, 0x7ffd00021000, PROT_READ | PROT_WRITE, false,
		  false, false },
	};
	int fd = file_of(text, sizeof text - 1);
	struct cm_vma vma;

	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		CHECK_EQ(cm_vma_from_text(fd, want[i].at, &vma), 0);
		CHECK_EQ(vma.start, want[i].start);
		CHECK_EQ(vma.end, want[i].end);
		CHECK_EQ(vma.prot, want[i].prot);
		CHECK_EQ(vma.shared, want[i].shared);
		CHECK_EQ(vma.file, want[i].file);
		CHECK_EQ(vma.page_size > 65536, want[i].huge);
	}
	CHECK_EQ(cm_vma_from_text(fd, 0x7ffd00021000, &vma), 0);
	CHECK(vma.start == UINTPTR_MAX && vma.end == UINTPTR_MAX); /* nothing above */
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(cm_vma_from_text(fd, 0, &vma), -EBADF);
}

/* Paths up to three buffers long, so that lines end anywhere in one. */
static void lines_may_be_of_any_length(void)
{
	enum { LINES = 300 };
	static char text[LINES * 13000];
	uintptr_t start[LINES], end[LINES], at = 0x1000;
	uint64_t random = random_seed(unit_seed);
	struct cm_vma vma;
	size_t n = 0;
	int fd;

	for (size_t i = 0; i < LINES; i++) {
		size_t path = random_below(&random, random_below(&random, 8) == 0 ? 12000 : 200);

		start[i] = at + 4096 * random_below(&random, 3);
		end[i] = at = start[i] + 4096 * (1 + random_below(&random, 9));
		n += (size_t)sprintf(text + n, "%zx-%zx rw-p 00000000 fe:00 %zu /",
				     (size_t)start[i], (size_t)end[i], i);
		memset(text + n, 'p', path);
		n += path;
		text[n++] = '\n';
	}
	fd = file_of(text, n);
	for (size_t i = 0; i < LINES; i++) {
		uintptr_t from = i == 0 ? 0 : end[i - 1];

		CHECK_EQ(cm_vma_from_text(fd, from, &vma), 0);
		CHECK_EQ(vma.start, start[i]);
		CHECK_EQ(vma.end, end[i]);
		CHECK(vma.file);
		CHECK_EQ(cm_vma_from_text(fd, end[i] - 1, &vma), 0);
		CHECK_EQ(vma.start, start[i]);
	}
	CHECK_EQ(cm_vma_from_text(fd, at, &vma), 0);
	CHECK(vma.start == UINTPTR_MAX);
	CHECK_EQ(close(fd), 0);
}

/* A text that is not the list of mappings is an error: above all it does not mean that nothing
 * is mapped. */
static void half_a_text_is_no_answer(void)
{
	static const char *const texts[] = {
		"",
		"00400000",
		"00400000-00452000 r-xp 00000000 fe:00 173521      /usr/bin/dbus-daemon",
		"00400000-00452000 r-xp 00000000 fe:00 173521      /usr/bin/dbus-daemon\n7f00",
		"No such process\n",
		"00452000-00400000 r-xp 00000000 fe:00 173521      /usr/bin/dbus-daemon\n",
		"00400000-00452000\n",
	};
	struct cm_vma vma;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		int fd = file_of(texts[i], strlen(texts[i]));

		CHECK_EQ(cm_vma_from_text(fd, 0x7ffd00000000, &vma), -EIO);
		CHECK_EQ(close(fd), 0);
	}
}

/* On a kernel without PROCMAP_QUERY both read the text: then this proves little. */
static void agrees_with_the_kernels_query(void)
{
	enum { PIECES = 500 };
	size_t card = (size_t)sysconf(_SC_PAGESIZE), compared = 0;
	char *mem = mmap(NULL, PIECES * card, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	CHECK(mem != MAP_FAILED && fd >= 0);
	for (size_t i = 0; i < PIECES; i += 2)
		CHECK_EQ(mprotect(mem + i * card, card, PROT_READ | PROT_WRITE), 0);
	for (uintptr_t at = 0;;) {
		struct cm_vma text = { 0 }, query = { 0 };

		/* The text goes on to the page of the old vsyscalls, the query does not. */
		CHECK_EQ(cm_os->vma_at(at, &query), 0);
		if (query.start == UINTPTR_MAX)
			break;
		CHECK_EQ(cm_vma_from_text(fd, at, &text), 0);
		CHECK_EQ(text.start, query.start);
		CHECK_EQ(text.end, query.end);
		CHECK_EQ(text.prot, query.prot);
		CHECK_EQ(text.shared, query.shared);
		CHECK_EQ(text.file, query.file);
		CHECK_EQ(text.page_size, query.page_size);
		compared++;
		at = query.end;
	}
	CHECK(compared > PIECES);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(munmap(mem, PIECES * card), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(fields_are_read),
		UNIT_CASE(lines_may_be_of_any_length),
		UNIT_CASE(half_a_text_is_no_answer),
		UNIT_CASE(agrees_with_the_kernels_query),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
