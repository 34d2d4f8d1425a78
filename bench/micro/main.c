/* SPDX-License-Identifier: MIT
 *
 * cardmark-micro: single operations of one backend, or of the bare loop around
 * PAGEMAP_SCAN, under Google Benchmark. Every answer is compared with what was written. */
#include <getopt.h>

#include "bench/measure.h"
#include "bench/micro/micro.h"

static void help(void)
{
	printf("Usage: cardmark-micro [--backend=NAME] [--seed=N] [--full] [--benchmark_...]\n"
	       "Single operations of a backend (the best one here), or of \"bare\", a loop around\n"
	       "PAGEMAP_SCAN. --full: heaps of 8 GiB too. The rest are options of Google "
	       "Benchmark:\n"
	       "--benchmark_filter=REGEX, --benchmark_list_tests, --benchmark_out=FILE.\n");
}

/* 0, or the exit status. */
static int choose(const char *name)
{
	struct cardmark_probe probe = CARDMARK_PROBE_INIT;
	uint64_t t = cm_now_ns();

	for (unsigned i = 0; cardmark_probe(i, &probe) == 0; i++)
		;
	micro.probe_seconds = (double)(cm_now_ns() - t) / 1e9;
	micro.bare = strcmp(name, "bare") == 0;
	if (micro.bare)
		name = "pagemap";
	if (cardmark_backend_parse(name, &micro.backend) != 0) {
		fprintf(stderr, "cardmark-micro: no backend \"%s\"\n", name);
		return 2;
	}
	for (unsigned i = 0; cardmark_probe(i, &probe) == 0; i++) {
		if (micro.backend == CARDMARK_BACKEND_AUTO ? !probe.usable
							   : probe.backend != micro.backend)
			continue;
		micro.backend = probe.backend;
		micro.capabilities = probe.capabilities;
		micro.subject = micro.bare ? "bare" : cardmark_backend_name(micro.backend);
		if (probe.usable)
			return 0;
		fprintf(stderr, "cardmark-micro: %s cannot work here: %s\n", micro.subject,
			probe.reason);
		return 77;
	}
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "backend", required_argument, NULL, 'b' },
					       { "seed", required_argument, NULL, 's' },
					       { "full", no_argument, NULL, 'f' },
					       { "lose", no_argument, NULL, 'l' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	const char *backend = "auto";
	char text[32];
	int c, status;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			help();
			return 0;
		} else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
			printf("cardmark-micro %s\n", cardmark_version());
			return 0;
		}
	gbench_initialize(&argc, argv);
	micro.seed = 1;
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'b':
			backend = optarg;
			break;
		case 's':
			micro.seed = parse_number("cardmark-micro", optarg, 1, UINT32_MAX);
			break;
		case 'f':
			micro.full = true;
			break;
		case 'l':
			micro.lose = true;
			break;
		default:
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "cardmark-micro: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	micro.page = (size_t)sysconf(_SC_PAGESIZE);
	status = choose(backend);
	if (status != 0)
		return status;
	snprintf(text, sizeof text, "%llu", (unsigned long long)micro.seed);
	gbench_context("seed", text);
	gbench_context("cardmark", cardmark_version());
	fprintf(stderr, "cardmark-micro: %s, seed %s\n", micro.subject, text);
	micro_open();
	micro_arm();
	micro_fault();
	micro_collect();
	micro_ranges();
	micro_options();
	micro_preclean();
	micro_consumer();
	micro_cold();
	gbench_run();
	gbench_shut_down();
	return micro.wrong ? 1 : 0;
}
