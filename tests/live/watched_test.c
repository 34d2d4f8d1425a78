/* SPDX-License-Identifier: MIT
 *
 * Description: the seam's uffd_watched() distinguishes memory that a userfaultfd watches from
 * other memory, wherever the page without access that it needs lies. */
#include "lib/os/os.h"
#include "tests/support/live.h"

#include <errno.h>
#include <sys/mman.h>

enum { CARDS = 4096 };

static int fd = -1;
static unsigned char *heap;
static void *nowhere;

static void set_up(void)
{
	fd = cm_os_linux.uffd_open(true, 0);
	if (fd < 0) /* before 5.11 */
		fd = cm_os_linux.uffd_open(false, 0);
	CHECK(fd >= 0);
	heap = live_map(CARDS);
	CHECK_EQ(cm_os_linux.uffd_register(fd, (uintptr_t)heap, CARDS * live_card), 0);
}

static int watched(size_t from, size_t cards)
{
	return cm_os_linux.uffd_watched(fd, (uintptr_t)heap + from * live_card, cards * live_card,
					nowhere);
}

static void answers(void)
{
	CHECK_EQ(watched(0, CARDS), 0);
	CHECK_EQ(watched(0, 1), 0);
	CHECK_EQ(watched(CARDS - 1, 1), 0);
	live_store(heap, 1);
	CHECK_EQ(watched(0, CARDS), 0);
	CHECK_EQ(*heap, 1);
	CHECK_EQ(cm_os_linux.uffd_unregister(fd, (uintptr_t)heap + (CARDS - 1) * live_card,
					     live_card),
		 0);
	CHECK_EQ(watched(0, CARDS), -ENOENT);
	CHECK_EQ(watched(CARDS - 1, 1), -ENOENT);
	CHECK_EQ(watched(0, CARDS - 1), 0);
}

static void anywhere(void)
{
	set_up();
	nowhere = mmap(NULL, live_card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	live_own_memory(nowhere, live_card);
	answers();
}

/* With less room above it than the heap is large. */
static void near_the_end(void)
{
#if defined(__x86_64__)
	const unsigned bits = 47;
#else
	const unsigned bits = 48;
#endif
	if (sizeof(uintptr_t) < 8)
		tap_skip("the end of user space is known here for 64 bits only");
	set_up();
	for (size_t below = 2; below < CARDS / 2; below++) {
		void *at = (void *)(uintptr_t)((UINT64_C(1) << bits) - below * live_card);

		nowhere = mmap(at, live_card, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (nowhere == MAP_FAILED)
			continue;
		live_own_memory(nowhere, live_card);
		CHECK(nowhere == at);
		tap_note("%zu cards below 2^%u", below, bits);
		answers();
		return;
	}
	tap_skip("no place near the end of user space");
}

static void clean_up(void)
{
	if (fd >= 0)
		(void)cm_os_linux.close(fd);
	fd = -1;
}

static void test_anywhere(void)
{
	anywhere();
	clean_up();
}

static void test_near_the_end(void)
{
	near_the_end();
	clean_up();
}

static const struct live_case cases[] = {
	{ "watched or not, page anywhere", test_anywhere, 0, LIVE_ONLY(UFFD) },
	{ "watched or not, page near the end of user space", test_near_the_end, 0,
	  LIVE_ONLY(UFFD) },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
