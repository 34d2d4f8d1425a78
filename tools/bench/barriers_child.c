/* SPDX-License-Identifier: MIT
 * One run of minigc at one point with one barrier. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/barriers.h"

enum { MOST_PAUSES = 1 << 20 };

void barriers_free_run(struct barriers_run *run)
{
	free(run->pauses);
	memset(run, 0, sizeof *run);
}

/* False if the program is missing. */
static bool make_command(const struct barriers *b, const struct barriers_point *p,
			 const struct barriers_row *row, uint64_t seed, const char *pauses,
			 struct bench_command *c)
{
	char program[TOOL_PATH], name[32];

	snprintf(name, sizeof name, "%s.lisp", p->program);
	if (!tool_find_bench(name, program))
		return false;
	snprintf(c->path, sizeof c->path, "%s", b->minigc);
	bench_add_argument(c, "minigc");
	bench_add_argument(c, "--json");
	bench_add_argument(c, "--pauses=%s", pauses);
	bench_add_argument(c, "--barrier=%s", row->barrier);
	bench_add_argument(c, "--nursery=%" PRIu64, p->nursery);
	bench_add_argument(c, "--heap-limit=%" PRIu64, p->heap_limit);
	bench_add_argument(c, "--seed=%" PRIu64, seed);
	bench_add_argument(c, "--size=%" PRIu64, p->size);
	if (row->backend[0] != '\0')
		bench_add_argument(c, "--backend=%s", row->backend);
	bench_add_argument(c, "%s", program);
	if (p->words > 0) {
		bench_add_argument(c, "%" PRIu64, p->words);
		bench_add_argument(c, "%" PRIu64, p->objects);
		bench_add_argument(c, "%" PRIu64, p->churn);
	}
	return true;
}

/* FNV-1a of all that it printed; 0 is kept for nothing. */
static uint64_t hash_of(int fd)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	unsigned char buffer[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, sizeof buffer, at)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buffer[i]) * UINT64_C(0x100000001b3);
		at += n;
	}
	return at == 0 ? 0 : hash | 1;
}

static bool read_statistics(int fd, struct barriers_run *out)
{
	char *text = bench_tail(fd);
	json_t *o = text != NULL ? json_loads(bench_last_line(text), 0, NULL) : NULL;
	bool good = strcmp(bench_string_of(o, "format"), "minigc") == 0;

	/* All but the first, which is measured from outside. */
	bench_get_counts(o, barriers_run_fields + 1, BARRIERS_RUN_FIELDS - 1, out);
	json_decref(o);
	free(text);
	return good;
}

static bool read_pause(const char *line, uint64_t begin, struct barriers_pause *p)
{
	char kind[8];

	if (sscanf(line,
		   "%7[^,],%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64
		   ",%" SCNu64 ",%" SCNu64 ",%" SCNu64,
		   kind, &p->start, &p->end, &p->phase[0], &p->phase[1], &p->phase[2], &p->phase[3],
		   &p->phase[4], &p->dirty, &p->scanned) != 10 ||
	    p->start < begin || p->end < p->start)
		return false;
	p->full = strcmp(kind, "full") == 0;
	p->start -= begin;
	p->end -= begin;
	return true;
}

static bool read_pauses(const char *file, uint64_t begin, struct barriers_run *out)
{
	FILE *f = fopen(file, "re");
	char line[512];
	size_t room = 0;
	bool good = f != NULL && fgets(line, sizeof line, f) != NULL;

	while (good && fgets(line, sizeof line, f) != NULL) {
		if (out->n_pauses == room) {
			struct barriers_pause *more;

			room = room * 2 + 64;
			more = realloc(out->pauses, room * sizeof *more);
			if (more == NULL || room > MOST_PAUSES) {
				good = false;
				break;
			}
			out->pauses = more;
		}
		good = read_pause(line, begin, &out->pauses[out->n_pauses]);
		out->n_pauses += good;
	}
	if (f != NULL)
		fclose(f);
	return good;
}

void barriers_run_child(const struct barriers *b, const struct barriers_point *p,
			const struct barriers_row *row, uint64_t seed, double timeout_s,
			struct barriers_run *out)
{
	struct bench_command command = { .argc = 0 };
	char pauses[sizeof b->dir + 16];
	struct bench_child child;

	barriers_free_run(out);
	out->done = true;
	snprintf(pauses, sizeof pauses, "%s/pauses", b->dir);
	if (!make_command(b, p, row, seed, pauses, &command)) {
		snprintf(out->error, sizeof out->error, "%s.lisp is missing", p->program);
		return;
	}
	bench_run_command(&command, timeout_s, false, &child);
	bench_free_command(&command);
	out->wall_s = child.wall_s;
	out->cpu_s = child.cpu_s;
	out->peak_rss_kb = child.peak_rss_kb;
	out->hash = hash_of(child.out);
	if (!child.ok)
		snprintf(out->error, sizeof out->error, "%s", child.error);
	else if (out->hash == 0)
		snprintf(out->error, sizeof out->error, "printed no result");
	else if (!read_statistics(child.err, out))
		snprintf(out->error, sizeof out->error, "printed no statistics");
	else if (!read_pauses(pauses, child.begin_ns, out))
		snprintf(out->error, sizeof out->error, "its pauses cannot be read");
	else
		out->ok = true;
	bench_close_child(&child);
	unlink(pauses);
}
