/* SPDX-License-Identifier: MIT
 * What the collector benchmarks share: options, random numbers, the result hash. It is the
 * same for every backend, and allocates nothing. */
#ifndef CARDMARK_BENCH_UTIL_H
#define CARDMARK_BENCH_UTIL_H

#include <getopt.h>
#include <stdint.h>
#include <stddef.h>

struct bench_options {
	uint64_t seed;
	uint64_t work;  /* per cent of the full amount of work */
	uint64_t live;  /* MiB of long-lived data */
	uint64_t every; /* steps between two changes of old data */
};

/* Reads --seed, --work, --live-mb, --update-every, --quick and --help; *opt holds the
 * defaults. Ends the program with status 2 on bad usage, 0 after --help. */
void bench_parse(int argc, char **argv, const char *what, struct bench_options *opt);

/* Options that only one program has: take() gets their values. */
struct bench_more {
	const struct option *options; /* ends with one without a name; val above 255 */
	const char *help;
	void (*take)(int val, const char *text);
};
void bench_parse_more(int argc, char **argv, const char *what, struct bench_options *opt,
		      const struct bench_more *more);
/* A whole number, or the program ends with status 2. */
uint64_t bench_number(const char *name, const char *text, uint64_t max);

/* xorshift64*: fast, and the same everywhere. */
struct bench_rng {
	uint64_t s;
};

static inline void bench_seed(struct bench_rng *r, uint64_t seed)
{
	r->s = seed * UINT64_C(0x9e3779b97f4a7c15) + UINT64_C(0x1234567887654321);
	if (r->s == 0)
		r->s = 1;
}

static inline uint64_t bench_next(struct bench_rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 <= result < n. The high half: the low bits are the weak ones. */
static inline uint64_t bench_below(struct bench_rng *r, uint64_t n)
{
	return ((bench_next(r) >> 32) * n) >> 32;
}

#define BENCH_HASH_INIT UINT64_C(0xcbf29ce484222325)

/* One word into the hash; order matters. */
static inline uint64_t bench_hash(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9fb21c651e98df25);
	return h ^ (h >> 29);
}

/* The last line, which the driver compares between backends. */
void bench_print_hash(uint64_t h);

/* Ends the program with status 1. */
_Noreturn void bench_die(const char *what);

#endif
