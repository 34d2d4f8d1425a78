/* SPDX-License-Identifier: MIT
 *
 * Makes a failing program smaller: removes pieces of it, from halves down to single
 * operations, then makes operands simpler, until nothing more can be removed. */
#include "tests/soundness/random/program.h"

#include <string.h>

#define TRIES 6 /* of a program with threads: it may fail by chance only */

struct shrinker {
	struct program *best;
	enum cardmark_backend backend;
	enum verdict verdict;
	unsigned runs, most;
};

static bool has_threads(const struct program *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->op[i].v[O_THREAD] != 0)
			return true;
	return false;
}

/* Takes a candidate if it fails in the same way. */
static bool try(struct shrinker *s, const struct program *candidate)
{
	unsigned tries = has_threads(candidate) ? TRIES : 1;

	for (unsigned k = 0; k < tries && s->runs < s->most; k++) {
		struct outcome out;

		s->runs++;
		program_run(candidate, s->backend, &out);
		if (out.verdict != s->verdict)
			continue;
		*s->best = *candidate;
		/* Operations after the failure are not needed. */
		if (out.op + 1 < s->best->n)
			s->best->n = out.op + 1;
		return true;
	}
	return false;
}

static bool without(struct shrinker *s, size_t from, size_t n)
{
	static struct program c;

	c = *s->best;
	memmove(&c.op[from], &c.op[from + n], (c.n - from - n) * sizeof *c.op);
	c.n -= (uint32_t)n;
	return try(s, &c);
}

static bool drop_ops(struct shrinker *s)
{
	bool any = false;

	for (size_t n = s->best->n / 2; n > 0; n /= 2)
		for (size_t from = 0; from + n <= s->best->n && s->best->n > 1;) {
			if (without(s, from, n))
				any = true;
			else
				from += n;
		}
	return any;
}

static bool with_operand(struct shrinker *s, size_t i, size_t k, uint32_t value)
{
	static struct program c;

	if (s->best->op[i].v[k] <= value)
		return false;
	c = *s->best;
	c.op[i].v[k] = value;
	return try(s, &c);
}

static bool simplify_operands(struct shrinker *s)
{
	bool any = false;

	for (size_t i = 0; i < s->best->n; i++)
		for (size_t k = 0; k < OPERANDS && i < s->best->n; k++) {
			if (with_operand(s, i, k, 0) || (k != O_HOW && with_operand(s, i, k, 1)))
				any = true;
			else
				while (i < s->best->n && k != O_HOW && s->best->op[i].v[k] > 2 &&
				       with_operand(s, i, k, s->best->op[i].v[k] / 2))
					any = true;
		}
	return any;
}

static bool simplify_header(struct shrinker *s)
{
	uint32_t *const fields[] = { &s->best->open,    &s->best->chunk,   &s->best->vec,
				     &s->best->crew,    &s->best->huge,    &s->best->faults,
				     &s->best->backoff, &s->best->consumer };
	bool any = false;

	for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
		static struct program c;

		if (*fields[k] == 0)
			continue;
		c = *s->best;
		*(uint32_t *)(void *)((char *)&c + ((char *)fields[k] - (char *)s->best)) = 0;
		any |= try(s, &c);
	}
	return any;
}

/* Moves everything down together: pages often depend on each other. */
static bool move_down(struct shrinker *s)
{
	static struct program c;
	uint32_t least = PROGRAM_PAGES;

	c = *s->best;
	for (size_t i = 0; i < c.n; i++)
		if (op_info[c.op[i].kind].operands & 1u << O_PAGE && c.op[i].kind != OP_RELEASE &&
		    c.op[i].v[O_PAGE] < least)
			least = c.op[i].v[O_PAGE];
	if (least == 0 || least == PROGRAM_PAGES)
		return false;
	for (size_t i = 0; i < c.n; i++) {
		if (op_info[c.op[i].kind].operands & 1u << O_PAGE && c.op[i].v[O_PAGE] >= least)
			c.op[i].v[O_PAGE] -= least;
		if (c.op[i].kind == OP_REMAP && c.op[i].v[O_TO] >= least)
			c.op[i].v[O_TO] -= least;
	}
	return try(s, &c);
}

unsigned program_shrink(struct program *p, enum cardmark_backend backend, enum verdict verdict,
			unsigned most_runs)
{
	struct shrinker s = {
		.best = p, .backend = backend, .verdict = verdict, .most = most_runs
	};
	bool any = true;

	while (any && s.runs < s.most) {
		any = drop_ops(&s);
		any |= simplify_header(&s);
		any |= move_down(&s);
		any |= simplify_operands(&s);
	}
	return s.runs;
}
