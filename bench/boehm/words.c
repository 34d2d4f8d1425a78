/* SPDX-License-Identifier: MIT
 *
 * A word index over the text of this machine: a hash table of words, each with
 * a list of the documents that hold it, all in the collected heap. Then
 * documents are taken out and put in again, which changes old lists all over
 * the heap, and queries build results that die at once. */
#include <gc.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/boehm/corpus.h"
#include "bench/boehm/util.h"

struct word;
struct document;

/* "This word occurs `times` times in that document." */
struct posting {
	struct posting *next, *prev; /* of the same word */
	struct word *word;
	struct document *document;
	struct posting *in_document; /* the next of the same document */
	uint64_t times;
};

struct word {
	struct word *next; /* same bucket */
	char *text;        /* pointer-free */
	uint64_t hash;
	struct posting *postings;
	uint64_t documents;
};

struct document {
	struct posting *postings;
	uint64_t number;
};

struct hit { /* of a query */
	struct hit *next;
	struct document *document;
	uint64_t score;
};

enum {
	BUCKETS = 1 << 16,
	WORD_MAX = 24,
	ROUNDS_FULL = 6000, /* documents taken out and put in again */
	QUERIES_PER_ROUND = 4,
	HITS_MAX = 400,
};

static struct word **buckets;
static struct document **documents;

static void *must(void *p)
{
	if (p == NULL)
		bench_die("words: out of memory");
	return p;
}

static struct word *find(const char *text, size_t len, uint64_t hash)
{
	struct word **bucket = &buckets[hash >> 48], *w;

	for (w = *bucket; w != NULL; w = w->next)
		if (w->hash == hash && strncmp(w->text, text, len) == 0 && w->text[len] == '\0')
			return w;
	w = must(GC_MALLOC(sizeof *w));
	w->text = must(GC_MALLOC_ATOMIC(len + 1));
	memcpy(w->text, text, len);
	w->text[len] = '\0';
	w->hash = hash;
	w->next = *bucket;
	*bucket = w;
	return w;
}

static void count_word(struct document *d, struct word *w)
{
	struct posting *p = w->postings;

	/* The newest posting is at the head: this document's, if it has one. */
	if (p != NULL && p->document == d) {
		p->times++;
		return;
	}
	p = must(GC_MALLOC(sizeof *p));
	p->word = w;
	p->document = d;
	p->times = 1;
	p->next = w->postings;
	if (p->next != NULL)
		p->next->prev = p;
	w->postings = p;
	w->documents++;
	p->in_document = d->postings;
	d->postings = p;
}

static void put_in(uint64_t number, const struct corpus_file *f)
{
	struct document *d = must(GC_MALLOC(sizeof *d));
	char word[WORD_MAX];
	size_t len = 0;
	uint64_t hash = BENCH_HASH_INIT;

	d->number = number;
	documents[number] = d;
	for (size_t i = 0; i <= f->len; i++) {
		char c = i < f->len ? f->text[i] : ' ';

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c >= 'a' && c <= 'z') {
			if (len < WORD_MAX) {
				word[len++] = c;
				hash = bench_hash(hash, (unsigned char)c);
			}
		} else if (len > 0) {
			if (len > 1)
				count_word(d, find(word, len, hash * BENCH_HASH_INIT));
			len = 0;
			hash = BENCH_HASH_INIT;
		}
	}
}

static void take_out(uint64_t number)
{
	for (struct posting *p = documents[number]->postings; p != NULL; p = p->in_document) {
		if (p->prev != NULL)
			p->prev->next = p->next;
		else
			p->word->postings = p->next;
		if (p->next != NULL)
			p->next->prev = p->prev;
		p->word->documents--;
	}
	documents[number] = NULL;
}

/* Documents that hold the word, scored by how often; the list is garbage as
 * soon as it has been added up. */
static uint64_t query(const struct word *w, uint64_t h)
{
	struct hit *hits = NULL;
	unsigned n = 0;

	if (w == NULL)
		return h;
	for (struct posting *p = w->postings; p != NULL && n < HITS_MAX; p = p->next, n++) {
		struct hit *hit = must(GC_MALLOC(sizeof *hit));

		hit->document = p->document;
		hit->score = p->times * 1000 / (w->documents + 1);
		hit->next = hits;
		hits = hit;
	}
	for (; hits != NULL; hits = hits->next)
		h = bench_hash(h, hits->document->number * 7 + hits->score);
	return h;
}

/* The last word of a random document; NULL if that has none. */
static const struct word *random_word(struct bench_rng *rng, uint64_t count)
{
	const struct posting *p = documents[bench_below(rng, count)]->postings;

	return p != NULL ? p->word : NULL;
}

static uint64_t digest(uint64_t h)
{
	for (size_t b = 0; b < BUCKETS; b++)
		for (const struct word *w = buckets[b]; w != NULL; w = w->next) {
			h = bench_hash(h, w->hash ^ w->documents);
			for (const struct posting *p = w->postings; p != NULL; p = p->next)
				h = bench_hash(h, p->document->number << 20 ^ p->times);
		}
	return h;
}

int main(int argc, char **argv)
{
	struct bench_options opt = { .seed = 1, .work = 100, .live = 32, .every = 1 };
	struct corpus corpus;
	struct bench_rng rng;
	uint64_t rounds, h = BENCH_HASH_INIT;

	bench_parse(argc, argv, "A word index over real text. --live-mb limits the text read.",
		    &opt);
	GC_INIT();
	bench_seed(&rng, opt.seed);
	corpus_read(&corpus, opt.live << 20);
	buckets = must(GC_MALLOC(BUCKETS * sizeof *buckets));
	documents = must(GC_MALLOC(corpus.count * sizeof *documents));
	for (size_t i = 0; i < corpus.count; i++)
		put_in(i, &corpus.files[i]);
	rounds = ROUNDS_FULL * opt.work / 100;
	for (uint64_t r = 0; r < rounds; r++) {
		uint64_t k = bench_below(&rng, corpus.count);

		if (r % opt.every == 0) {
			take_out(k);
			put_in(k, &corpus.files[k]);
		}
		for (unsigned q = 0; q < QUERIES_PER_ROUND; q++)
			h = query(random_word(&rng, corpus.count), h);
	}
	h = digest(h);
	printf("words: %zu documents, %zu bytes, %" PRIu64 " updates, seed %" PRIu64 "\n",
	       corpus.count, corpus.bytes, rounds, opt.seed);
	bench_print_hash(h);
	corpus_free(&corpus);
	return 0;
}
