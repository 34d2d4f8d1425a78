/* SPDX-License-Identifier: MIT
 *
 * Description: programs that change the process behind our back, like real ones, and meanwhile
 * keep young objects alive through old ones. Prints "lost: N"; exit status 1 if N is not 0, 3
 * if a change by the program was undone. Prints the seed, too.
 *
 * guests SCENARIO MODULE SEED
 *   events     sets its own callbacks of the collector, before and after heap exists
 *   module     loads MODULE, which sets its own collection-event callback
 *   closefrom  closes every descriptor above 2, again and again
 *   handler    sets a SIGSEGV handler that passes faults to the one before
 *   reporter   sets one, by sigaction or signal, that takes every fault for a crash
 *   coroutine  young objects on ucontext stacks that are roots, or the stack in use
 *   idle       never collects
 *   manualoff  forbids manual dirty bits, which way B gives the collector
 *   chain      sets a callback, and MODULE one over it that calls it, again and again
 *   alternate  MODULE sets one of two, by turns, before each round
 *   oom, finalizer, warn, event, resize, stop
 *              jumps out of such a function, out of the collector's frames, and does what
 *              `module` does then */
#include "common/random.h"

#include <gc.h>

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define HOLDERS 4096
#define WORDS 64 /* eight holders a page */
#define ROUNDS 60
#define STORES 200
#define STACK ((size_t)256 << 10)

struct leaf {
	uintptr_t magic, number;
};
struct holder {
	struct leaf *leaf;
	uintptr_t number, rest[WORDS - 2];
};

static struct holder **holders;
static uint64_t state = 88172645463325252u;
static unsigned long lost, events, resizes, stops, faults;

static unsigned next(unsigned n)
{
	return (unsigned)(random_xorshift(&state) % n);
}

/* Kept out of line, so that no register or stack slot keeps the leaf alive. */
__attribute__((noinline)) static struct leaf *leaf(uintptr_t number)
{
	struct leaf *l = GC_MALLOC(sizeof(*l));

	l->magic = 0x1eaf;
	l->number = number;
	return l;
}

__attribute__((noinline)) static void store(uintptr_t number)
{
	struct holder *h = holders[next(HOLDERS)];

	h->leaf = leaf(number);
	h->number = number;
}

__attribute__((noinline)) static void litter(void)
{
	for (int i = 0; i < 20000; i++)
		memset(GC_MALLOC(sizeof(struct leaf)), 0x55, sizeof(struct leaf));
}

static void check(const struct leaf *l, uintptr_t number)
{
	if (l->magic != 0x1eaf || l->number != number)
		lost++;
}

static void look(void)
{
	for (int i = 0; i < HOLDERS; i++)
		if (holders[i]->leaf)
			check(holders[i]->leaf, holders[i]->number);
}

static void grow_old(void)
{
	holders = GC_MALLOC_UNCOLLECTABLE(HOLDERS * sizeof(*holders));
	for (int i = 0; i < HOLDERS; i++)
		holders[i] = GC_MALLOC(sizeof(struct holder));
	GC_gcollect();
}

static void on_event(GC_EventType event)
{
	(void)event;
	events++;
}

static void on_resize(GC_word bytes)
{
	(void)bytes;
	resizes++;
}

static int on_stop(void)
{
	stops++;
	return 0;
}

static void set_callbacks(void)
{
	GC_set_on_collection_event(on_event);
	GC_set_on_heap_resize(on_resize);
	GC_set_stop_func(on_stop);
}

static struct sigaction before;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	faults++;
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(sig, info, context);
	else
		signal(sig, SIG_DFL); /* there was no handler before: the access ends the process */
}

static void set_handler(void)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &act, &before);
}

static sigjmp_buf out_of_crash;
static volatile bool crash_expected;

static void on_crash(int sig)
{
	if (!crash_expected) /* for example because of a lost object */
		_exit(128 + sig);
	siglongjmp(out_of_crash, 1);
}

/* By each of the calls that programs use, in turn; 2 if the call does not return the handler
 * before. */
