/* SPDX-License-Identifier: MIT
 *
 * Long-lived trees with updates: the generational case. A forest stays alive for the whole
 * run; most allocation dies at once; now and then a random old node is changed. Linked against
 * the stock libgc only: `cardmark run` decides how it collects. */
#include <gc.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/boehm/util.h"

/* 56 bytes, so that libgc, which adds a byte for pointers one past the end,
 * hands out cells of 64. */
struct node {
	struct node *left, *right;
	uint64_t key;
	uint64_t weight;
	uint64_t payload[3];
};

enum {
	CELL = 64,
	TREES = 1024,
	DEPTH = 64,
	SCRATCH = 63,        /* nodes of a tree that dies at once */
	SMALL = 15,          /* most nodes of a subtree that is swapped or built anew */
	STEPS_FULL = 260000, /* 1 GiB of scratch trees */
};

static struct bench_rng rng;

static struct node *new_node(uint64_t weight)
{
	struct node *n = GC_MALLOC(sizeof *n);

	if (n == NULL)
		bench_die("trees: out of memory");
	n->key = bench_next(&rng) >> 16; /* so that few keys look like an address */
	n->weight = weight;
	return n;
}

/* A balanced tree: its nodes lie side by side. */
static struct node *build(uint64_t nodes)
{
	struct node *n;

	if (nodes == 0)
		return NULL;
	n = new_node(nodes);
	n->left = build((nodes - 1) / 2);
	n->right = build(nodes - 1 - (nodes - 1) / 2);
	return n;
}

/* The places of the next nodes of a growing tree. */
struct grower {
	struct {
		struct node **at;
		uint64_t nodes;
	} places[DEPTH];
	unsigned count;
};

static void grow_by_one(struct grower *g)
{
	struct node **at = g->places[--g->count].at;
	uint64_t nodes = g->places[g->count].nodes, left = (nodes - 1) / 2;
	struct node *n = new_node(nodes);

	*at = n;
	if (nodes - 1 - left > 0) {
		g->places[g->count].at = &n->right;
		g->places[g->count++].nodes = nodes - 1 - left;
	}
	if (left > 0) {
		g->places[g->count].at = &n->left;
		g->places[g->count++].nodes = left;
	}
}

/* All trees grow at the same time: each step adds a node to a random one. So neighbours in a
 * tree are far apart in memory, like the data of a server's many clients. The growers are
 * outside the collected heap; the nodes they point into are reachable from the roots. */
static void grow(struct node **roots, uint64_t nodes)
{
	struct grower *growers = calloc(TREES, sizeof *growers);
	unsigned growing[TREES], left = TREES;

	if (growers == NULL)
		bench_die("trees: out of memory");
	for (unsigned t = 0; t < TREES; t++) {
		growing[t] = t;
		growers[t].places[0].at = &roots[t];
		growers[t].places[0].nodes = nodes / TREES;
		growers[t].count = 1;
	}
	while (left > 0) {
		unsigned k = (unsigned)bench_below(&rng, left);
		struct grower *g = &growers[growing[k]];

		grow_by_one(g);
		if (g->count == 0)
			growing[k] = growing[--left];
	}
	free(growers);
}

static uint64_t digest(const struct node *n, uint64_t h)
{
	for (; n != NULL; n = n->right) {
		h = bench_hash(h, n->key ^ n->payload[0]);
		h = digest(n->left, h);
	}
	return h;
}

/* Nodes of the tree, or limit + 1 if there are more than limit. */
static uint64_t count_nodes(const struct node *n, uint64_t limit)
{
	uint64_t c = 0;

	for (; n != NULL && c <= limit; n = n->right)
		c += 1 + count_nodes(n->left, limit);
	return c > limit ? limit + 1 : c;
}

static bool holds(const struct node *tree, const struct node *n)
{
	for (; tree != NULL; tree = tree->right)
		if (tree == n || holds(tree->left, n))
			return true;
	return false;
}

/* The place of a random subtree of 1 to SMALL nodes. */
static struct node **pick(struct node **roots)
{
	struct node **at = &roots[bench_below(&rng, TREES)];

	for (;;) {
		struct node *n = *at;
		bool left = (bench_next(&rng) >> 40) & 1;

		if (count_nodes(n, SMALL) <= SMALL)
			return at;
		if (left ? n->left == NULL : n->right == NULL)
			left = !left;
		at = left ? &n->left : &n->right;
	}
}

static void update(struct node **roots, uint64_t i)
{
	struct node **a = pick(roots);

	switch (i % 4) {
	case 0: {
		struct node **b = pick(roots), *t = *a;

		if (!holds(*a, *b) && !holds(*b, *a)) {
			*a = *b;
			*b = t;
		}
		break;
	}
	case 1:
		*a = build(count_nodes(*a, SMALL));
		break;
	default:
		(*a)->payload[0] += i;
	}
}

int main(int argc, char **argv)
{
	struct bench_options opt = { .seed = 1, .work = 100, .live = 200, .every = 4 };
	uint64_t steps, h = BENCH_HASH_INIT;
	struct node **roots;

	bench_parse(argc, argv, "Long-lived trees, short-lived trees, random updates of old nodes.",
		    &opt);
	GC_INIT();
	bench_seed(&rng, opt.seed);
	steps = STEPS_FULL * opt.work / 100;

	roots = GC_MALLOC(TREES * sizeof(struct node *));
	if (roots == NULL)
		bench_die("trees: out of memory");
	grow(roots, (opt.live << 20) / CELL);
	for (uint64_t i = 0; i < steps; i++) {
		struct node *scratch = build(SCRATCH);

		h = bench_hash(h, scratch->left->key);
		if (i % opt.every == 0)
			update(roots, i / opt.every);
	}
	for (unsigned t = 0; t < TREES; t++)
		h = digest(roots[t], h);
	printf("trees: %" PRIu64 " MiB live, %" PRIu64 " steps, seed %" PRIu64 "\n", opt.live,
	       steps, opt.seed);
	bench_print_hash(h);
	return 0;
}
