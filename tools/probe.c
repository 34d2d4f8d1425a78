/* SPDX-License-Identifier: MIT
 * cardmark probe: each backend, usable or why not. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/tool.h"

static const char *const capability_names[] = { "precise", "concurrent", "kernel-writes",
						"remap",   "mprotect",   "no-trap",
						"shared",  "categories" };

static const char newer_kernel[] =
	"Linux 6.7 or newer, built with userfaultfd and PAGEMAP_SCAN, gives the pagemap backend: "
	"no signal and no helper thread per write, no split mappings, and system calls that "
	"write into the heap just work.";

bool tool_probe_one(enum cardmark_backend backend, struct cardmark_probe *out)
{
	*out = (struct cardmark_probe)CARDMARK_PROBE_INIT;
	for (unsigned i = 0; cardmark_probe(i, out) == 0; i++)
		if (out->backend == backend)
			return true;
	return false;
}

enum cardmark_backend tool_probe_best(void)
{
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;

	for (unsigned i = 0; cardmark_probe(i, &probe) == 0; i++)
		if (probe.usable && !probe.suspect)
			return probe.backend;
	return CARDMARK_BACKEND_ALLDIRTY;
}

static int print_json(const char *kernel, const char *automatic, bool pagemap)
{
	struct cardmark_probe p = CARDMARK_PROBE_INIT;
	json_t *list = json_array();
	json_t *root = json_pack("{s:s, s:i, s:s, s:s, s:s, s:o}", "format", "cardmark-probe",
				 "version", 1, "library", cardmark_version(), "kernel", kernel,
				 "automatic", automatic, "backends", list);
	int err;

	if (root == NULL)
		return TOOL_CANNOT;
	for (unsigned i = 0; cardmark_probe(i, &p) == 0; i++) {
		json_t *caps = json_array();

		for (unsigned c = 0; c < sizeof capability_names / sizeof *capability_names; c++)
			if (p.capabilities & (1u << c))
				json_array_append_new(caps, json_string(capability_names[c]));
		json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:i, s:s, s:o}", "name",
						      cardmark_backend_name(p.backend), "usable",
						      (int)p.usable, "suspect", (int)p.suspect,
						      "level", (int)p.level, "reason", p.reason,
						      "capabilities", caps));
	}
	if (!pagemap)
		json_object_set_new(root, "advice", json_string(newer_kernel));
	err = json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return err ? TOOL_CANNOT : TOOL_OK;
}

static void print_text(const char *kernel, const char *automatic, bool pagemap)
{
	struct cardmark_probe p = CARDMARK_PROBE_INIT;

	printf("Kernel %s, cards of %zu bytes\n\n", kernel, cardmark_card_size());
	for (unsigned i = 0; cardmark_probe(i, &p) == 0; i++)
		printf("  %-10s %-8s  %s\n", cardmark_backend_name(p.backend),
		       !p.usable   ? "no"
		       : p.suspect ? "suspect"
				   : "usable",
		       p.reason);
	printf("\nThe automatic choice takes %s.\n", automatic);
	if (!pagemap)
		printf("%s\n", newer_kernel);
}

static void help(void)
{
	printf("Usage: cardmark probe [--json]\n"
	       "Tries every backend on a few pages of its own. Reports which work\n"
	       "here, why the others do not, and which one the automatic choice takes.\n");
}

int tool_probe(int argc, char **argv)
{
	bool json = false, pagemap;
	const struct tool_option known = { .name = "json", .flag = &json };
	int status = tool_read_options("probe", argc, argv, &known, 1, false, help);
	struct cardmark_probe newest;
	const char *automatic;
	struct utsname un;

	if (status >= 0)
		return status;
	if (optind < argc)
		return tool_usage_error("probe", "takes no argument, but got \"%s\"", argv[optind]);

	pagemap = tool_probe_one(CARDMARK_BACKEND_PAGEMAP, &newest) && newest.usable;
	automatic = cardmark_backend_name(tool_probe_best());
	if (uname(&un) != 0)
		strcpy(un.release, "unknown");
	if (json)
		return print_json(un.release, automatic, pagemap);
	print_text(un.release, automatic, pagemap);
	return TOOL_OK;
}
