/* SPDX-License-Identifier: MIT
 *
 * A runtime for code compiled with -fsanitize=thread that checks nothing and makes time pass:
 * at each access to memory, each atomic, and at the entry and exit of each function the compiler
 * calls us, and at a few chosen sites we sleep or yield. What another thread may do between two
 * lines then happens there, and not once in a million runs. docs/perturb.md says how to use it.
 *
 * A site is a return address, counted from where its module starts, so that it is the same
 * in each run. An atomic is two: before and after.
 *
 *	PERTURB_LOG=FILE    writes the sites that were seen, and those that slept
 *	PERTURB_SITES=FILE  the sites to sleep at: lines of "MODULE NUMBER", as in the log
 *	PERTURB_SEED=N      which visits sleep, and for how long
 *	PERTURB_MOST_US=N   the longest sleep (3000)
 *
 * It runs in signal handlers, under every lock, in fork children and in those of a bare
 * clone(2). So it takes no lock and no memory, and leaves errno alone. It is no
 * cancellation point. Each shared object has a copy of it, with sites of its own. */
#include "tests/perturb/perturb.h"
#include "common/clock.h"
#include "common/random.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Two for each byte of text; what is further from the start of its module is left alone. */
#define SITES ((size_t)PERTURB_TEXT_BYTES * 2)
#define MOST_CHOSEN 8192
#define SHORTEST_US UINT64_C(20)
/* A thread that has slept does not for so many times as long. */
#define REST 4
/* So many visits of a site sleep every other time; later ones less and less often. */
#define FRESH_VISITS 64

typedef _Atomic uint8_t bits[SITES / 8];

struct module {
	_Atomic uint32_t taken;
	char name[PERTURB_NAME_BYTES];
	bits seen, slept;
};

/* The layout that perturb.py reads. */
_Static_assert(sizeof(struct module) == 4 + PERTURB_NAME_BYTES + 2 * (SITES / 8), "no padding");

static struct module unshared;
static struct module *module = &unshared; /* or in PERTURB_LOG, shared by all processes */
static uint8_t chosen[SITES / 8];
static _Atomic uint32_t visits[MOST_CHOSEN]; /* of the chosen, by hash */
static uint64_t seed, longest_us = 3000;
static _Atomic uint64_t threads;
static bool on;

static __thread uint64_t state __attribute__((tls_model("initial-exec")));
static __thread uint64_t not_before __attribute__((tls_model("initial-exec")));

extern const char module_start[] __asm__("__ehdr_start") __attribute__((visibility("hidden")));

/* ---- What to do ---------------------------------------------------------------- */

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static const char *module_name(void)
{
	const char *slash;
	Dl_info info;

	if (dladdr((const void *)module_start, &info) == 0 || info.dli_fname == NULL)
		return "?";
	slash = strrchr(info.dli_fname, '/');
	return slash == NULL ? info.dli_fname : slash + 1;
}

/* A module that is loaded by several processes has one place in the log. */
static struct module *place_in(struct module *v, const char *name)
{
	uint32_t hash = 2166136261u;

	for (const char *p = name; *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	hash |= 1;
	for (size_t i = 0; i < PERTURB_MODULES; i++) {
		uint32_t none = 0;

		if (atomic_compare_exchange_strong(&v[i].taken, &none, hash))
			(void)snprintf(v[i].name, sizeof v[i].name, "%s", name);
		else if (none != hash)
			continue;
		return &v[i];
	}
	return &unshared;
}

static void open_log(const char *path, const char *name)
{
	size_t bytes = PERTURB_MODULES * sizeof(struct module);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0)
		return;
	if (ftruncate(fd, (off_t)bytes) == 0) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED)
			module = place_in(p, name);
	}
	(void)close(fd);
}

static void read_sites(const char *path, const char *name)
{
	FILE *in = fopen(path, "re");
	char which[PERTURB_NAME_BYTES];
	unsigned long long site;

	if (in == NULL) {
		(void)fprintf(stderr, "PERTURB_SITES: %s cannot be read\n", path);
		_exit(125); /* a run that perturbs nothing would pass */
	}
	while (fscanf(in, "%251s %llu", which, &site) == 2)
		if (site < SITES && strcmp(which, name) == 0)
			chosen[site / 8] = (uint8_t)(chosen[site / 8] | 1u << site % 8);
	(void)fclose(in);
}

__attribute__((constructor(101))) static void set_up(void)
{
	const char *log = getenv("PERTURB_LOG"), *sites = getenv("PERTURB_SITES");
	const char *name = module_name();

	if (log == NULL && sites == NULL)
		return;
	seed = number("PERTURB_SEED", 1);
	longest_us = number("PERTURB_MOST_US", longest_us);
	if (log != NULL)
		open_log(log, name);
	if (sites != NULL)
		read_sites(sites, name);
	on = true;
}

/* ---- Time passes --------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* A fork child goes on with its parent's: the process makes them different. */
static uint64_t next_random(void)
{
	if (state == 0)
		state = mix(seed + UINT64_C(0x9e3779b97f4a7c15) *
					   (1 + atomic_fetch_add_explicit(&threads, 1,
									  memory_order_relaxed)));
	return random_next(&state);
}

static uint64_t now_us(void)
{
	return cm_now_ns() / 1000;
}

/* Each length from the shortest on, doubled until the longest, is as likely. */
static uint64_t length_us(void)
{
	uint64_t doublings = 1, us;

	while (SHORTEST_US << doublings < longest_us)
		doublings++;
	us = SHORTEST_US << next_random() % doublings;
	us += next_random() % us;
	return us < longest_us ? us : longest_us;
}

