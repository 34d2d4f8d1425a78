/* SPDX-License-Identifier: MIT
 * The cardmark command: finds the subcommand. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/tool.h"

#ifndef CM_WITH_BENCH
static int not_built(int argc, char **argv)
{
	(void)argc;
	tool_message(argv[0], "left out of this build: it was configured without jansson "
			      "(libjansson-dev)");
	return TOOL_CANNOT;
}
#define tool_bench not_built
#define tool_report not_built
#endif

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} subcommands[] = {
	{ "probe", tool_probe, "which backends work here, and why the others do not" },
	{ "run", tool_run, "run a program whose Boehm GC uses our write tracking" },
	{ "watch", tool_watch, "how much of any program's memory is written, how fast, where" },
	{ "stats", tool_ask, "ask a running program of 'cardmark run' for its statistics" },
	{ "bench", tool_bench, "compare pauses and run time of the backends on real programs" },
	{ "report", tool_report, "make a page from the results of bench" },
};

enum { SUBCOMMANDS = sizeof subcommands / sizeof *subcommands };

static void print_help(void)
{
	printf("Usage: cardmark COMMAND [OPTION]...\n"
	       "Finds out which pages of a heap were written, and measures what that costs.\n\n");
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		printf("  %-8s %s\n", subcommands[i].name, subcommands[i].what);
	printf("\n  -h, --help     this text; 'cardmark help COMMAND': that of a command\n"
	       "  -V, --version  the version\n\n"
	       "All commands know -h and -V. Exit status: 0 success, 1 it cannot be\n"
	       "done here, 2 wrong usage. 'run' and 'watch' return the program's own, or 126 and\n"
	       "127 as a shell does.\n");
}

/* -1: there is no such command. */
static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(argv[0], subcommands[i].name) == 0)
			return subcommands[i].run(argc, argv);
	return -1;
}

/* argv[0] is "help", and what follows is a command and maybe its subcommand. */
static int help_for(int argc, char **argv)
{
	static char help[] = "--help";
	char *asked[4] = { NULL };

	if (argc > (argc > 1 && strcmp(argv[1], "bench") == 0 ? 3 : 2))
		return tool_usage_error(NULL, "unexpected argument \"%s\"", argv[argc - 1]);
	if (argc == 1) {
		print_help();
		return TOOL_OK;
	}
	for (int i = 1; i < argc; i++)
		asked[i - 1] = argv[i];
	asked[argc - 1] = help;
	return run_command(argc, asked);
}

/* A file of ours under the number of a closed standard one would get our messages. What we start
 * finds them closed, as we did; and reading or writing them fails, as it would. */
static void fill_standard_numbers(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null",
				   (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	int status;

	fill_standard_numbers();
	if (argc < 2)
		return tool_usage_error(NULL,
					"no command is named: probe, run, watch, stats, bench "
					"or report");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		status = help_for(1, argv + 1);
	else if (strcmp(argv[1], "help") == 0)
		status = help_for(argc - 1, argv + 1);
	else if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		status = tool_print_version();
	else
		status = run_command(argc - 1, argv + 1);
	if (status < 0)
		return tool_usage_error(NULL, "there is no command \"%s\"",
					argv[strcmp(argv[1], "help") == 0 ? 2 : 1]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		tool_message(NULL, "cannot write the output: %s", strerror(errno));
		return status != TOOL_OK ? status : TOOL_CANNOT;
	}
	return status;
}
