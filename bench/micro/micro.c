/* SPDX-License-Identifier: MIT
 *
 * What every benchmark of cardmark-micro uses: its choices, its failures, its name. */
#include <stdio.h>

#include "bench/micro/micro.h"

struct micro micro;

void micro_fail(struct gbench_state *state, const char *text)
{
	micro.wrong = true;
	gbench_error(state, text);
	fprintf(stderr, "cardmark-micro: %s: %s\n", micro.subject, text);
}

struct gbench *micro_register(const char *what, const char *more, gbench_function run, void *user)
{
	char name[128];
	struct gbench *b;

	snprintf(name, sizeof name, "%s/%s%s%s", what, micro.subject, more != NULL ? "/" : "",
		 more != NULL ? more : "");
	b = gbench_register(name, run, user);
	gbench_manual_time(b);
	gbench_unit(b, GBENCH_MICROSECONDS);
	return b;
}
