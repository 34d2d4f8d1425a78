/* SPDX-License-Identifier: MIT
 * The command line. */
#include "examples/minigc/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct config config = {
	.mutators = 1,
	.heap_limit = (size_t)1 << 30,
	.nursery = (size_t)4 << 20,
	.seed = 1,
	.size = 10,
};

const char *const barrier_names[BARRIERS] = { "cardmark", "cards", "cards-4k",
					      "oracle",   "dirty", "none" };

static const char help[] =
	"Usage: minigc [OPTION...] PROGRAM.lisp [ARGUMENT...]\n"
	"Runs a Lisp program on a generational mark-sweep collector.\n"
	"\n"
	"  --barrier=NAME     how the collector learns what was written: cardmark, cards,\n"
	"                     cards-4k, oracle, dirty, none (cardmark)\n"
	"  --backend=NAME     of cardmark: auto, pagemap, softdirty, uffd, mprotect, alldirty\n"
	"  --mutators=N       threads that run the program's parts, 1 to 64 (1)\n"
	"  --heap-limit=SIZE  bytes; K, M and G may follow (1G)\n"
	"  --nursery=SIZE     bytes allocated between collections (4M)\n"
	"  --preclean         ask for dirty cards before the world stops, too\n"
	"  --size=N           the program's size (10)\n"
	"  --seed=N           of the program, and of --break (1)\n"
	"  --stats            print what the collector did on standard error\n"
	"  --json             the same as JSON\n"
	"  --pauses=FILE      write each pause and its phases\n"
	"  --verify           mark everything a second time after each collection; status 3\n"
	"                     if something that is reachable would have been freed\n"
	"  --break=drop       forget half of the dirty cards: --verify must notice\n"
	"  -h, --help         print this\n"
	"  -V, --version      the version of libcardmark\n";

void fatal(const char *format, ...)
{
	va_list ap;

	(void)fflush(stdout);
	va_start(ap, format);
	(void)fputs("minigc: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	_exit(1);
}

static _Noreturn void usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void usage(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("minigc: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputs(" (--help lists the options)\n", stderr);
	va_end(ap);
	exit(2);
}

/* A number, with K, M or G after it where units are welcome. */
static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max, bool units)
{
	uint64_t n, unit = 1;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (units && *end != '\0') {
		const char *at = strchr("KMG", *end);

		if (at != NULL) {
			unit = UINT64_C(1) << (10 * (at - "KMG" + 1));
			end++;
		}
	}
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n > max / unit ||
	    n * unit < min)
		usage("--%s=%s: a number from %llu to %llu is wanted", option, text,
		      (unsigned long long)min, (unsigned long long)max);
	return n * unit;
}

static enum barrier_kind barrier_named(const char *name)
{
	for (unsigned i = 0; i < BARRIERS; i++)
		if (strcmp(name, barrier_names[i]) == 0)
			return (enum barrier_kind)i;
	usage("--barrier=%s: no such barrier", name);
}

enum {
	OPT_BARRIER = 1,
	OPT_BACKEND,
	OPT_MUTATORS,
	OPT_HEAP_LIMIT,
	OPT_NURSERY,
	OPT_PRECLEAN,
	OPT_SIZE,
	OPT_SEED,
	OPT_STATS,
	OPT_JSON,
	OPT_PAUSES,
	OPT_VERIFY,
	OPT_BREAK,
	OPT_HELP = 'h',
	OPT_VERSION = 'V'
};

static const struct option options[] = {
	{ "barrier", required_argument, NULL, OPT_BARRIER },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "mutators", required_argument, NULL, OPT_MUTATORS },
	{ "heap-limit", required_argument, NULL, OPT_HEAP_LIMIT },
	{ "nursery", required_argument, NULL, OPT_NURSERY },
	{ "preclean", no_argument, NULL, OPT_PRECLEAN },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "pauses", required_argument, NULL, OPT_PAUSES },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "break", required_argument, NULL, OPT_BREAK },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static void take(int option)
{
	switch (option) {
	case OPT_BARRIER:
		config.barrier = barrier_named(optarg);
		break;
	case OPT_BACKEND:
		if (cardmark_backend_parse(optarg, &config.backend) < 0)
			usage("--backend=%s: no such backend", optarg);
		break;
	case OPT_MUTATORS:
		config.mutators = (unsigned)number("mutators", optarg, 1, 64, false);
		break;
	case OPT_HEAP_LIMIT:
		config.heap_limit = number("heap-limit", optarg, 1 << 20, UINT64_C(1) << 40, true);
		break;
	case OPT_NURSERY:
		config.nursery = number("nursery", optarg, 1 << 12, UINT64_C(1) << 36, true);
		break;
	case OPT_PRECLEAN:
		config.preclean = true;
		break;
	case OPT_SIZE:
		config.size = (intptr_t)number("size", optarg, 0, 1 << 30, false);
		break;
	case OPT_SEED:
		config.seed = number("seed", optarg, 0, 1 << 30, false);
		break;
	case OPT_STATS:
		config.stats = true;
		break;
	case OPT_JSON:
		config.json = true;
		break;
	case OPT_PAUSES:
		config.pauses = optarg;
		break;
	case OPT_VERIFY:
		config.verify = true;
		break;
	case OPT_BREAK:
		if (strcmp(optarg, "drop") != 0)
			usage("--break=%s: only drop can be broken", optarg);
		config.drop = true;
		break;
	case OPT_HELP:
		(void)fputs(help, stdout);
		exit(fflush(stdout) == 0 ? 0 : 1);
	case OPT_VERSION:
		(void)printf("minigc, libcardmark %s\n", cardmark_version());
		exit(fflush(stdout) == 0 ? 0 : 1);
	default: /* getopt_long() has reported it */
		exit(2);
	}
}

void config_read(int argc, char **argv)
{
	int option;

	/* +: arguments after the program's name belong to the program. */
	while ((option = getopt_long(argc, argv, "+hV", options, NULL)) != -1)
		take(option);
	if (optind == argc)
		usage("no program was named");
#ifdef MINIGC_NO_SOFTWARE_BARRIER
	if (config.barrier == BARRIER_CARDS || config.barrier == BARRIER_CARDS_4K ||
	    config.barrier == BARRIER_ORACLE)
		usage("--barrier=%s: this minigc was built without barriers in store()",
		      barrier_names[config.barrier]);
#endif
	if (config.backend != CARDMARK_BACKEND_AUTO && config.barrier != BARRIER_CARDMARK)
		usage("--backend is for --barrier=cardmark");
	if (config.drop && !config.verify)
		usage("--break needs --verify, which finds the loss: without it the heap would be "
		      "ruined");
	if (config.nursery > config.heap_limit / 2)
		usage("--nursery must not be more than half of --heap-limit");
	config.program = argv[optind];
	config.args = argv + optind + 1;
}
