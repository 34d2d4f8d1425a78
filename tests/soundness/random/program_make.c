/* SPDX-License-Identifier: MIT
 *
 * Makes a program from a seed. Most operations use the same few pages, so that they meet. */
#include "tests/soundness/random/program.h"

#include "tests/support/random.h"

#include <string.h>

struct maker {
	struct program *p;
	uint64_t rng;
	unsigned threads, caps;
	uint32_t home; /* where most of it happens */
};

static uint32_t below(struct maker *m, uint32_t n)
{
	return (uint32_t)random_below(&m->rng, n);
}

static bool one_in(struct maker *m, uint32_t n)
{
	return below(m, n) == 0;
}

static struct op *add(struct maker *m, enum op_kind kind)
{
	static struct op nowhere;
	struct op *op = m->p->n < PROGRAM_OPS ? &m->p->op[m->p->n++] : &nowhere;

	memset(op, 0, sizeof *op);
	op->kind = kind;
	return op;
}

/* Mostly a few pages; sometimes a large range around them, or one huge page. */
static void choose_place(struct maker *m, struct op *op)
{
	if (one_in(m, 24)) {
		op->v[O_PAGE] = below(m, 2) * 512;
		op->v[O_PAGES] = 512;
	} else if (one_in(m, 8)) {
		op->v[O_PAGE] = below(m, PROGRAM_PAGES);
		op->v[O_PAGES] = 1 + below(m, 200);
	} else {
		op->v[O_PAGE] = (m->home + below(m, 32)) % PROGRAM_PAGES;
		op->v[O_PAGES] = 1 + below(m, one_in(m, 2) ? 4 : 32);
	}
}

static void choose_write(struct maker *m, struct op *op)
{
	static const uint32_t offsets[] = { 0, 8, 4088, 4095, 4080 };

	op->v[O_HOW] = below(m, 8);
	if (one_in(m, 2))
		op->v[O_HOW] = WRITE_COPY;
	op->v[O_OFFSET] = one_in(m, 2) ? offsets[below(m, 5)] : below(m, 4096);
	op->v[O_BYTES] = one_in(m, 5) ? 1 + below(m, 12000) : 1 + below(m, 40);
	op->v[O_SEED] = 1 + below(m, 1000000);
	if (m->threads > 1 && !one_in(m, 3)) {
		op->v[O_THREAD] = 1 + below(m, m->threads - 1);
		op->v[O_TIMES] = 1 + below(m, one_in(m, 3) ? 400 : 40);
	} else {
		op->v[O_TIMES] = one_in(m, 4) ? 1 + below(m, 40) : 1;
	}
}

/* Mostly questions that a user would ask. */
static void choose_masks(struct maker *m, struct op *op)
{
	static const uint32_t some[] = { CARDMARK_PAGE_PRESENT,  CARDMARK_PAGE_SWAPPED,
					 CARDMARK_PAGE_FILE,     CARDMARK_PAGE_PFNZERO,
					 CARDMARK_PAGE_HUGE,     CARDMARK_PAGE_GUARD,
					 CARDMARK_PAGE_WPALLOWED };

	op->v[O_RETURNED] = one_in(m, 2) ? CARDMARK_PAGE_WRITTEN : 0;
	if (!one_in(m, 6))
		op->v[O_REQUIRED] = CARDMARK_PAGE_WRITTEN;
	if (one_in(m, 3))
		op->v[O_ANY] = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	if (one_in(m, 4))
		op->v[O_EXCLUDED] |= some[below(m, 7)];
	if (one_in(m, 8))
		op->v[O_REQUIRED] |= some[below(m, 7)];
	if (one_in(m, 8))
		op->v[O_ANY] |= some[below(m, 7)];
	if (one_in(m, 8))
		op->v[O_EXCLUDED] |= CARDMARK_PAGE_WRITTEN;
	if (one_in(m, 4))
		op->v[O_RETURNED] |= below(m, (uint32_t)CARDMARK_PAGE_ALL + 1);
	if (one_in(m, 4))
		op->v[O_LIMIT] = 1 + below(m, 60);
	op->v[O_CAPACITY] = one_in(m, 2) ? 63 : below(m, 8);
	op->v[O_FLAGS] = one_in(m, 4) ? CARDMARK_SCAN_IGNORE_NEW : 0;
	op->v[O_ROUNDS] = one_in(m, 2) ? 100 : below(m, 3);
}

static void choose_operands(struct maker *m, struct op *op)
{
	const struct op_info *info = &op_info[op->kind];
	uint32_t has = info->operands;

	if (has & 1u << O_PAGE)
		choose_place(m, op);
	if (has & 1u << O_HOW)
		op->v[O_HOW] = below(m, info->hows_n);
	if (has & 1u << O_RUNNING && m->caps & CARDMARK_CAP_CONCURRENT)
		op->v[O_RUNNING] = below(m, 2);
	if (has & 1u << O_TABLE)
		op->v[O_TABLE] = below(m, PROGRAM_TABLES);
	if (has & 1u << O_SEED)
		op->v[O_SEED] = 1 + below(m, 250);
	switch (op->kind) {
	case OP_WRITE:
		choose_write(m, op);
		break;
	case OP_MAP:
		if (one_in(m, 2) || !(m->caps & CARDMARK_CAP_SHARED))
			op->v[O_HOW] = MAP_HOW_PRIVATE;
		break;
	case OP_REMAP:
		op->v[O_TO] = (m->home + below(m, 96)) % PROGRAM_PAGES;
		break;
	case OP_RESIZE:
		op->v[O_TO] = 1 + below(m, 2 * op->v[O_PAGES]);
		break;
	case OP_PROTECT:
		if (one_in(m, 2))
			op->v[O_HOW] = PROTECT_RW;
		break;
	case OP_ADVISE:
		if (one_in(m, 3))
			op->v[O_HOW] = ADVISE_DONTNEED;
		break;
	case OP_COLLECT:
		if (!one_in(m, 5))
			op->v[O_HOW] = COLLECT_FRESH;
		break;
	case OP_PRECLEAN:
		op->v[O_THREAD] = one_in(m, 2) ? below(m, m->threads) : 0;
		break;
	case OP_SCAN:
		choose_masks(m, op);
		break;
	case OP_HOLD:
		op->v[O_OFFSET] = below(m, 4096);
		op->v[O_BYTES] = 1 + below(m, 16384);
		break;
	case OP_CLEAR:
		if (one_in(m, 2))
			op->v[O_PAGES] = 0;
		break;
	case OP_UNION:
		op->v[O_FROM] = 1 - op->v[O_TABLE];
		break;
	case OP_FILES:
		op->v[O_FROM] = below(m, 4);
		break;
	default:
		break;
	}
}

