/* SPDX-License-Identifier: MIT */
#include "tests/jemalloc/oracle.h"

#include "tests/support/page_hash.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ZERO 0x40 /* MALLOCX_ZERO */
#define THREADS 2
#define SLOTS 128
#define OPERATIONS 400 /* of each thread in a round */
#define MOST_ROUNDS 20000
#define PAGES ((size_t)1 << 21) /* of the table, a power of two */

static const struct oracle_options *options;
static struct oracle_counts *counts;
static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;
static struct cardmark_jemalloc *other; /* NULL: there is none */
static struct cardmark_table *other_table;
static bool other_asks_any_time; /* the backend can clear beside mutators */
static size_t card;
static uint64_t zeros; /* the hash of a page of zeros */

/* ---- Threads ------------------------------------------------------------------- */

struct object {
	unsigned char *p;
	size_t size;
};

struct mutator {
	pthread_t thread;
	uint64_t state;
	int flags;
	struct object objects[SLOTS];
};

static struct mutator mutators[THREADS], neighbour;
static pthread_barrier_t turn;
static bool over;
static atomic_bool neighbour_ends;

static size_t random_size(struct mutator *m)
{
	switch (random_below(&m->state, 20)) {
	case 0:
		return 1 + random_below(&m->state, (size_t)4 << 20);
	case 1:
	case 2:
	case 3:
		return 1 + random_below(&m->state, 256 << 10);
	case 4:
	case 5:
	case 6:
	case 7:
		return 1 + random_below(&m->state, 16 << 10);
	default:
		return 1 + random_below(&m->state, 256);
	}
}

static void write_somewhere(struct mutator *m, const struct object *o, size_t times)
{
	while (times-- > 0)
		live_store(o->p + random_below(&m->state, o->size),
			   (unsigned char)random_next(&m->state));
}

/* A word in each page, or in every few. */
static void write_through(struct mutator *m, const struct object *o)
{
	size_t step = card * (1 + random_below(&m->state, 3));

	for (size_t i = random_below(&m->state, card); i < o->size; i += step)
		live_store(o->p + i, (unsigned char)random_next(&m->state));
	write_somewhere(m, o, 4);
}

static void operate(struct mutator *m)
{
	struct object *o = &m->objects[random_below(&m->state, SLOTS)];
	size_t size;

	if (o->p == NULL) {
		size = random_size(m);
		o->p = mallocx(size, m->flags | (random_below(&m->state, 4) == 0 ? ZERO : 0));
		o->size = size;
		if (o->p != NULL && random_below(&m->state, 4) != 0)
			write_through(m, o);
		return;
	}
	switch (random_below(&m->state, 8)) {
	case 0:
	case 1:
		dallocx(o->p, m->flags);
		o->p = NULL;
		break;
	case 2: {
		unsigned char *moved = rallocx(o->p, size = random_size(m), m->flags);
		if (moved != NULL) {
			o->p = moved;
			o->size = size;
		}
		break;
	}
	case 3:
		write_through(m, o);
		break;
	default:
		write_somewhere(m, o, 3);
	}
}

static int flags_of(void)
{
	int arena = JE_ARENA(cardmark_jemalloc_arena(je));

	if (options->broken == BREAK_TCACHE)
		return arena;
	return options->none ? arena | JE_TCACHE_NONE : cardmark_jemalloc_flags(je);
}

/* Like a program that has used malloc before: its own cache is full. */
static void fill_own_cache(void)
{
	void *p[256];

	for (size_t i = 0; i < 256; i++)
		p[i] = plain_malloc(1 + i);
	for (size_t i = 0; i < 256; i++)
		plain_free(p[i]);
}

static void *mutate(void *arg)
{
	struct mutator *m = arg;

	fill_own_cache();
	m->flags = flags_of();
	for (;;) {
		(void)pthread_barrier_wait(&turn);
		if (over)
			break;
		for (int i = 0; i < OPERATIONS; i++)
			operate(m);
		(void)pthread_barrier_wait(&turn);
	}
	/* In their own turns, with their own cache. */
	for (size_t i = 0; i < SLOTS; i++)
		if (m->objects[i].p != NULL)
			dallocx(m->objects[i].p, m->flags);
	return NULL;
}

/* The collect must leave writes outside the other arena alone. */
static void collect_other(void)
{
	cardmark_table_clear(other_table);
	if (options->broken == BREAK_APART)
		(void)cardmark_jemalloc_collect(other, other_table);
	else
		(void)cardmark_jemalloc_collect_arena(other, other_table);
}