static int set_reporter(int round)
{
	struct sigaction act = { .sa_handler = on_crash }, old = { .sa_handler = SIG_ERR };

	if (round % 2)
		old.sa_handler = signal(SIGSEGV, on_crash);
	else if (sigaction(SIGSEGV, &act, &old) != 0)
		return 2;
	return old.sa_handler == (round ? on_crash : SIG_DFL) ? 0 : 2;
}

/* A crash of the program's own still reaches it. */
static bool reports_a_crash(void)
{
	char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	crash_expected = true;
	if (sigsetjmp(out_of_crash, 1) == 0) {
		*(volatile char *)none = 1;
		return false;
	}
	crash_expected = false;
	return true;
}

/* ---- Jumps ------------------------------------------------------------------- */

static jmp_buf out;
static volatile bool armed;

static void jump(void)
{
	if (!armed)
		return;
	armed = false;
	longjmp(out, 1);
}

static void *on_oom(size_t bytes)
{
	(void)bytes;
	jump();
	return NULL;
}

static void on_finalizer(void *object, void *data)
{
	(void)object;
	(void)data;
	jump();
}

static void on_warning(char *text, GC_word word)
{
	(void)text;
	(void)word;
	jump();
}

static void jump_on_event(GC_EventType event)
{
	events++;
	if (event == GC_EVENT_PRE_STOP_WORLD)
		jump();
}

static void jump_on_resize(GC_word bytes)
{
	on_resize(bytes);
	jump();
}

static int jump_on_stop(void)
{
	stops++;
	jump();
	return 0;
}

__attribute__((noinline)) static void register_finalizers(void)
{
	for (int i = 0; i < 100; i++)
		GC_REGISTER_FINALIZER(leaf(7), on_finalizer, NULL, NULL, NULL);
}

/* False: this scenario has none. */
static bool arrange_jump(const char *scenario)
{
	if (strcmp(scenario, "oom") == 0)
		GC_set_oom_fn(on_oom);
	else if (strcmp(scenario, "finalizer") == 0)
		register_finalizers();
	else if (strcmp(scenario, "warn") == 0)
		GC_set_warn_proc(on_warning);
	else if (strcmp(scenario, "event") == 0)
		GC_set_on_collection_event(jump_on_event);
	else if (strcmp(scenario, "resize") == 0)
		GC_set_on_heap_resize(jump_on_resize);
	else if (strcmp(scenario, "stop") == 0)
		GC_set_stop_func(jump_on_stop);
	else
		return false;
	return true;
}

static bool jumps(const char *scenario)
{
	static void *some;

	armed = true;
	if (setjmp(out) == 0) {
		for (int i = 0; i < 1000 && armed; i++) {
			*(void *volatile *)&some = GC_MALLOC((size_t)100 << 20);
			litter();
			if (strcmp(scenario, "stop") == 0)
				GC_gcollect();
		}
	}
	*(void *volatile *)&some = NULL;
	return !armed;
}

/* ---- Coroutines -------------------------------------------------------------- */

static ucontext_t home, inside;

/* Its leaf is nowhere but on this stack while others collect. */
static void coroutine(void)
{
	for (uintptr_t i = 1;; i++) {
		struct leaf *volatile mine = leaf(i);

		swapcontext(&inside, &home);
		check(mine, i);
		store(i + 1000000);
	}
}

static char *stack;

__attribute__((noinline)) static void start_coroutine(void)
{
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		_exit(99);
	GC_add_roots(stack, stack + STACK);
	getcontext(&inside);
	inside.uc_stack.ss_sp = stack;
	inside.uc_stack.ss_size = STACK;
	makecontext(&inside, coroutine, 0);
}

/* libgc 8.2. */
static void (*set_stackbottom)(void *thread, const struct GC_stack_base *bottom);

/* On the coroutine's stack, the collector is told that this is the thread's stack. */
static void visit(struct GC_stack_base *theirs, const struct GC_stack_base *own)
{
	set_stackbottom(NULL, theirs);
	swapcontext(&home, &inside);
	set_stackbottom(NULL, own);
}

