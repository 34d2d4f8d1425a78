/* SPDX-License-Identifier: MIT
 * Shared by the files of the cardmark command. */
#ifndef CARDMARK_TOOL_H
#define CARDMARK_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cardmark/cardmark.h>

enum {
	TOOL_OK = 0,
	TOOL_CANNOT = 1, /* understood, but it does not work here */
	TOOL_USAGE = 2,
	TOOL_NOT_EXECUTABLE = 126, /* as the shell has it */
	TOOL_NOT_FOUND = 127,
};

enum { TOOL_PATH = 4096 };

/* Where bench writes and report reads, unless an option names another file. */
#define BENCH_FILE "cardmark-bench.json"
#define BENCH_MICRO_FILE "cardmark-micro.json"
#define BENCH_BARRIERS_FILE "cardmark-barriers.json"

/* The subcommands: argv[0] is the subcommand's name. They return the exit
 * status. */
int tool_probe(int argc, char **argv);
int tool_run(int argc, char **argv);
int tool_ask(int argc, char **argv);
int tool_bench(int argc, char **argv);
int tool_report(int argc, char **argv);
int tool_watch(int argc, char **argv);

/* ---- arguments.c ----------------------------------------------------------- */

/* "cardmark SUB: message", a hint where help is, and TOOL_USAGE. */
int tool_usage_error(const char *sub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What --version prints; TOOL_OK. */
int tool_print_version(void);

/* "cardmark SUB: message". */
void tool_message(const char *sub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An option of a subcommand. */
struct tool_option {
	const char *name;
	char letter;        /* too; or 0 */
	bool *flag;         /* it has no value, and sets this; or: */
	const char **value; /* NULL without the option */
	const char *alone;  /* the value if none is given; NULL: there must be one */
};

/* Reads the options. The other arguments are from optind on; with program, options after the first
 * other argument are left alone. -1 to go on, or the exit status: after --help, --version, or a
 * message. */
int tool_read_options(const char *sub, int argc, char **argv, const struct tool_option *known,
		      size_t n, bool program, void (*help)(void));

/* A decimal number from min to max; false if text is anything else. */
bool tool_parse_number(const char *text, double min, double max, double *out);
/* JSON must be UTF-8, but text from the system or a program may not be. */
bool tool_is_utf8(const char *text);
/* Puts a ? in place of each byte that is not. */
void tool_make_utf8(char *text);

/* A JSON string; what is not UTF-8 becomes a '?'. */
void tool_put_string(FILE *f, const char *text);

bool tool_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* ---- probe.c -------------------------------------------------------------- */

/* The probe's answer about one backend; false if the library has none. */
bool tool_probe_one(enum cardmark_backend backend, struct cardmark_probe *out);

/* The backend that the automatic choice takes here. */
enum cardmark_backend tool_probe_best(void);

/* ---- locate.c -------------------------------------------------------------- */

/* Where the preload object is: CARDMARK_PRELOAD, the build tree this command
 * runs from, or the installed place. False if none is readable; out then names
 * the place last tried. */
bool tool_find_preload(char out[TOOL_PATH]);

/* The same for any object to preload: named by a variable, or in a directory of the build tree, or
 * installed. */
bool tool_find_object(const char *variable, const char *room, const char *name,
		      char out[TOOL_PATH]);

/* What to type for this command: its path in the build tree, from the current directory if it
 * can be, or "cardmark". */
const char *tool_command(char out[TOOL_PATH]);

/* The same for a benchmark program or script, by name. */
bool tool_find_bench(const char *name, char out[TOOL_PATH]);

/* The same for the collector minigc: CARDMARK_MINIGC, or like a benchmark program. */
bool tool_find_minigc(char out[TOOL_PATH]);

/* Looks a program up as execvp() does. 0, or ENOENT, EACCES, EISDIR or another errno. */
int tool_find_program(const char *name, char out[TOOL_PATH]);

/* ---- outputs.c ------------------------------------------------------------- */

/* Makes a path absolute, because the program may change its directory. out may not be name. False,
 * with a message. */
bool tool_absolute(const char *sub, const char *name, char out[TOOL_PATH]);

/* Can this file be written? False, with a message that names the option. */
bool tool_output_usable(const char *sub, const char *option, const char *path);

/* ---- start.c --------------------------------------------------------------- */

/* setenv(3), or unsetenv(3) if value is NULL. False, with a message. */
bool tool_set_variable(const char *sub, const char *name, const char *value);
/* Puts a path before those in that variable. False, with a message. */
bool tool_set_first(const char *sub, const char *variable, const char *path);
/* Puts an object, which that variable can name, before those of LD_PRELOAD. False, with a
 * message. */
bool tool_set_preload(const char *sub, const char *variable, const char *object);
/* Looks a program up as the shell does. 0, or the shell's exit status for a program that cannot be
 * run, after a message; if the program does not exist, the message has the hint. */
int tool_find_to_run(const char *sub, const char *name, const char *hint, char program[TOOL_PATH]);
/* Becomes the program, as a shell would: a script without #! too. If that fails, an exit status,
 * after a message. */
int tool_become(const char *sub, char *program, char **argv);

/* ---- elfcheck.c ------------------------------------------------------------ */

/* Why the dynamic linker will not load a preload object into this program, in
 * words, or NULL if it will (as far as can be told). */
const char *tool_preload_obstacle(const char *path);

/* ---- run.c ----------------------------------------------------------------- */

struct run_options {
	const char *backend;      /* NULL: leave it to the environment */
	const char *way;          /* "A", "B" or NULL */
	const char *stats;        /* file, "-" or NULL */
	const char *pause_target; /* milliseconds, as text, or NULL */
	const char *libgc;        /* directory, or NULL: the program's own */
	const char *every;        /* seconds, as text, or NULL */
	const char *log, *trace;  /* files, or NULL */
	bool live, summary, no_summary;
	bool raw;
	bool verify;
	bool verbose;
};

/* Is this a name that --backend takes? */
bool run_backend_known(const char *name);
/* The directory that has libgc.so.1: name or its lib/ (gc-glue/boehm/libgc/build.sh). False, with a
 * message in the name of sub, if there is none. */
bool run_find_libgc(const char *sub, const char *name, char dir[2 * TOOL_PATH]);

/* Sets the environment for the preload object. False, with a message printed,
 * if memory ran out. */
bool run_prepare(const struct run_options *opt, const char *preload);

#endif
