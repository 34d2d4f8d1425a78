/* SPDX-License-Identifier: MIT
 *
 * Description: long-lived objects of every kind that libgc knows. Some of each are written to
 * between any two collections: the objects that they point to are reachable only from there.
 * libgc reads each kind in its own way.
 *
 * kinds [-s SEED] [-d SECONDS] [-f] [-o]
 *   -f  fork children that go on
 *   -o  without the kinds that libgc marks from unmarked: not done if its mark stack overflows
 * Prints "lost KIND: N" for each kind and "lost: N"; status 1 if N is not 0. */
#include "common/clock.h"
#include "common/random.h"
#include "tests/boehm/objects.h"

#include <gc/gc_disclaim.h>
#include <gc/gc_mark.h>
#include <gc/gc_typed.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLDERS 100         /* of each kind */
#define LEAST_COLLECTIONS 3 /* on a busy machine, too */
#define WRITES 12           /* into each, a round */
#define WORD sizeof(uintptr_t)

/* Makes a holder of `words` words whose slot is at word `slot`. */
typedef void *make_fn(size_t words, size_t slot);

struct kind {
	const char *name;
	make_fn *make;
	size_t least, most; /* words */
	bool hidden;        /* only its mark procedure understands the pointer in the slot */
	uintptr_t *holder[HOLDERS];
	size_t slot[HOLDERS];
	uint64_t id[HOLDERS], lost;
};

static uint64_t state = 1;
static GC_word first_bit[1] = { 2 }; /* of a bitmap: only the second word */
static GC_descr second_word;
static int hidden_kind, short_kind, kept_kind, keeping_kind;
#define HELD 64
static volatile uintptr_t *held[HELD];
static uint64_t kept_lost, kept_seen; /* objects that unmarked ones should have kept */
static double seconds = 2;
static bool forks, only_marked;

static void *make_normal(size_t words, size_t slot)
{
	(void)slot;
	return GC_MALLOC(words * WORD);
}

static void *make_ignored(size_t words, size_t slot)
{
	(void)slot;
	return GC_malloc_ignore_off_page(words * WORD);
}

static void *make_uncollectable(size_t words, size_t slot)
{
	(void)slot;
	return GC_MALLOC_UNCOLLECTABLE(words * WORD);
}

static void *make_typed(size_t words, size_t slot)
{
	(void)slot;
	return GC_MALLOC_EXPLICITLY_TYPED(words * WORD, second_word);
}

/* An array whose elements are of two words, and the second is a pointer. */
static void *make_typed_array(size_t words, size_t slot)
{
	(void)slot;
	return GC_CALLOC_EXPLICITLY_TYPED(words / 2, 2 * WORD, second_word);
}

static void *make_hidden(size_t words, size_t slot)
{
	uintptr_t *p = GC_generic_malloc(words * WORD, hidden_kind);

	if (p)
		p[0] = slot;
	return p;
}

static void *make_short(size_t words, size_t slot)
{
	(void)slot;
	return GC_generic_malloc(words * WORD, short_kind);
}

static struct kind kinds[] = {
	{ "normal", make_normal, 2, 200, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "normal-large", make_normal, 300, 9000, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "ignored", make_ignored, 9000, 12000, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "uncollectable", make_uncollectable, 2, 200, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "uncollectable-large", make_uncollectable, 300, 2000, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "typed", make_typed, 2, 100, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "typed-large", make_typed, 300, 2000, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "typed-array", make_typed_array, 2, 2000, false, { 0 }, { 0 }, { 0 }, 0 },
	{ "procedure", make_hidden, 2, 100, true, { 0 }, { 0 }, { 0 }, 0 },
	{ "procedure-large", make_hidden, 300, 3000, true, { 0 }, { 0 }, { 0 }, 0 },
	{ "short", make_short, 2, 400, false, { 0 }, { 0 }, { 0 }, 0 },
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static struct GC_ms_entry *mark_hidden(GC_word *object, struct GC_ms_entry *top,
				       struct GC_ms_entry *limit, GC_word environment)
{
	GC_word hidden = object[0] ? object[object[0]] : 0;

