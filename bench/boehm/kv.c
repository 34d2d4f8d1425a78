/* SPDX-License-Identifier: MIT
 *
 * A key-value server without a network: the latency case. Requests are due at times fixed
 * beforehand (a Poisson process), whether or not the server keeps up; one thread serves them
 * in order. Neither the work nor its result depends on time. Linked against the stock libgc
 * only: `cardmark run` decides how it collects. */
#include <gc.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/boehm/store.h"
#include "bench/boehm/util.h"
#include "common/clock.h"
#include "tools/latency.h"

enum {
	REQUESTS_FULL = 100000,
	RANGE = 40,         /* entries */
	SLEEP_NS = 1000000, /* the shortest sleep; below that, look at the clock */
};

/* ---- Options ------------------------------------------------------------------ */

static uint64_t rate; /* requests a second; 0: each when the one before is done */
static const char *latency_file;
static bool uniform;

enum { OPT_RATE = 256, OPT_LATENCY, OPT_KEYS };

static void take(int val, const char *text)
{
	switch (val) {
	case OPT_RATE:
		rate = bench_number("rate", text, 1000000000);
		break;
	case OPT_LATENCY:
		latency_file = text;
		break;
	default:
		uniform = strcmp(text, "uniform") == 0;
		if (!uniform && strcmp(text, "zipf") != 0) {
			fprintf(stderr, "--keys is zipf or uniform, not \"%s\"\n", text);
			exit(2);
		}
	}
}

static const struct option options[] = { { "rate", required_argument, NULL, OPT_RATE },
					 { "latency", required_argument, NULL, OPT_LATENCY },
					 { "keys", required_argument, NULL, OPT_KEYS },
					 { NULL, 0, NULL, 0 } };

static const struct bench_more more = {
	options,
	"  --rate=N          requests a second, due at random times (0: no waiting)\n"
	"  --latency=FILE    histograms of the latency, as JSON\n"
	"  --keys=zipf|uniform\n"
	"                    which keys are asked for (zipf)\n",
	take,
};

/* ---- Requests ------------------------------------------------------------------- */

enum op { GET, SET, DELETE, SCAN };

struct request {
	double due; /* in mean gaps, so that the work does not depend on the rate */
	uint32_t key;
	enum op op;
};

/* An answer: garbage once it is sent. */
struct item {
	struct item *next;
	struct text *text;
};

static struct item *answer(struct item *rest, const struct record *r)
{
	for (unsigned i = 0; i < STORE_FIELDS; i++) {
		struct item *item = store_must(GC_MALLOC(sizeof *item));

		item->text = store_copy(r->fields[i]);
		item->next = rest;
		rest = item;
	}
	return rest;
}

static struct item *scan(const struct entry *e, const char *from, unsigned *left, struct item *rest)
{
	if (e == NULL || *left == 0)
		return rest;
	if (strcmp(e->key, from) >= 0) {
		rest = scan(e->left, from, left, rest);
		if (*left == 0)
			return rest;
		--*left;
		rest = answer(rest, e->record);
	}
	return scan(e->right, from, left, rest);
}

static uint64_t serve(const struct request *r, uint64_t number, uint64_t h)
{
	const char *key = store_key(r->key);
	struct item *items = NULL;
	const struct entry *e;
	unsigned left = RANGE;

	switch (r->op) {
	case GET:
		e = store_get(key);
		h = bench_hash(h, e != NULL ? e->record->version : 0);
		if (e != NULL)
			items = answer(NULL, e->record);
		break;
	case SET:
		store_set(key, number);
		break;
	case DELETE:
		h = bench_hash(h, store_delete(key));
		break;
	case SCAN:
		items = scan(store_root(), key, &left, NULL);
		break;
	}
	for (; items != NULL; items = items->next)
		h = bench_hash(h, items->text->words[0] ^ items->text->len);
	return h;
}

static uint64_t digest(const struct entry *e, uint64_t h)
{
	for (; e != NULL; e = e->right) {
		h = digest(e->left, h);
		h = bench_hash(h, e->record->version ^ e->record->fields[0]->words[0]);
	}
	return h;
}

/* ---- What is asked for, and when ------------------------------------------------- */

static uint32_t *shuffled(struct bench_rng *rng, uint32_t n)
{
	uint32_t *v = store_must(malloc(n * sizeof *v));

	for (uint32_t i = 0; i < n; i++)
		v[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)bench_below(rng, i), t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
	return v;
}

/* Sums of 1 / rank^0.99. The place of a random number below the last sum is a rank of Zipf's
 * distribution. */
static double *zipf_sums(uint32_t n)
{
	double *sums = store_must(malloc(n * sizeof *sums)), sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sums[i] = sum += pow(i + 1, -0.99);
	return sums;
}