/* One object of the other arena is replaced: memory goes from one arena to the other. */
static void use_other(struct mutator *m, struct object *o)
{
	if (o->p != NULL)
		dallocx(o->p, m->flags);
	o->size = random_size(m);
	o->p = mallocx(o->size, m->flags);
	if (o->p != NULL)
		write_through(m, o);
	if (other_asks_any_time)
		collect_other();
}

/* Maps memory of its own all the time: it soon owns memory that the arena has unmapped, which
 * comes back later. */
static void *be_a_neighbour(void *arg)
{
	size_t len = 16 * card;
	void *mine[16] = { NULL };
	struct mutator *m = arg;

	if (other != NULL)
		m->flags = cardmark_jemalloc_flags(other);
	for (size_t i = 0; !atomic_load_explicit(&neighbour_ends, memory_order_relaxed); i++) {
		void **at = &mine[i % 16];
		if (*at != NULL)
			(void)munmap(*at, len);
		*at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (*at == MAP_FAILED)
			*at = NULL;
		if (other != NULL)
			use_other(m, &m->objects[i % SLOTS]);
		(void)usleep(200);
	}
	for (size_t i = 0; i < 16; i++)
		if (mine[i] != NULL)
			(void)munmap(mine[i], len);
	return NULL;
}

/* ---- Inner hooks that map anew, and a commit that does not tell ------------------ */

static struct je_hooks *jemallocs;

static void *inner_alloc(struct je_hooks *h, void *at, size_t size, size_t alignment, bool *zero,
			 bool *commit, unsigned arena)
{
	(void)h;
	return jemallocs->alloc(jemallocs, at, size, alignment, zero, commit, arena);
}

