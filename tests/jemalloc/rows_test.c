/* SPDX-License-Identifier: MIT
 *
 * Description: with any settings of jemalloc, every changed page of an arena was reported, or
 * was discarded and is in that list.
 *
 * PROGRAM [BACKEND] [--seed=N] [--pages=N] [--row=WORDS]
 *
 * Each row is a process of its own, with its own MALLOC_CONF. It goes on until that many pages
 * have changed. --row runs those whose names have the words in them. */
#include "tests/jemalloc/oracle.h"

#include "tests/support/live.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

struct row {
	const char *name, *conf;
	struct oracle_options options;
	bool overcommit; /* as with vm.overcommit_memory=2 */
	bool all;        /* on every backend, not only on pagemap */
	bool loses;      /* a negative control */
};

static const struct row rows[] = {
	{ .name = "as it comes", .conf = "", .all = true },
	{ .name = "MALLOCX_TCACHE_NONE", .conf = "", .options = { .none = true } },
	{ .name = "retain:false", .conf = "retain:false", .all = true },
	{ .name = "dirty_decay_ms:0", .conf = "dirty_decay_ms:0", .all = true },
	{ .name = "muzzy: purged lazily", .conf = "dirty_decay_ms:5,muzzy_decay_ms:1000" },
	{ .name = "retain:false, dirty_decay_ms:0, muzzy_decay_ms:0",
	  .conf = "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0" },
	{ .name = "thp:always", .conf = "thp:always,metadata_thp:always" },
	{ .name = "hpa:true", .conf = "hpa:true" },
	{ .name = "junk:true", .conf = "junk:true" },
	{ .name = "background_thread:true",
	  .conf = "background_thread:true,dirty_decay_ms:5,muzzy_decay_ms:5",
	  .all = true },
	{ .name = "background_thread:true, retain:false",
	  .conf = "background_thread:true,retain:false,dirty_decay_ms:5,muzzy_decay_ms:0" },
	{ .name = "metadata in the hooks", .conf = "", .options = { .metadata = true } },
	{ .name = "metadata in the hooks, retain:false",
	  .conf = "retain:false,dirty_decay_ms:0",
	  .options = { .metadata = true } },
	{ .name = "overcommit_memory=2",
	  .conf = "dirty_decay_ms:0",
	  .overcommit = true,
	  .all = true },
	{ .name = "overcommit_memory=2, retain:false",
	  .conf = "dirty_decay_ms:5,retain:false",
	  .overcommit = true },
	{ .name = "hooks that commit by mapping anew",
	  .conf = "dirty_decay_ms:0",
	  .options = { .remap = true },
	  .all = true },
	{ .name = "another arena has a table of its own",
	  .conf = "retain:false,dirty_decay_ms:0",
	  .options = { .apart = true },
	  .all = true },
	{ .name = "control: that arena is collected by a collect of all",
	  .conf = "retain:false,dirty_decay_ms:0",
	  .options = { .apart = true, .broken = BREAK_APART },
	  .all = true,
	  .loses = true },
	{ .name = "control: commit does not register again",
	  .conf = "dirty_decay_ms:0",
	  .options = { .remap = true, .broken = BREAK_COMMIT },
	  .all = true,
	  .loses = true },
	{ .name = "control: MALLOCX_ARENA without a cache",
	  .conf = "",
	  .options = { .broken = BREAK_TCACHE },
	  .all = true,
	  .loses = true },
};

#define ROWS (sizeof rows / sizeof *rows)

static unsigned long long ull(uint64_t v)
{
	return (unsigned long long)v;
}

/* ---- In the row's process ------------------------------------------------------------ */

static int run_row(const struct row *row, enum cardmark_backend backend, uint64_t seed,
		   uint64_t pages)
{
	struct oracle_options options = row->options;
	struct oracle_counts c;
	bool good;

	options.backend = backend;
	options.seed = seed;
	options.pages = pages;
	if (oracle_run(&options, &c) < 0)
		return 1;
	tap_note("%s: seed %llu: %llu rounds, %llu pages changed, %llu reported, %llu "
		 "over-reported, "
		 "%llu emptied (%llu checked, %llu not in the list), %llu of %llu objects outside, "
		 "missed %llu",
		 row->name, ull(seed), ull(c.rounds), ull(c.changed), ull(c.reported), ull(c.over),
		 ull(c.emptied), ull(c.emptied_checked), ull(c.emptied_missed), ull(c.outside),
		 ull(c.objects), ull(c.missed));
	tap_note("    alloc %llu dalloc %llu (%llu refused) destroy %llu commit %llu decommit %llu "
		 "purge_forced %llu purge_lazy %llu split %llu merge %llu",
		 ull(c.je.alloc), ull(c.je.dalloc), ull(c.je.dalloc_refused), ull(c.je.destroy),
		 ull(c.je.commit), ull(c.je.decommit), ull(c.je.purge_forced), ull(c.je.purge_lazy),
		 ull(c.je.split), ull(c.je.merge));
	if (row->loses)
		return c.missed > 0 ? 0 : 1;
	good = c.missed == 0 && c.emptied_missed == 0 && c.outside == 0 && c.changed >= pages &&
	       c.je.track_failed == 0 && c.je.untrack_failed == 0 && c.je.ranges_overflown == 0;
	/* Does jemalloc have the settings of this row? (Memory that is not retained is mapped
	 * committed.) */
	if ((row->overcommit && strstr(row->conf, "retain:false") == NULL) || row->options.remap)
		good = good && c.je.commit > 0 && c.je.decommit > 0;
	return good ? 0 : 1;
}