static uint32_t rank_of(const double *sums, uint32_t n, double v)
{
	uint32_t low = 0, high = n - 1;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (sums[mid] > v)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Above 0, at most 1. */
static double share(struct bench_rng *rng)
{
	return (double)((bench_next(rng) >> 11) + 1) / 0x1p53;
}

/* In memory outside the collected heap. */
static struct request *requests(struct bench_rng *rng, size_t n, uint32_t keys, uint64_t every)
{
	struct request *list = store_must(malloc((n + 1) * sizeof *list));
	uint32_t *key = shuffled(rng, keys);
	double *sums = zipf_sums(keys), due = 0;

	for (size_t i = 0; i < n; i++) {
		struct request *r = &list[i];
		bool change = bench_below(rng, every) == 0;
		bool rare = bench_below(rng, 6) == 0;
		double at = share(rng);

		r->due = due -= log(share(rng));
		r->op = change ? (rare ? DELETE : SET) : (rare ? SCAN : GET);
		r->key = key[uniform ? (uint32_t)bench_below(rng, keys)
				     : rank_of(sums, keys, at * sums[keys - 1])];
	}
	free(sums);
	free(key);
	return list;
}

/* ---- The server ------------------------------------------------------------------ */

/* Looks at the clock until it is time: being woken takes longer than most requests. */
static uint64_t wait_until(uint64_t due)
{
	uint64_t t;

	while ((t = cm_now_ns()) < due)
		if (due - t > SLEEP_NS) {
			uint64_t ns = due - t - SLEEP_NS / 2;
			struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

			nanosleep(&ts, NULL);
		}
	return t;
}

static uint64_t serve_all(const struct request *list, struct latency_event *events, size_t n,
			  uint64_t h)
{
	double gap = rate > 0 ? 1e9 / (double)rate : 0;
	uint64_t begin = cm_now_ns();

	for (size_t i = 0; i < n; i++) {
		struct latency_event *e = &events[i];

		e->due = begin + (uint64_t)(list[i].due * gap);
		e->start = wait_until(e->due);
		if (rate == 0)
			e->due = e->start;
		h = serve(&list[i], i + 1, h);
		e->end = cm_now_ns();
	}
	return h;
}

static void report(const struct latency_event *events, size_t n)
{
	struct histogram *kinds = store_must(calloc(LATENCY_KINDS, sizeof *kinds));
	FILE *f;

	latency_add(events, n, kinds);
	for (unsigned k = 0; k < LATENCY_KINDS; k++)
		printf("%-28s p50 %8.3f  p99 %8.3f  max %8.3f ms\n", latency_titles[k],
		       (double)hist_quantile(&kinds[k], 0.5) / 1e6,
		       (double)hist_quantile(&kinds[k], 0.99) / 1e6, (double)kinds[k].max / 1e6);
	if (latency_file != NULL) {
		f = fopen(latency_file, "we");
		if (f != NULL)
			latency_write(kinds, rate, n > 0 ? events[n - 1].end - events[0].due : 0,
				      f);
		if (f == NULL || fclose(f) != 0) {
			fprintf(stderr, "kv: cannot write %s: %s\n", latency_file, strerror(errno));
			exit(1);
		}
	}
	free(kinds);
}

int main(int argc, char **argv)
{
	struct bench_options opt = { .seed = 1, .work = 100, .live = 64, .every = 3 };
	struct latency_event *events;
	struct request *list;
	struct bench_rng rng;
	uint32_t keys, *order;
	uint64_t h = BENCH_HASH_INIT;
	size_t n;

	bench_parse_more(argc, argv,
			 "A key-value server whose requests are due at times fixed beforehand.\n"
			 "--update-every=N: one request in so many is a SET or DELETE.",
			 &opt, &more);
	GC_INIT();
	bench_seed(&rng, opt.seed);
	store_seed(opt.seed + 1);
	n = REQUESTS_FULL * opt.work / 100;
	keys = (uint32_t)((opt.live << 20) / STORE_ENTRY_BYTES);
	list = requests(&rng, n, keys, opt.every);
	order = shuffled(&rng, keys);
	for (uint32_t i = 0; i < keys; i++)
		store_set(store_key(order[i]), 0);
	free(order);
	events = store_must(malloc((n + 1) * sizeof *events));
	memset(events, 1, (n + 1) * sizeof *events); /* no page faults later */
	h = digest(store_root(), serve_all(list, events, n, h));
	report(events, n);
	printf("kv: %" PRIu32 " keys, %zu requests, %" PRIu64 " a second, seed %" PRIu64 "\n", keys,
	       n, rate, opt.seed);
	bench_print_hash(h);
	free(events);
	free(list);
	return 0;
}
