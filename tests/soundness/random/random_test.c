/* SPDX-License-Identifier: MIT
 *
 * Description: the property itself: under random writes by two threads, read(2),
 * process_vm_writev and memcpy, over ranges that come and go, every page whose
 * hash changed was reported.
 *
 * PROGRAM [BACKEND] [--backend=B] [--seed=N] [--seconds=S] [--seeds=K]
 *         [--threads=N]
 *
 * Without --threads every other seed has two threads share in its collects. */
#include "tests/soundness/random/world.h"

#include "tests/support/live.h"
#include "tests/support/random.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct option long_options[] = {
	{ "backend", required_argument, NULL, 'b' }, { "seed", required_argument, NULL, 's' },
	{ "seconds", required_argument, NULL, 't' }, { "seeds", required_argument, NULL, 'n' },
	{ "threads", required_argument, NULL, 'T' }, { NULL, 0, NULL, 0 },
};

static unsigned long long ull(uint64_t v)
{
	return (unsigned long long)v;
}

static void run_seed(const char *backend, const struct world_options *options)
{
	struct world_counts c;
	char name[64];
	int error = world_run(options, &c);

	(void)snprintf(name, sizeof name, "seed %llu, %u threads: every changed page is reported",
		       ull(options->seed), options->threads);
	if (error < 0) {
		tap_note("%s", cardmark_last_error());
		tap_line(false, backend, name, NULL);
		return;
	}
	tap_note("%s seed %llu: %llu operations (%llu busy), %llu writes (%llu refused), %llu "
		 "collects (%llu "
		 "with writers running, %llu guessed), %llu scans; %llu pages checked, %llu "
		 "changed, %llu reported, %llu over-reported, %llu lost",
		 backend, ull(options->seed), ull(c.operations), ull(c.busy), ull(c.writes),
		 ull(c.refused), ull(c.collects), ull(c.concurrent_collects), ull(c.guessed),
		 ull(c.scans), ull(c.checked), ull(c.changed), ull(c.reported), ull(c.over),
		 ull(c.lost));
	/* A run that checked nothing proves nothing. */
	tap_line(c.lost == 0 && c.changed > 0 && c.collects > 3, backend, name, NULL);
}

int main(int argc, char **argv)
{
	struct world_options options = { .seconds = random_seconds(2), .remap = true };
	const char *backend = "auto", *seed_text = NULL;
	unsigned seeds = 2, threads = 0;
	int c;

	while ((c = getopt_long(argc, argv, "b:s:t:n:T:", long_options, NULL)) != -1) {
		if (c == 'b')
			backend = optarg;
		else if (c == 's')
			seed_text = optarg;
		else if (c == 't')
			options.seconds = strtod(optarg, NULL);
		else if (c == 'n')
			seeds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'T')
			threads = (unsigned)strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	if (optind < argc)
		backend = argv[optind];
	if (cardmark_backend_parse(backend, &options.backend) < 0)
		return 2;
	if (!live_usable(options.backend, backend))
		return tap_status();
	options.seed = random_seed(seed_text);
	for (unsigned i = 0; i < seeds; i++, options.seed++) {
		options.threads = threads != 0 ? threads : 1 + i % 2;
		run_seed(backend, &options);
	}
	return tap_status();
}
