/* SPDX-License-Identifier: MIT
 *
 * A fuzz target: bytes become operations, and after each one the library is compared
 * with a reference that knows no better way than one entry a page. fuzzer.c gives it
 * to libFuzzer, replay.c runs files. */
#ifndef CM_TESTS_FUZZ_H
#define CM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fuzz_target {
	const char *name;
	/* The negative controls: rules that a run can break, from 1 on; NULL ends it. */
	const char *const *rules;
	/* Runs operations until the bytes or the patience end: NULL, or what differed. */
	const char *(*run)(const uint8_t *data, size_t size, unsigned broken);
};

extern const struct fuzz_target fuzz_target;

/* What is left of the input; zeros after its end. */
struct fuzz_input {
	const uint8_t *at, *end;
};

static inline unsigned fuzz_byte(struct fuzz_input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline size_t fuzz_below(struct fuzz_input *in, size_t n)
{
	size_t x = fuzz_byte(in);

	if (n > 256)
		x = x << 8 | fuzz_byte(in);
	return x % n;
}

/* [*from, *to) of n pages, never empty. Mostly short, for that is where edges meet. */
static inline void fuzz_pages(struct fuzz_input *in, size_t n, size_t *from, size_t *to)
{
	size_t len;

	*from = fuzz_below(in, n);
	len = fuzz_byte(in);
	len = len < 192 ? 1 + len % 16 : (len - 191) * n / 64;
	*to = *from + (len == 0 ? 1 : len);
	if (*to > n)
		*to = n;
}

/* Ends a run: where and what, for a function that returns what differed. */
#define FUZZ_STRING_(x) #x
#define FUZZ_STRING(x) FUZZ_STRING_(x)
#define FUZZ_WANT(cond)                                                                            \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return __FILE__ ":" FUZZ_STRING(__LINE__) ": not so: " #cond;              \
	} while (0)
#define FUZZ_TRY(call)                                                                             \
	do {                                                                                       \
		const char *why_ = (call);                                                         \
		if (why_ != NULL)                                                                  \
			return why_;                                                               \
	} while (0)

#endif