/* ---- The module ---------------------------------------------------------------- */

static unsigned long (*module_events)(void);
static void (*before_round)(void);

static bool load_module(const char *file, const char *scenario)
{
	bool chain = strcmp(scenario, "chain") == 0;
	void *module = dlopen(file, RTLD_NOW);
	void (*set)(void) = NULL;

	if (!module) {
		printf("module: %s\n", dlerror());
		return false;
	}
	*(void **)&set = dlsym(module, chain ? "module_chain" : "module_set");
	if (strcmp(scenario, "alternate") == 0)
		*(void **)&before_round = dlsym(module, "module_alternate");
	if (chain)
		before_round = set;
	*(void **)&module_events = dlsym(module, "module_events");
	set();
	return true;
}

/* ------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
	const char *scenario = argc > 1 ? argv[1] : "";
	struct GC_stack_base own, theirs = { 0 };
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	bool kept = true, jumped = false;

	state ^= seed * UINT64_C(0x9e3779b97f4a7c15);
	if (strcmp(scenario, "events") == 0)
		set_callbacks();
	if (strcmp(scenario, "manualoff") == 0)
		GC_set_manual_vdb_allowed(0);
	GC_INIT();
	if (strcmp(scenario, "idle") == 0) {
		struct leaf *l = leaf(7);

		check(l, 7);
		printf("lost: %lu collections: %lu\n", lost, (unsigned long)GC_get_gc_no());
		return lost != 0;
	}
	grow_old();
	GC_get_stack_base(&own);
	if (strcmp(scenario, "events") == 0)
		set_callbacks();
	if (arrange_jump(scenario)) {
		GC_set_max_heap_size((size_t)64 << 20);
		jumped = jumps(scenario);
		GC_set_max_heap_size(0);
		kept = jumped;
	}
	if (strcmp(scenario, "chain") == 0)
		GC_set_on_collection_event(on_event);
	if ((strcmp(scenario, "module") == 0 || strcmp(scenario, "chain") == 0 ||
	     strcmp(scenario, "alternate") == 0 || jumped) &&
	    !load_module(argv[2], scenario))
		return 99;
	if (strcmp(scenario, "handler") == 0)
		set_handler();
	if (strcmp(scenario, "coroutine") == 0) {
		*(void **)(void *)&set_stackbottom = dlsym(RTLD_DEFAULT, "GC_set_stackbottom");
		if (set_stackbottom == NULL) {
			printf("this libgc has no GC_set_stackbottom\n");
			return 77;
		}
		start_coroutine();
		theirs.mem_base = stack + STACK;
	}
	for (int round = 0; round < ROUNDS; round++) {
		if (strcmp(scenario, "reporter") == 0 && set_reporter(round) != 0)
			return 3;
		if (before_round)
			before_round();
		for (uintptr_t i = 0; i < STORES; i++) {
			store((uintptr_t)round * STORES + i);
			if (stack && i % 20 == 0)
				visit(&theirs, &own);
		}
		if (strcmp(scenario, "closefrom") == 0)
			closefrom(3);
		litter();
		look();
	}
	if (strcmp(scenario, "events") == 0)
		kept = events && resizes && GC_get_on_collection_event() == on_event &&
		       GC_get_on_heap_resize() == on_resize && GC_get_stop_func() == on_stop;
	if (strcmp(scenario, "manualoff") == 0)
		kept = GC_get_manual_vdb_allowed() == 0;
	if (strcmp(scenario, "reporter") == 0)
		kept = reports_a_crash() && reports_a_crash();
	if (strcmp(scenario, "chain") == 0)
		kept = events != 0;
	if (module_events)
		kept = kept && (events = module_events()) != 0;
	printf("libgc: %u lost: %lu collections: %lu events: %lu resizes: %lu stops: %lu faults: "
	       "%lu "
	       "seed: %llu\n",
	       GC_get_version(), lost, (unsigned long)GC_get_gc_no(), events, resizes, stops,
	       faults, (unsigned long long)seed);
	return lost ? 1 : kept ? 0 : 3;
}
