/* SPDX-License-Identifier: MIT
 * The work of an interrupted bench: FILE.journal beside the results file, one JSON object a line.
 * The first line has the plan; then there is a line for each program when its work is known, for
 * each run, and at the end of each block. The runs of an unfinished block are run again, because
 * the runs of a block must be near in time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/programs.h"

static bool name_it(struct bench_journal *j, const char *file)
{
	int n = snprintf(j->path, sizeof j->path, "%s.journal", file);

	if (n > 0 && (size_t)n < sizeof j->path)
		return true;
	j->path[0] = '\0';
	tool_message("bench", "the name of the results file is too long");
	return false;
}

/* One bench at a time has a journal: 1 it is ours now, 0 another process has it, -1 it cannot be
 * opened. A child of a bench that was killed has the lock until its exec, so the lock is asked for
 * more than once. The bench also runs on a file system without locks. */
static int lock(struct bench_journal *j)
{
	struct timespec pause = { 0, 20000000 };
	int fd = open(j->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; tries++) {
		if (tries == 25) {
			close(fd);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	j->lock_fd = fd;
	return 1;
}

static void unlock(struct bench_journal *j)
{
	if (j->lock_fd > 0)
		close(j->lock_fd);
	j->lock_fd = 0;
}

static void report_running(const struct bench_journal *j)
{
	tool_message("bench",
		     "%s belongs to a bench that is running: wait for it, or name another results "
		     "file with --json=FILE",
		     j->path);
}

/* The journal was there before. */
static void report_other(struct bench_journal *j, const char *file)
{
	if (lock(j) == 0)
		report_running(j);
	else
		tool_message("bench",
			     "%s belongs to an interrupted bench: 'cardmark bench resume %s' goes "
			     "on with it; remove the file to begin again",
			     j->path, file);
	unlock(j);
}

static json_t *labels(const struct bench_plan *plan)
{
	json_t *list = json_array();

	for (unsigned row = 0; row < plan->row_count; row++)
		json_array_append_new(list, json_string(plan->rows[row].label));
	for (unsigned k = 0; k < plan->program_count; k++)
		json_array_append_new(list, json_string(plan->programs[k].left_out[0] != '\0'
								? "-"
								: plan->programs[k].name));
	return list;
}

bool bench_journal_begin(struct bench_journal *j, const char *file, const struct bench_plan *plan)
{
	json_t *line, *argv = json_array();

	for (int i = 0; i < plan->opt->argc; i++)
		if (!tool_is_utf8(plan->opt->argv[i])) {
			tool_message("bench",
				     "the argument \"%s\" is not UTF-8, so 'resume' could not "
				     "repeat it: choose another",
				     plan->opt->argv[i]);
			json_decref(argv);
			return false;
		}
	if (!name_it(j, file))
		return false;
	j->f = fopen(j->path, "wxe");
	if (j->f == NULL && errno == EEXIST)
		report_other(j, file);
	else if (j->f == NULL)
		tool_message("bench", "cannot write %s: %s", j->path, strerror(errno));
	if (j->f != NULL && lock(j) == 0) { /* resume was faster */
		report_running(j);
		fclose(j->f);
		j->f = NULL;
	}
	if (j->f == NULL) {
		json_decref(argv);
		return false;
	}
	for (int i = 0; i < plan->opt->argc; i++)
		json_array_append_new(argv, json_string(plan->opt->argv[i]));
	line = json_pack("{s:s, s:i, s:o, s:o, s:s}", "format", "cardmark-bench-journal", "version",
			 BENCH_VERSION, "argv", argv, "rows", labels(plan), "best", plan->best);
	bench_put_env(line, &j->env);
	bench_journal_add(j, line, 0);
	return true;
}

void bench_journal_add(struct bench_journal *j, json_t *line, double at_s)
{
	if (j->f != NULL) {
		bench_env_update(&j->env);
		json_object_set_new(line, "at_s", json_real(at_s));
		json_object_set_new(line, "steal", json_integer((json_int_t)j->env.steal));
		json_object_set_new(line, "total", json_integer((json_int_t)j->env.total));
		json_object_set_new(line, "busy", json_integer((json_int_t)j->env.busy));
		json_object_set_new(line, "own", json_integer((json_int_t)j->env.own));
		json_dumpf(line, j->f, JSON_COMPACT | JSON_REAL_PRECISION(9));
		fputc('\n', j->f);
		if (fflush(j->f) != 0) {
			tool_message("bench", "cannot write %s: %s", j->path, strerror(errno));
			fclose(j->f);
			j->f = NULL;
		}
	}
	json_decref(line);
}

void bench_journal_close(struct bench_journal *j)
{
	if (j->f != NULL)
		fclose(j->f);
	j->f = NULL;
	if (j->finished && j->path[0] != '\0')
		unlink(j->path);
	unlock(j);
	json_decref(j->lines);
	j->lines = NULL;
}

bool bench_journal_read(struct bench_journal *j, const char *file)
{
	const json_t *first;
	char *text = NULL;
	size_t room = 0;
	ssize_t n;
	FILE *f;

	if (!name_it(j, file))
		return false;
	f = fopen(j->path, "re");
	if (f == NULL) {
		if (errno == ENOENT && access(file, R_OK) == 0)
			tool_message("bench", "%s is complete: there is nothing to resume", file);
		else
			tool_message("bench", "cannot read %s: %s", j->path, strerror(errno));
		j->path[0] = '\0';
		return false;
	}
	if (lock(j) == 0) {
		report_running(j);
		fclose(f);
		j->path[0] = '\0';
		return false;
	}
	j->lines = json_array();
	while ((n = getline(&text, &room, f)) > 0) {
		/* The last line may have been cut. */
		json_t *line = text[n - 1] == '\n' ? json_loads(text, 0, NULL) : NULL;

		if (line == NULL)
			break;
		json_array_append_new(j->lines, line);
		j->at_s = bench_number_of(line, "at_s");
	}
	free(text);
	fclose(f);
	first = json_array_get(j->lines, 0);
	if (strcmp(bench_string_of(first, "format"), "cardmark-bench-journal") == 0 &&
	    bench_count_of(first, "version") == BENCH_VERSION)
		return true;
	tool_message("bench", "%s is not a journal of this version", j->path);
	j->path[0] = '\0';
	return false;
}

int bench_journal_argv(const struct bench_journal *j, char ***argv)
{
	const json_t *list = json_object_get(json_array_get(j->lines, 0), "argv");
	size_t n = json_array_size(list);

	*argv = calloc(n + 1, sizeof **argv);
	if (*argv == NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		/* getopt() moves these about, but does not write into them. */
		(*argv)[i] = (char *)(uintptr_t)(s != NULL ? s : "");
	}
	return (int)n;
}

/* Ends the file after the last line that is whole. */
static bool cut_tail(struct bench_journal *j)
{
	char *text = NULL;
	size_t room = 0, lines = json_array_size(j->lines);
	FILE *f = fopen(j->path, "r+e");

	while (f != NULL && lines > 0 && getline(&text, &room, f) > 0)
		lines--;
	free(text);
	if (f == NULL || ftruncate(fileno(f), ftello(f)) != 0) {
		tool_message("bench", "cannot write %s: %s", j->path, strerror(errno));
		if (f != NULL)
			fclose(f);
		return false;
	}
	fclose(f);
	j->f = fopen(j->path, "ae");
	return j->f != NULL;
}

bool bench_journal_go_on(struct bench_journal *j, struct bench_plan *plan)
{
	const json_t *first = json_array_get(j->lines, 0);
	const json_t *last = json_array_get(j->lines, json_array_size(j->lines) - 1);
	struct bench_env now = j->env;
	json_t *mine = labels(plan);
	bool same = json_equal(mine, json_object_get(first, "rows"));

	json_decref(mine);
	bench_get_env(first, &j->env);
	if (!same || strcmp(now.kernel, j->env.kernel) != 0 || strcmp(now.cpu, j->env.cpu) != 0 ||
	    strcmp(now.library, j->env.library) != 0 || strcmp(now.libgc, j->env.libgc) != 0 ||
	    strcmp(now.thp, j->env.thp) != 0) {
		tool_message(
			"bench",
			"%s is from another plan or machine (%s, library %s): its runs cannot be "
			"compared with new ones",
			j->path, j->env.kernel, j->env.library);
		return false;
	}
	j->env.steal = bench_count_of(last, "steal");
	j->env.total = bench_count_of(last, "total");
	j->env.busy = bench_count_of(last, "busy");
	j->env.own = bench_count_of(last, "own");
	j->env.steal_after = now.steal_after;
	j->env.total_after = now.total_after;
	j->env.busy_after = now.busy_after;
	j->env.own_after = now.own_after;
	for (size_t i = 0; i < json_array_size(j->lines); i++)
		plan->resumed +=
			json_is_true(json_object_get(json_array_get(j->lines, i), "resumed"));
	plan->resumed++;
	if (!cut_tail(j))
		return false;
	bench_journal_add(j, json_pack("{s:b}", "resumed", 1), j->at_s);
	return true;
}

static bool restore_all(const json_t *runs, struct bench_plan *plan, unsigned program,
			bool verified)
{
	for (unsigned row = 0; row < plan->row_count; row++) {
		struct bench_cell *cell = bench_cell(plan, program, row);
		const json_t *o = json_array_get(runs, row);

		if (json_is_object(o) &&
		    !bench_parse_run(o, verified ? &cell->verified : &cell->sampled))
			return false;
	}
	return true;
}

static bool restore_line(const json_t *line, struct bench_plan *plan, unsigned program,
			 struct bench_done *done)
{
	struct bench_program *p = &plan->programs[program];
	uint64_t block = bench_count_of(line, "block"), row = bench_count_of(line, "row");
	const json_t *run = json_object_get(line, "run");

	if (json_object_get(line, "sampled") != NULL) {
		done->sampled = true;
		p->work = bench_count_of(line, "work");
		p->rate = bench_count_of(line, "rate");
		p->closed_rate = bench_count_of(line, "closed_rate");
		done->usual_s = bench_number_of(line, "usual_s");
		done->begin_s = bench_number_of(line, "begin_s");
		done->budget_s = bench_number_of(line, "budget_s");
		return restore_all(json_object_get(line, "sampled"), plan, program, false);
	}
	if (json_object_get(line, "verified") != NULL) {
		done->verified = true;
		return restore_all(json_object_get(line, "verified"), plan, program, true);
	}
	if (block >= MAX_BLOCKS || row >= plan->row_count)
		return false;
	if (run != NULL) {
		struct bench_run *out = &bench_cell(plan, program, (unsigned)row)->runs[block];

		bench_free_run(out); /* of a block that had to be begun again */
		return bench_parse_run(run, out);
	}
	if (json_object_get(line, "block_s") != NULL) {
		done->block_s = bench_number_of(line, "block_s");
		done->usual_s = bench_number_of(line, "usual_s");
		p->blocks = (unsigned)block + 1;
	}
	return true;
}

bool bench_journal_restore(const struct bench_journal *j, struct bench_plan *plan, unsigned program,
			   struct bench_done *done)
{
	memset(done, 0, sizeof *done);
	for (size_t i = 0; i < json_array_size(j->lines); i++) {
		const json_t *line = json_array_get(j->lines, i);

		if (!json_is_integer(json_object_get(line, "program")) ||
		    bench_count_of(line, "program") != program)
			continue;
		if (!restore_line(line, plan, program, done))
			return false;
	}
	return true;
}