static void set_bit(bits set, size_t i)
{
	atomic_fetch_or_explicit(&set[i / 8], (uint8_t)(1u << i % 8), memory_order_relaxed);
}

/* Half of the first visits sleep, and of later ones fewer: a site in a loop must not take the
 * time from one that is passed once, and no thread sleeps more than a fifth of its time. Else
 * the loop is all that a run sees. */
static void nap(size_t i)
{
	uint32_t n = 1 + atomic_fetch_add_explicit(&visits[mix(i) % MOST_CHOSEN], 1,
						   memory_order_relaxed);
	uint64_t among = n <= FRESH_VISITS ? 2 : 2 * n / FRESH_VISITS, begun;
	int error = errno;

	if (next_random() % among != 0)
		return;
	begun = now_us();
	if (begun < not_before)
		return;
	set_bit(module->slept, i);
	if (next_random() % 4 == 0) {
		(void)syscall(SYS_sched_yield);
	} else {
		uint64_t us = length_us();
		struct timespec ts = { .tv_sec = (time_t)(us / 1000000),
				       .tv_nsec = (long)(us % 1000000 * 1000) };

		(void)syscall(SYS_nanosleep, &ts, NULL);
		us = now_us();
		not_before = us + REST * (us - begun);
	}
	errno = error;
}

static void visit(uintptr_t address, size_t after)
{
	size_t i = (address - (uintptr_t)module_start) * 2 + after;

	if (i >= SITES)
		return;
	if (!(atomic_load_explicit(&module->seen[i / 8], memory_order_relaxed) >> i % 8 & 1))
		set_bit(module->seen, i);
	if (chosen[i / 8] >> i % 8 & 1)
		nap(i);
}

/* In each entry itself: the return address is that of the code that was compiled so. */
#define SITE(after)                                                                                \
	do {                                                                                       \
		if (__builtin_expect(on, 0))                                                       \
			visit((uintptr_t)__builtin_return_address(0), after);                      \
	} while (0)

/* ---- What the compiler calls ------------------------------------------------------ */

#define ENTRY(name, ...)                                                                           \
	void name(__VA_ARGS__);                                                                    \
	void name(__VA_ARGS__)
#define LOOK(name)                                                                                 \
	ENTRY(name, void *p)                                                                       \
	{                                                                                          \
		(void)p;                                                                           \
		SITE(0);                                                                           \
	}
#define LOOKS(n)                                                                                   \
	LOOK(__tsan_read##n)                                                                       \
	LOOK(__tsan_write##n)                                                                      \
	LOOK(__tsan_unaligned_read##n)                                                             \
	LOOK(__tsan_unaligned_write##n)                                                            \
	LOOK(__tsan_volatile_read##n)                                                              \
	LOOK(__tsan_volatile_write##n)                                                             \
	LOOK(__tsan_read_write##n)
LOOKS(1)
LOOKS(2)
LOOKS(4)
LOOKS(8)
LOOKS(16)
LOOK(__tsan_func_entry)

ENTRY(__tsan_init, void)
{
}

ENTRY(__tsan_func_exit, void)
{
	SITE(0);
}

ENTRY(__tsan_read_range, void *p, unsigned long n)
{
	(void)p, (void)n;
	SITE(0);
}

ENTRY(__tsan_write_range, void *p, unsigned long n)
{
	(void)p, (void)n;
	SITE(0);
}

/* Atomics are made here, each in one order with all others: stronger than what the code
 * asks for, so a fault in a memory order does not show. */
#define ATOMIC(type, name, params, result)                                                         \
	type name params;                                                                          \
	type name params                                                                           \
	{                                                                                          \
		type r;                                                                            \
                                                                                                   \
		SITE(0);                                                                           \
		r = result;                                                                        \
		SITE(1);                                                                           \
		return r;                                                                          \
	}
#define MODIFY(n, T, what)                                                                         \
	ATOMIC(T, __tsan_atomic##n##_fetch_##what, (T * p, T v, int o),                            \
	       ((void)o, __atomic_fetch_##what(p, v, __ATOMIC_SEQ_CST)))
#define EXCHANGE(n, T, kind)                                                                       \
	ATOMIC(int, __tsan_atomic##n##_compare_exchange_##kind,                                    \
	       (T * p, T * expected, T v, int o, int f),                                           \
	       ((void)o, (void)f,                                                                  \
		__atomic_compare_exchange_n(p, expected, v, 0, __ATOMIC_SEQ_CST,                   \
					    __ATOMIC_SEQ_CST)))
#define ATOMICS(n, T)                                                                              \
	ATOMIC(T, __tsan_atomic##n##_load, (const T *p, int o),                                    \
	       ((void)o, __atomic_load_n(p, __ATOMIC_SEQ_CST)))                                    \
	ATOMIC(T, __tsan_atomic##n##_exchange, (T * p, T v, int o),                                \
	       ((void)o, __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)))                             \
	ENTRY(__tsan_atomic##n##_store, T *p, T v, int o)                                          \
	{                                                                                          \
		(void)o;                                                                           \
		SITE(0);                                                                           \
		__atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                          \
		SITE(1);                                                                           \
	}                                                                                          \
	MODIFY(n, T, add)                                                                          \
	MODIFY(n, T, sub)                                                                          \
	MODIFY(n, T, and)                                                                          \
	MODIFY(n, T, or)                                                                           \
	MODIFY(n, T, xor)                                                                          \
	MODIFY(n, T, nand)                                                                         \
	EXCHANGE(n, T, strong)                                                                     \
	EXCHANGE(n, T, weak)
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

ENTRY(__tsan_atomic_thread_fence, int o)
{
	(void)o;
	SITE(0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	SITE(1);
}

ENTRY(__tsan_atomic_signal_fence, int o)
{
	(void)o;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
