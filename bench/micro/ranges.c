/* SPDX-License-Identifier: MIT
 *
 * A collect of many ranges of 16 KiB with gaps of 16 KiB: at least one call for each. */
#include "bench/micro/micro.h"

static void ranges(struct gbench_state *state, void *user)
{
	size_t piece = micro.page < 16384 ? 16384 / micro.page : 1;
	struct micro_heap shape = { (size_t)gbench_argument(state, 0), piece, piece };

	(void)user;
	micro_collects(state, NULL, shape, PATTERN_UNIFORM, 1);
}

void micro_ranges(void)
{
	static const char *const names[] = { "ranges" };
	struct gbench *b = micro_register("ranges", NULL, ranges, NULL);

	gbench_arg_names(b, names, 1);
	gbench_arg(b, 1);
	gbench_arg(b, 100);
	gbench_arg(b, 10000);
	gbench_iterations(b, 15);
}
