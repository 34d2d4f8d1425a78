/* SPDX-License-Identifier: MIT */
#include "tests/soundness/faults/sweep.h"

#include "tests/soundness/faults/attempt.h"
#include "tests/soundness/faults/trial.h"
#include "tests/support/backends.h"
#include "tests/support/tap.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 30000

struct sweep sweep;

bool sweep_read_arguments(int argc, char **argv, const char *variable, unsigned long most,
			  const char *option)
{
	const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "seed", required_argument, NULL, 's' },
		{ "only", required_argument, NULL, 'o' },
		{ option, required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	const char *mode = getenv(variable);
	int c;

	sweep.all = mode != NULL && strcmp(mode, "all") == 0;
	sweep.most = mode != NULL && !sweep.all ? strtoul(mode, NULL, 10) : most;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'a')
			sweep.all = true;
		else if (c == 's')
			sweep.seed = optarg;
		else if (c == 'o')
			sweep.only = optarg;
		else if (c == 'p')
			sweep.place = optarg;
		else
			return false;
	}
	sweep.name = optind < argc ? argv[optind] : "alldirty";
	return cardmark_backend_parse(sweep.name, &sweep.backend) == 0 &&
	       sweep.backend != CARDMARK_BACKEND_AUTO;
}

static void look_up_backend(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);

	for (int i = 0; i < n; i++)
		if (probes[i].backend == sweep.backend) {
			inject->fault.nth = probes[i].capabilities;
			if (!probes[i].usable)
				trial_fail("%s", probes[i].reason);
		}
}

bool sweep_usable(void)
{
	const struct inject_fault none = { .nth = 0 };
	struct verdict v = attempt(look_up_backend, sweep.backend, 0, &none, TIMEOUT_MS);

	sweep.capabilities = inject->fault.nth;
	if (v.outcome == FINE)
		return true;
	tap_line(!tap_required(sweep.name), sweep.name, "usable here", v.text);
	return false;
}

bool sweep_warm_up(void)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm;

	options.backend = sweep.backend;
	options.flags = CARDMARK_OPEN_NO_ENV;
	options.threads = 2;
	if (cardmark_open(&cm, &options) < 0)
		return false;
	cardmark_close(&cm);
	return true;
}

int sweep_read_place(const char *text, struct inject_fault *fault)
{
	char call[32];
	int length = 0;

	if (sscanf(text, "%31[^,],%u,%u%n", call, &fault->nth, &fault->how, &length) != 3)
		return 0;
	fault->call = inject_named(call);
	return fault->call < INJECT_COUNT ? length : 0;
}
