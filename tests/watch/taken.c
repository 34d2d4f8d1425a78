/* SPDX-License-Identifier: MIT
 *
 * Has memory that nobody else can track, because a tracker of its own does, and writes there for
 * a second. Prints how many bytes. */
#include <cardmark/cardmark.h>

#include "common/clock.h"
#include "common/die.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 64 };

int main(void)
{
	size_t bytes = PAGES * cardmark_card_size();
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm;
	volatile char *mem;
	int error;

	options.backend = CARDMARK_BACKEND_PAGEMAP;
	if (cardmark_open(&cm, &options) < 0)
		die("%s", cardmark_last_error());
	/* Who comes first has it. Watching looks every 100 ms here. */
	do {
		void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

		if (at == MAP_FAILED)
			die_of("mmap");
		mem = at;
		error = cardmark_track(cm, at, bytes, 0);
	} while (error < 0);
	for (uint64_t end = cm_now_ns() + 1000000000; cm_now_ns() < end; (void)usleep(1000))
		mem[0]++;
	(void)printf("%zu\n", bytes);
	return 0;
}