static bool map_anew(void *addr, size_t offset, size_t length, int prot)
{
	return mmap((char *)addr + offset, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == MAP_FAILED;
}

static bool inner_commit(struct je_hooks *h, void *addr, size_t size, size_t offset, size_t length,
			 unsigned arena)
{
	(void)h, (void)size, (void)arena;
	return map_anew(addr, offset, length, PROT_READ | PROT_WRITE);
}

static bool inner_decommit(struct je_hooks *h, void *addr, size_t size, size_t offset,
			   size_t length, unsigned arena)
{
	(void)h, (void)size, (void)arena;
	return map_anew(addr, offset, length, PROT_NONE);
}

static struct je_hooks inner_hooks = { .alloc = inner_alloc,
				       .commit = inner_commit,
				       .decommit = inner_decommit,
				       .split = je_split,
				       .merge = je_merge };

static int make_arena(void)
{
	unsigned arena;
	int error;

	if (!options->remap)
		return cardmark_jemalloc_create(&je, cm, mallctl,
						options->metadata ? CARDMARK_JEMALLOC_METADATA : 0);
	arena = je_new_arena();
	jemallocs = je_read_hooks(arena);
	CHECK_EQ(je_write_hooks(arena, &inner_hooks), 0);
	error = cardmark_jemalloc_adopt(&je, cm, mallctl, arena, 0);
	if (error == 0 && options->broken == BREAK_COMMIT) {
		/* In the adapter's own struct: another struct would be noticed. */
		je_read_hooks(arena)->commit = inner_commit;
	}
	return error;
}

static int make_other(void)
{
	struct cardmark_description d = CARDMARK_DESCRIPTION_INIT;
	int error = cardmark_describe(cm, &d);

	other_asks_any_time = (d.capabilities & CARDMARK_CAP_CONCURRENT) != 0;
	if (error == 0)
		error = cardmark_jemalloc_create(&other, cm, mallctl, 0);
	if (error == 0)
		error = cardmark_table_new(&other_table, cm);
	return error;
}

/* ---- What pages held ------------------------------------------------------------- */

struct page {
	uintptr_t at;
	uint64_t hash;
	uint32_t round;     /* seen last */
	uint32_t discarded; /* in the list that was read in this round */
	uint32_t suspect;   /* emptied in this round, and in no list so far */
	bool there;         /* then, but of zeros */
};

static struct page *pages;
static size_t n_pages;
static struct page **suspects; /* pages with a suspect, each once */
static size_t n_suspects;
static int memory; /* /proc/self/mem */
static uint32_t round_now;

static struct page *page_of(uintptr_t at)
{
	size_t i = (size_t)((at / card) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (PAGES - 1);

	while (pages[i].at != at && pages[i].at != 0)
		i = (i + 1) & (PAGES - 1);
	if (pages[i].at == 0) {
		CHECK(++n_pages < PAGES); /* otherwise the search would not end */
		pages[i].at = at;
	}
	return &pages[i];
}

/* Changed pages that were not reported. A background thread may be about to unmap one, and
 * have untracked it: that is certain once the arena's lock was free. */
static struct {
	uintptr_t at;
	uint64_t before, hash;
} missing[4096];
static size_t n_missing;

static void note_miss(uintptr_t at, uint64_t before, uint64_t hash)
{
	if (counts->missed++ < 3)
		tap_note("round %u: page %#zx changed from %#llx to %#llx and was not reported",
			 round_now, (size_t)at, (unsigned long long)before,
			 (unsigned long long)hash);
}

static void note_missing(uintptr_t at, uint64_t before, uint64_t hash)
{
	if (n_missing == sizeof missing / sizeof *missing) {
		note_miss(at, before, hash);
		return;
	}
	missing[n_missing].at = at;
	missing[n_missing].before = before;
	missing[n_missing++].hash = hash;
}

/* Through a file, as a background thread may unmap it. */
static bool read_page(uintptr_t at, uint64_t *hash)
{
	static _Alignas(8) unsigned char buf[1 << 16];

	if (pread(memory, buf, card, (off_t)at) != (ssize_t)card)
		return false;
	*hash = page_hash(buf, card);
	return true;
}

static void *reserve(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void compare_page(uintptr_t at, bool holds)
{
	struct page *p = page_of(at);
	uint64_t hash = zeros;
	bool known = p->round + 1 == round_now && round_now > 1;
	/* A missing page held nothing. */
	uint64_t before = known ? p->hash : zeros;
	bool dirty;

	if (p->round == round_now)
		return; /* seen already: several objects are in it */
	if (holds && !read_page(at, &hash))
		return;
	dirty = cardmark_jemalloc_is_dirty(je, table, (const void *)at);
	if (hash == before) {
		counts->over += dirty && known;
	} else if (hash == zeros && !dirty) {
		/* No write: it is empty. Then it should be in the list of discards. If there
		 * is a page, it must be: then it was purged between our two looks. */
		counts->emptied++;
		if (p->suspect == 0)
			suspects[n_suspects++] = p;
		p->suspect = round_now;
		p->there = holds;
	} else {
		counts->changed++;
		if (!dirty)
			note_missing(at, before, hash);
	}
	p->hash = hash;
	p->round = round_now;
}

/* Reading a hole would fill it. */
static void compare(int pagemap, uintptr_t start, uintptr_t end)
{
	uint64_t entries[512];

	while (start < end) {
		size_t n = (end - start) / card < 512 ? (end - start) / card : 512;
		CHECK_EQ(pread(pagemap, entries, n * sizeof *entries,
			       (off_t)(start / card * sizeof *entries)),
			 n * sizeof *entries);
		for (size_t i = 0; i < n; i++)
			compare_page(start + i * card, entries[i] >> 62 != 0);
		start += n * card;
	}
}

static void compare_all(int pagemap)
{
	struct cardmark_jemalloc_range r;

	for (uintptr_t at = 0; cardmark_jemalloc_next_range(je, at, &r); at = r.end)
		if (!(r.flags & CARDMARK_JEMALLOC_DECOMMITTED))
			compare(pagemap, r.start, r.end);
	for (size_t t = 0; t < THREADS; t++) {
		for (size_t i = 0; i < SLOTS; i++) {
			const struct object *o = &mutators[t].objects[i];
			if (o->p == NULL)
				continue;
			counts->objects++;
			counts->outside += !cardmark_jemalloc_contains(je, o->p, o->size);
			compare(pagemap, (uintptr_t)o->p & ~(card - 1),
				((uintptr_t)o->p + o->size + card - 1) & ~(card - 1));
		}
	}
}

static void read_discards(void)
{
	struct cardmark_jemalloc_range out[256];
	int n;

	do {
		/* A background thread may have lost its processor inside a hook. */
		while ((n = cardmark_jemalloc_discarded(je, out, 256)) == -EBUSY)
			;
		CHECK(n >= 0);
		for (int i = 0; i < n; i++)
			for (uintptr_t at = out[i].start; at < out[i].end; at += card)
				page_of(at)->discarded = round_now;
	} while (n == 256);
}

static bool in_live_object(uintptr_t page)
{
	for (size_t t = 0; t < THREADS; t++) {
		for (size_t i = 0; i < SLOTS; i++) {
			const struct object *o = &mutators[t].objects[i];
			if (o->p != NULL && (uintptr_t)o->p < page + card &&
			    (uintptr_t)o->p + o->size > page)
				return true;
		}
	}
	return false;
}

static bool still_there(uintptr_t page)
{
	return in_live_object(page) || cardmark_jemalloc_contains(je, (void *)page, card);
}

/* Emptied pages against the lists of this round, the one before and the one after: a
 * background thread may purge before we look and enter it when we have asked. Where memory is
 * unmapped, this cannot be checked. */
static void compare_discards(void)
{
	struct cardmark_jemalloc_stats s = je_stats(je);
	bool unmaps = s.dalloc != s.dalloc_refused || s.destroy != 0;
	size_t kept = 0;

	for (size_t i = 0; i < n_suspects; i++) {
		struct page *p = suspects[i];
		if (p->discarded + 1 >= p->suspect) {
			counts->emptied_checked++;
			p->suspect = 0;
		} else if (p->suspect < round_now) {
			if (p->there)
				note_miss(p->at, p->hash, zeros);
			else
				counts->emptied_missed += !unmaps;
			p->suspect = 0;
		} else if (still_there(p->at)) {
			suspects[kept++] = p;
		} else {
			/* Unmapped before we looked; the zeros belong to another mapping. */
			p->suspect = 0;
		}
	}
	n_suspects = kept;
}

/* After read_discards, which had the arena's lock. */
static void judge_missing(void)
{
	while (n_missing > 0) {
		uintptr_t at = missing[--n_missing].at;
		if (still_there(at))
			note_miss(at, missing[n_missing].before, missing[n_missing].hash);
	}
}

/* ---- All of it --------------------------------------------------------------------- */

static void run_rounds(int pagemap)
{
	while (counts->changed < options->pages && round_now < MOST_ROUNDS) {
		round_now++;
		(void)pthread_barrier_wait(&turn);
		(void)pthread_barrier_wait(&turn);
		/* The world is stopped, except jemalloc's background threads. */
		cardmark_table_clear(table);
		if (other != NULL && !other_asks_any_time)
			collect_other();
		if (other != NULL)
			(void)cardmark_jemalloc_collect_arena(je, table);
		else
			(void)cardmark_jemalloc_collect(je, table);
		if (!cardmark_table_all_dirty(table))
			counts->reported += cardmark_table_count(table);
		compare_all(pagemap);
		read_discards();
		judge_missing();
		compare_discards();
	}
	counts->rounds = round_now;
}

int oracle_run(const struct oracle_options *o, struct oracle_counts *out)
{
	struct cardmark_options open_options = CARDMARK_OPTIONS_INIT;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	void *page;
	int error;

	options = o;
	counts = out;
	*out = (struct oracle_counts){ 0 };
	card = cardmark_card_size();
	pages = reserve(PAGES * sizeof *pages);
	suspects = reserve(PAGES * sizeof(struct page *));
	page = mmap(NULL, card, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (memory < 0 || pagemap < 0 || pages == MAP_FAILED || suspects == MAP_FAILED ||
	    page == MAP_FAILED) {
		tap_note("the oracle has no memory or no /proc/self/mem and pagemap");
		return -ENOMEM;
	}
	zeros = page_hash(page, card);
	open_options.backend = o->backend;
	open_options.flags = CARDMARK_OPEN_NO_ENV;
	error = cardmark_open(&cm, &open_options);
	if (error == 0)
		error = cardmark_table_new(&table, cm);
	if (error < 0) {
		tap_note("%s", cardmark_last_error());
		return error;
	}
	error = make_arena();
	if (error == 0 && o->apart)
		error = make_other();
	if (error < 0) {
		tap_note("%s", cardmark_last_error());
		return error;
	}
	(void)pthread_barrier_init(&turn, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++) {
		mutators[i].state = o->seed * THREADS + i;
		CHECK_EQ(pthread_create(&mutators[i].thread, NULL, mutate, &mutators[i]), 0);
	}
	neighbour.state = o->seed * THREADS + THREADS;
	CHECK_EQ(pthread_create(&neighbour.thread, NULL, be_a_neighbour, &neighbour), 0);
	run_rounds(pagemap);
	over = true;
	atomic_store_explicit(&neighbour_ends, true, memory_order_relaxed);
	(void)pthread_join(neighbour.thread, NULL);
	(void)pthread_barrier_wait(&turn);
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(mutators[i].thread, NULL);
	out->je = je_stats(je);
	/* With hooks of its own in front, or objects in other caches, it can't be undone. */
	if (o->broken == BREAK_NOTHING) {
		error = cardmark_jemalloc_destroy(&je);
		CHECK_EQ(cardmark_jemalloc_destroy(&other), 0);
		cardmark_close(&cm);
		cardmark_table_delete(&table);
		cardmark_table_delete(&other_table);
	}
	(void)close(pagemap);
	(void)close(memory);
	return error;
}
