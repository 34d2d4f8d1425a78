/* SPDX-License-Identifier: MIT */
#include "bench/boehm/util.h"

#include <gc.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t bench_number(const char *name, const char *text, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || v > max) {
		fprintf(stderr, "--%s needs a whole number from 0 to %" PRIu64 ", not \"%s\"\n",
			name, max, text);
		exit(2);
	}
	return v;
}

static void help(const char *program, const char *what, const struct bench_options *opt,
		 const char *more)
{
	printf("Usage: %s [OPTION]...\n%s\n\n"
	       "  --seed=N          random numbers (%" PRIu64 ")\n"
	       "  --work=PCT        amount of work, per cent of the full run (%" PRIu64 ")\n"
	       "  --live-mb=N       long-lived data, MiB (%" PRIu64 ")\n"
	       "  --update-every=N  steps between changes of old data (%" PRIu64 ")\n"
	       "%s"
	       "  --quick           the same as --work=40\n"
	       "  -V, --version     of libgc\n"
	       "  -h, --help        this text\n\n"
	       "The work is fixed, not the time. The last line is a hash of the result.\n",
	       program, what, opt->seed, opt->work, opt->live, opt->every, more);
}

enum { OPTIONS_MAX = 24 };

void bench_parse(int argc, char **argv, const char *what, struct bench_options *opt)
{
	static const struct option none = { NULL, 0, NULL, 0 };
	static const struct bench_more nothing = { &none, "", NULL };

	bench_parse_more(argc, argv, what, opt, &nothing);
}

void bench_parse_more(int argc, char **argv, const char *what, struct bench_options *opt,
		      const struct bench_more *more)
{
	static const struct option usual[] = { { "seed", required_argument, NULL, 's' },
					       { "work", required_argument, NULL, 'w' },
					       { "live-mb", required_argument, NULL, 'l' },
					       { "update-every", required_argument, NULL, 'u' },
					       { "quick", no_argument, NULL, 'q' },
					       { "version", no_argument, NULL, 'V' },
					       { "help", no_argument, NULL, 'h' },
					       { NULL, 0, NULL, 0 } };
	struct option options[OPTIONS_MAX] = { { NULL, 0, NULL, 0 } };
	size_t n = 0;
	int c;

	for (const struct option *o = usual; o->name != NULL; o++)
		options[n++] = *o;
	for (const struct option *o = more->options; o->name != NULL && n + 1 < OPTIONS_MAX; o++)
		options[n++] = *o;
	while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt->seed = bench_number("seed", optarg, UINT64_MAX);
			break;
		case 'w':
			opt->work = bench_number("work", optarg, 100000);
			break;
		case 'l':
			opt->live = bench_number("live-mb", optarg, 1u << 20);
			break;
		case 'u':
			opt->every = bench_number("update-every", optarg, 1u << 30);
			break;
		case 'q':
			opt->work = 40;
			break;
		case 'V': { /* of the libgc loaded, not the one built with */
			unsigned v = GC_get_version();

			printf("libgc %u.%u.%u\n", v >> 16, v >> 8 & 0xff, v & 0xff);
			exit(0);
		}
		case 'h':
			help(argv[0], what, opt, more->help);
			exit(0);
		default:
			if (c > 255) {
				more->take(c, optarg);
				break;
			}
			fprintf(stderr, "Try '%s --help'.\n", argv[0]);
			exit(2);
		}
	}
	if (opt->live == 0 || opt->every == 0) {
		fprintf(stderr, "--live-mb and --update-every must be at least 1\n");
		exit(2);
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument \"%s\". Try --help.\n", argv[0],
			argv[optind]);
		exit(2);
	}
}

void bench_print_hash(uint64_t h)
{
	printf("hash: %016" PRIx64 "\n", h);
	if (fflush(stdout) != 0)
		exit(1);
}

void bench_die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}