static void drop_foreign_operands(struct op *op)
{
	for (unsigned k = 0; k < OPERANDS; k++)
		if (!(op_info[op->kind].operands & 1u << k))
			op->v[k] = 0;
}

static enum op_kind choose_kind(struct maker *m)
{
	unsigned sum = 0, pick;

	for (unsigned k = 0; k < OP_KINDS; k++)
		sum += op_info[k].weight;
	for (;;) {
		pick = below(m, sum);
		for (unsigned k = 0; k < OP_KINDS; k++) {
			if (pick >= op_info[k].weight) {
				pick -= op_info[k].weight;
				continue;
			}
			if ((op_info[k].needs & ~m->caps) == 0)
				return (enum op_kind)k;
			break;
		}
	}
}

/* Always needed: a piece of tracked memory with data in it. */
static void choose_beginning(struct maker *m)
{
	struct op *op = add(m, OP_MAP);
	uint32_t from = m->home - m->home % 64;

	op->v[O_PAGE] = from;
	op->v[O_PAGES] = one_in(m, 3) ? PROGRAM_PAGES - from : 128;
	if (m->caps & CARDMARK_CAP_SHARED && one_in(m, 3))
		op->v[O_HOW] = below(m, 5);
	op = add(m, OP_TRACK);
	op->v[O_PAGE] = from;
	op->v[O_PAGES] = one_in(m, 3) ? PROGRAM_PAGES - from : 64;
}

/* Operations that a backend rules out for tracked memory come behind an untrack. */
static void make_room(struct maker *m, enum op_kind kind)
{
	unsigned needs = op_info[kind].tracked_needs;
	struct op *op;

	if ((needs & ~m->caps) == 0)
		return;
	op = add(m, OP_UNTRACK);
	choose_place(m, op);
}

/* A second consumer in every other program. It has random numbers of its own, so that the rest
 * of each seed's program stays the same. */
static void put_consumer(struct program *p)
{
	static struct program with;
	uint64_t rng = p->seed ^ UINT64_C(0x636f6e73);

	if (random_below(&rng, 2) == 0)
		return;
	with = *p;
	with.consumer = 1;
	with.n = 0;
	for (unsigned i = 0; i < p->n && with.n + 1 < PROGRAM_OPS; i++) {
		with.op[with.n++] = p->op[i];
		if (random_below(&rng, 6) != 0)
			continue;
		with.op[with.n] = (struct op){ .kind = OP_CONSUMER };
		with.op[with.n++].v[O_HOW] = random_below(&rng, 12) == 0;
	}
	*p = with;
}

void program_make(struct program *p, uint64_t seed, unsigned ops, unsigned threads, unsigned caps)
{
	struct maker m = { .p = p, .rng = seed * 2654435761u + 17, .caps = caps };

	memset(p, 0, sizeof *p);
	p->seed = seed;
	m.threads = threads != 0 ? threads : 1 + below(&m, PROGRAM_THREADS);
	m.home = below(&m, 8) * 64;
	p->open = one_in(&m, 3)   ? CARDMARK_OPEN_DISCARDS
		  : one_in(&m, 3) ? CARDMARK_OPEN_DISCARD_IS_WRITE
				  : 0;
	p->chunk = one_in(&m, 2) ? 1 + below(&m, 100) : 0;
	p->vec = one_in(&m, 2) ? 8 + below(&m, 30) : 0;
	p->crew = one_in(&m, 3) ? 2 + below(&m, 3) : 0;
	p->backoff = one_in(&m, 4) ? 1 + below(&m, 4) : 0;
	p->huge = one_in(&m, 4) ? 1 + below(&m, 2) : 0;
	/* Its hashes are read while others write: what it is told by CONCURRENT. */
	if (one_in(&m, 5)) {
		p->verify = CARDMARK_VERIFY_HASH;
		p->open |= CARDMARK_OPEN_CONCURRENT;
	}
	p->faults = one_in(&m, 8) ? 4 + below(&m, 12) : 0;
	if (ops > PROGRAM_OPS)
		ops = PROGRAM_OPS;
	choose_beginning(&m);
	while (p->n < ops) {
		enum op_kind kind = choose_kind(&m);
		struct op *op;

		make_room(&m, kind);
		op = add(&m, kind);
		choose_operands(&m, op);
		/* The same place: that is what it was untracked for. */
		if (p->n >= 2 && op[-1].kind == OP_UNTRACK && one_in(&m, 2))
			memcpy(&op[-1].v[O_PAGE], &op->v[O_PAGE], 2 * sizeof *op->v);
		drop_foreign_operands(op);
	}
	put_consumer(p);
}