/* ---- In the program that starts it ------------------------------------------------------ */

/* jemalloc reads in this file how to map memory. The kernel's own setting does not change. */
static const char *feign_overcommit(void)
{
	static const char path[] = "/proc/sys/vm/overcommit_memory";
	char name[] = "/tmp/cardmark-overcommit-XXXXXX", said = 0;
	bool ok;
	int fd;

	if (unshare(CLONE_NEWNS) != 0)
		return "no mount namespace of its own is to be had here";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return "the mounts cannot be made private";
	fd = mkstemp(name);
	ok = fd >= 0 && write(fd, "2\n", 2) == 2 && mount(name, path, NULL, MS_BIND, NULL) == 0;
	if (fd >= 0) {
		(void)close(fd);
		(void)unlink(name);
	}
	fd = ok ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0 || read(fd, &said, 1) != 1 || said != '2')
		return "nothing can be mounted over /proc/sys/vm/overcommit_memory";
	(void)close(fd);
	return NULL;
}

#define CANNOT 77

static void start_row(const char *backend, const char *seed, const char *pages, size_t i)
{
	char number[24];

	if (rows[i].overcommit) {
		const char *why = feign_overcommit();
		if (why != NULL) {
			tap_note("%s", why);
			_exit(CANNOT);
		}
	}
	(void)snprintf(number, sizeof number, "%zu", i);
	if (*rows[i].conf != '\0')
		(void)setenv("MALLOC_CONF", rows[i].conf, 1);
	else
		(void)unsetenv("MALLOC_CONF");
	(void)execl("/proc/self/exe", "rows_test", backend, "--seed", seed, "--pages", pages,
		    "--run", number, (char *)NULL);
	_exit(1);
}

static void try_row(const char *backend, uint64_t seed, uint64_t pages, size_t i)
{
	char seed_text[24], pages_text[24], name[128];
	int status = 0;
	pid_t pid;

	(void)snprintf(seed_text, sizeof seed_text, "%llu", ull(seed));
	(void)snprintf(pages_text, sizeof pages_text, "%llu", ull(pages));
	(void)snprintf(name, sizeof name, "%s: %s: %s", JE_BUILD, rows[i].name,
		       rows[i].loses ? "writes are lost" : "nothing is missed");
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0)
		start_row(backend, seed_text, pages_text, i);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT) {
		tap_line(!tap_required("overcommit"), backend, name,
			 "no mount namespace, or not allowed to mount there");
		return;
	}
	if (!WIFEXITED(status))
		tap_note("it ended with signal %d", WTERMSIG(status));
	tap_line(WIFEXITED(status) && WEXITSTATUS(status) == 0, backend, name, NULL);
}

static const struct option long_options[] = {
	{ "seed", required_argument, NULL, 's' },
	{ "pages", required_argument, NULL, 'p' },
	{ "row", required_argument, NULL, 'r' },
	{ "run", required_argument, NULL, 'R' },
	{ NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
	enum cardmark_backend backend;
	const char *name, *seed_text = NULL, *words = "", *run = NULL;
	uint64_t pages = 10000, seed;
	int c;

	while ((c = getopt_long(argc, argv, "s:p:r:R:", long_options, NULL)) != -1) {
		if (c == 's')
			seed_text = optarg;
		else if (c == 'p')
			pages = strtoull(optarg, NULL, 0);
		else if (c == 'r')
			words = optarg;
		else if (c == 'R')
			run = optarg;
		else
			return 2;
	}
	name = optind < argc ? argv[optind] : "pagemap";
	if (cardmark_backend_parse(name, &backend) < 0)
		return 2;
	if (run != NULL)
		return run_row(&rows[strtoul(run, NULL, 0) % ROWS], backend,
			       strtoull(seed_text, NULL, 0), pages);
	if (!live_usable(backend, name))
		return tap_status();
	if (backend == CARDMARK_BACKEND_ALLDIRTY)
		return tap_status(); /* cannot miss */
	seed = random_seed(seed_text);
	for (size_t i = 0; i < ROWS; i++)
		if ((backend == CARDMARK_BACKEND_PAGEMAP || rows[i].all) &&
		    strstr(rows[i].name, words) != NULL)
			try_row(name, seed, pages, i);
	return tap_status();
}