	(void)environment;
	return hidden ? GC_MARK_AND_PUSH((void *)~hidden, top, limit, (void **)object) : top;
}

/* libgc marks from objects of this kind, though nothing points to them, until this function
 * has run: the objects that they point to must be whole. */
static int GC_CALLBACK look_at_kept(void *object)
{
	uintptr_t *p = object, *kept;

	if (!(p[0] & 3)) /* in a free list */
		return 0;
	kept = (uintptr_t *)p[1];
	kept_seen++;
	kept_lost += kept[0] != 1 || kept[1] != p[2] || kept[2] != check_of(p[2]);
	p[0] = 0;
	return 0;
}

static int GC_CALLBACK let_go(void *object)
{
	(void)object;
	return 0;
}

/* The kept objects are of such a kind, too. libgc sweeps these kinds at once, in order: an
 * object that was not kept is empty before its keeping object is looked at. But completely
 * empty blocks come first: so some of the keeping objects are held. */
static void make_keeping(unsigned n)
{
	/* The compiler takes an object without a pointer to it for dead. */
	volatile uintptr_t *kept = GC_generic_malloc(4 * WORD, kept_kind);
	volatile uintptr_t *p = GC_generic_malloc(4 * WORD, keeping_kind);

	if (!p || !kept)
		exit(99);
	kept[1] = ++next_id;
	kept[2] = check_of(kept[1]);
	kept[0] = 1;
	p[1] = (uintptr_t)kept;
	p[2] = kept[1];
	p[0] = 1;
	if (n % 16 == 0)
		held[n / 16 % HELD] = p;
}

static void make_kinds(void)
{
	second_word = GC_make_descriptor(first_bit, 2);
	hidden_kind = (int)GC_new_kind(GC_new_free_list(),
				       GC_MAKE_PROC(GC_new_proc(mark_hidden), 0), 0, 1);
	short_kind = (int)GC_new_kind(GC_new_free_list(), 2 * WORD | GC_DS_LENGTH, 0, 1);
	kept_kind = (int)GC_new_kind(GC_new_free_list(), GC_DS_LENGTH, 1, 1);
	GC_register_disclaim_proc(kept_kind, let_go, 1);
	keeping_kind = (int)GC_new_kind(GC_new_free_list(), GC_DS_LENGTH, 1, 1);
	GC_register_disclaim_proc(keeping_kind, look_at_kept, 1);
}

static size_t slot_of(const struct kind *k, size_t words)
{
	if (k->make == make_typed || k->make == make_short)
		return 1;
	if (k->make == make_typed_array)
		return random_xorshift(&state) % (words / 2) * 2 + 1;
	return 1 + random_xorshift(&state) % (words - 1);
}

static void make_holders(struct kind *k)
{
	for (int i = 0; i < HOLDERS; i++) {
		size_t words = k->least + random_xorshift(&state) % (k->most - k->least + 1);

		k->slot[i] = slot_of(k, words);
		k->holder[i] = k->make(words, k->slot[i]);
		if (!k->holder[i])
			exit(99);
	}
}

static void write_to(struct kind *k)
{
	for (int n = 0; n < WRITES; n++) {
		size_t i = random_xorshift(&state) % HOLDERS;
		const struct object *o = new_object();

		k->id[i] = o->id;
		k->holder[i][k->slot[i]] = k->hidden ? ~(uintptr_t)o : (uintptr_t)o;
	}
}

static void look_at(struct kind *k)
{
	for (int i = 0; i < HOLDERS; i++) {
		uintptr_t value = k->holder[i][k->slot[i]];
		const struct object *o = (const struct object *)(k->hidden ? ~value : value);

		k->lost += is_lost(o, k->id[i]);
	}
}

static void go_on(double until)
{
	while (cm_now_seconds() < until) {
		for (size_t k = 0; k < KINDS; k++)
			write_to(&kinds[k]);
		for (unsigned i = 0; i < 1024 && !only_marked; i++)
			make_keeping(i);
		garbage(60000);
		for (int i = 0; i < HELD; i++)
			kept_lost += held[i] && held[i][0] != 1;
		for (size_t k = 0; k < KINDS; k++)
			look_at(&kinds[k]);
	}
}

static uint64_t all_lost(void)
{
	uint64_t lost = kept_lost;

	for (size_t k = 0; k < KINDS; k++)
		lost += kinds[k].lost;
	return lost;
}

static uint64_t lost_in_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		go_on(cm_now_seconds() + 0.2);
		_exit(all_lost() ? 1 : 0);
	}
	return lost_in(child);
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, in_children = 0;
	GC_word first;
	double end;

	for (int c; (c = getopt(argc, argv, "s:d:fo")) != -1;)
		switch (c) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			seconds = atof(optarg);
			break;
		case 'f':
			forks = true;
			break;
		case 'o':
			only_marked = true;
			break;
		default:
			return 99;
		}
	state = seed * 2 + 1;
	if (forks)
		GC_set_handle_fork(1);
	GC_INIT();
	make_kinds();
	for (size_t k = 0; k < KINDS; k++)
		make_holders(&kinds[k]);
	GC_gcollect();
	first = GC_get_gc_no();
	end = cm_now_seconds() + seconds;
	while (cm_now_seconds() < end || GC_get_gc_no() < first + LEAST_COLLECTIONS) {
		go_on(cm_now_seconds() + 0.3);
		if (forks)
			in_children += lost_in_child();
	}
	for (size_t k = 0; k < KINDS; k++)
		printf("lost %s: %llu\n", kinds[k].name, (unsigned long long)kinds[k].lost);
	printf("lost kept: %llu of %llu\n", (unsigned long long)kept_lost,
	       (unsigned long long)kept_seen);
	printf("collections: %llu\n", (unsigned long long)GC_get_gc_no());
	printf("lost: %llu\n", (unsigned long long)(all_lost() + in_children));
	return all_lost() + in_children ? 1 : 0;
}
