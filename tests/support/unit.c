/* SPDX-License-Identifier: MIT */
#include "tests/support/unit.h"

#include <errno.h>
#include <stdio.h>

const char *unit_seed;

static const struct unit_case *now;

static void run_now(void)
{
	if (now->set_up != NULL)
		now->set_up();
	now->run();
}

int unit_main(int argc, char **argv, const struct unit_case *cases, size_t n)
{
	unit_seed = argc > 1 ? argv[1] : NULL;
	for (size_t i = 0; i < n; i++) {
		now = &cases[i];
		tap_run(program_invocation_short_name, now->name, run_now, now->tear_down);
	}
	(void)printf("1..%zu\n", n);
	return tap_status();
}
