/* SPDX-License-Identifier: MIT
 * cardmark bench: its subcommands. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "tools/bench/bench.h"

/* Becomes the program of this subcommand. */
static int become(const struct bench_subcommand *which, const struct bench_options *opt)
{
	struct bench_command c = { .argc = 0 };

	if (!tool_find_bench(which->program, c.path)) {
		tool_message("bench", "%s is missing: was it built and installed?", c.path);
		return TOOL_CANNOT;
	}
	bench_add_argument(&c, "%s", which->program);
	if (opt->size_given) {
		uint64_t amount = which->full * opt->size / 100;

		bench_add_argument(&c, "--%s=%" PRIu64, which->unit, amount > 0 ? amount : 1);
	}
	if (opt->blocks_given)
		bench_add_argument(&c, "--repeats=%u", opt->blocks);
	if (which->seeded)
		bench_add_argument(&c, "--seed=%" PRIu64, opt->seed > 0 ? opt->seed : 1);
	fflush(NULL);
	if (!c.failed)
		execv(c.path, c.argv);
	tool_message("bench", "cannot start %s: %s", c.path,
		     c.failed ? "out of memory" : strerror(errno));
	return TOOL_CANNOT;
}

static const struct bench_subcommand subcommands[] = {
	{ .name = "programs",
	  .what = "real programs with each way of collecting (what 'cardmark bench' does)",
	  .presets = { "at most three minutes: 40 % of the work (default)",
		       "about a quarter of an hour: full work, more blocks",
		       "at most an hour: still more blocks, and --verify" },
	  .json = BENCH_FILE,
	  .run = bench_programs },
	{ .name = "barriers",
	  .what = "a small collector with every write barrier, by heap, nursery and objects",
	  .presets = { "about three minutes (default)", "half an hour", "two hours" },
	  .json = BENCH_BARRIERS_FILE,
	  .run = bench_barriers },
	{ .name = "micro",
	  .what = "single operations of every backend and of a bare loop",
	  .presets = { "1 block (default)", "5 blocks", "10 blocks, and heaps of 8 GiB" },
	  .json = BENCH_MICRO_FILE,
	  .run = bench_micro },
	{ .name = "overhead",
	  .what = "the library's cost above the bare system call",
	  .size = "1 GiB",
	  .program = "cardmark-overhead",
	  .unit = "size-mb",
	  .full = 1024 },
	{ .name = "jemalloc",
	  .what = "what allocating in a tracked arena of jemalloc costs",
	  .size = "400000 pairs of malloc and free",
	  .program = "cardmark-jemalloc",
	  .unit = "pairs",
	  .full = 400000,
	  .seeded = true },
	{ .name = "lock-wait",
	  .what = "how long other threads' mmap and munmap wait for a collect",
	  .size = "4 GiB",
	  .program = "cardmark-lockwait",
	  .unit = "size-mb",
	  .full = 4096,
	  .seeded = true },
	{ .name = "resume",
	  .what = "continue an interrupted 'bench programs' that writes FILE",
	  .files = "[FILE]",
	  .max_files = 1,
	  .run = bench_resume },
	{ .name = "compare",
	  .what = "what changed between two results files of 'bench programs'",
	  .files = "OLD NEW",
	  .min_files = 2,
	  .max_files = 2,
	  .run = bench_compare },
	{ .name = NULL },
};

int tool_bench(int argc, char **argv)
{
	const struct bench_subcommand *which;
	struct bench_options opt;
	int status = bench_parse(argc, argv, subcommands, &opt, &which);

	if (status >= 0)
		return status;
	return which->run != NULL ? which->run(&opt) : become(which, &opt);
}
