/* SPDX-License-Identifier: MIT
 * cardmark probe: each backend, usable or why not. */
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

static void print_string(const char *before, const char *text, const char *after)
{
	fputs(before, stdout);
	tool_put_string(stdout, text);
	fputs(after, stdout);
}

static void print_backend(const struct cardmark_probe *p)
{
	const char *between = "";

	print_string("    {\n      \"name\": ", cardmark_backend_name(p->backend), ",\n");
	printf("      \"usable\": %s,\n      \"suspect\": %s,\n      \"level\": %d,\n",
	       p->usable ? "true" : "false", p->suspect ? "true" : "false", (int)p->level);
	print_string("      \"reason\": ", p->reason, ",\n");
	printf("      \"capabilities\": [");
	for (unsigned c = 0; c < sizeof capability_names / sizeof *capability_names; c++) {
		if (!(p->capabilities & (1u << c)))
			continue;
		print_string(between, capability_names[c], "");
		between = ", ";
	}
	printf("]\n    }");
}

static const char new_enough[] =
	"This kernel is new enough for the pagemap backend, which is the best. Its line names the "
	"cause, and docs/containers.md has the settings that allow it.";

/* NULL: there is nothing better. */
static const char *advice(const char *kernel, bool pagemap)
{
	unsigned major = 0, minor = 0;

	if (pagemap)
		return NULL;
	(void)sscanf(kernel, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 7) ? new_enough : newer_kernel;
}

static int print_json(const char *kernel, const char *automatic, bool pagemap)
{
	struct cardmark_probe p = CARDMARK_PROBE_INIT;

	printf("{\n  \"format\": \"cardmark-probe\",\n  \"version\": 1,\n");
	print_string("  \"library\": ", cardmark_version(), ",\n");
	print_string("  \"kernel\": ", kernel, ",\n");
	print_string("  \"automatic\": ", automatic, ",\n");
	printf("  \"backends\": [");
	for (unsigned i = 0; cardmark_probe(i, &p) == 0; i++) {
		printf(i == 0 ? "\n" : ",\n");
		print_backend(&p);
	}
	printf("\n  ]");
	if (advice(kernel, pagemap) != NULL)
		print_string(",\n  \"advice\": ", advice(kernel, pagemap), "");
	printf("\n}\n");
	return TOOL_OK;
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
	if (advice(kernel, pagemap) != NULL)
		printf("%s\n", advice(kernel, pagemap));
}

static void help(void)
{
	printf("Usage: cardmark probe [--json]\n"
	       "Tries every backend on a few pages of its own. Reports which work\n"
	       "here, why the others do not, and which one the automatic choice takes.\n\n"
	       "  --json         one JSON object, format cardmark-probe\n"
	       "  -h, --help     this text\n"
	       "  -V, --version  the version\n");
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
