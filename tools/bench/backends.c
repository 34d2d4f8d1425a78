/* SPDX-License-Identifier: MIT
 * Which backends a subcommand compares. */
#include "tools/bench/bench.h"

int bench_find_backend(const char *name, enum cardmark_backend *out)
{
	struct cardmark_probe probe;
	bool known;

	if (cardmark_backend_parse(name, out) != 0)
		return tool_usage_error("bench", "there is no backend \"%s\" to compare", name);
	if (*out == CARDMARK_BACKEND_AUTO)
		*out = tool_probe_best();
	known = tool_probe_one(*out, &probe);
	if (known && probe.usable)
		return -1;
	tool_message("bench", "backend %s cannot work here: %s", name,
		     known ? probe.reason : "not in this build");
	return TOOL_CANNOT;
}

unsigned bench_usable_backends(enum cardmark_backend out[MAX_BACKENDS])
{
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;
	unsigned n = 0;

	for (unsigned i = 0; n < MAX_BACKENDS && cardmark_probe(i, &probe) == 0; i++)
		if (probe.usable)
			out[n++] = probe.backend;
	return n;
}
