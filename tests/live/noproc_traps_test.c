/* SPDX-License-Identifier: MIT
 *
 * Description: traps without /proc, descriptors or rights: writers go on, and the program gets
 * its own traps. */
#include "tests/support/random.h"
#include "tests/support/taken_away.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define CROWD 24
static atomic_bool done;

static void *count_up(void *arg)
{
	volatile unsigned char *counter = arg;

	while (!atomic_load(&done))
		++*counter;
	return NULL;
}

static void crowd_of_writers(void *arg)
{
	size_t rounds = random_rounds(200, 20);
	pthread_t thread[CROWD];

	(void)arg;
	prepare();
	set_up();
	for (size_t i = 0; i < CROWD; i++)
		CHECK(pthread_create(&thread[i], NULL, count_up, mem + 64 * i) == 0);
	take_away();
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 2; i < CARDS; i += 2)
			live_store(card_at(i), (unsigned char)round);
		if (live_can(CARDMARK_CAP_CONCURRENT))
			(void)live_collect(cm, table);
		for (size_t i = 2; i < CARDS; i += 2)
			CHECK(!live_can(CARDMARK_CAP_CONCURRENT) ||
			      cardmark_table_is_dirty(table, card_at(i)));
	}
	atomic_store(&done, true);
	for (size_t i = 0; i < CROWD; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}
EACH_WAY(crowd_of_writers)

static void *write_all(void *arg)
{
	(void)arg;
	while (!atomic_load(&done))
		for (size_t i = 0; i < CARDS; i++)
			++*(volatile unsigned char *)card_at(i);
	return NULL;
}

/* A write that traps just before its card is untracked is resolved just after. */
static void untrack_beside_writers(void *arg)
{
	size_t collects = random_rounds(30, 4);
	pthread_t thread[2];

	(void)arg;
	prepare();
	set_up();
	for (size_t i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, write_all, NULL) == 0);
	take_away();
	for (size_t i = 0; i < CARDS; i++) {
		for (size_t n = 0; n < collects && live_can(CARDMARK_CAP_CONCURRENT); n++)
			(void)live_collect(cm, table);
		CHECK_EQ(cardmark_untrack(cm, card_at(i), live_card), 0);
	}
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	atomic_store(&done, true);
	for (size_t i = 0; i < 2; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}
EACH_WAY(untrack_beside_writers)

static int never_writable(uintptr_t addr)
{
	(void)addr;
	return 0;
}

/* Forces that order: untrack is about to give the card back, and holds the handler's lock
 * until the writer has trapped and waits for it. */
static pthread_t writer;
static atomic_bool held, waits;

static uint64_t now_of_the_writer(void)
{
	if (atomic_load(&held) && pthread_equal(pthread_self(), writer))
		atomic_store(&waits, true);
	return cm_os_linux.now();
}

static int give_back_once_it_waits(uintptr_t addr, size_t len, int prot)
{
	if ((prot & PROT_WRITE) != 0 && !atomic_exchange(&held, true))
		while (!atomic_load(&waits))
			(void)sched_yield();
	return cm_os_linux.mprotect(addr, len, prot);
}

static void *write_once_held(void *arg)
{
	while (!atomic_load(&held))
		(void)sched_yield();
	live_store(arg, 9);
	return NULL;
}

static void untrack_before_a_late_trap(int (*writable)(uintptr_t addr))
{
	struct cm_os *os = broken_os_begin();

	prepare();
	set_up();
	take_away();
	os->writable = writable;
	os->now = now_of_the_writer;
	CHECK(pthread_create(&writer, NULL, write_once_held, card_at(3)) == 0);
	os->mprotect = give_back_once_it_waits;
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS / 2 * live_card), 0);
	CHECK(pthread_join(writer, NULL) == 0);
	write_and_find(CARDS - 2); /* fails if the program's handler, or none, took our place */
}

static void late_trap(void *arg)
{
	(void)arg;
	untrack_before_a_late_trap(cm_os_linux.writable);
}
EACH_WAY(late_trap)

static void late_trap_called_never_writable(void *arg)
{
	(void)arg;
	untrack_before_a_late_trap(never_writable);
}

/* The control: the trap that came late is taken for the program's. */
static void control_an_answer_of_no_crashes(void)
{
	struct rlimit no_core = { 0, 0 };
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
	status = run_in(FILES, late_trap_called_never_writable);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void crowd_with_nothing_allowed(void *arg)
{
	allow_nothing();
	crowd_of_writers(arg);
}

static void untrack_beside_writers_with_nothing_allowed(void *arg)
{
	allow_nothing();
	untrack_beside_writers(arg);
}

static void late_traps_are_tried_again(void)
{
	check_in(FILES, crowd_with_nothing_allowed);
	check_in(FILES, untrack_beside_writers_with_nothing_allowed);
}

static sigjmp_buf out_of_fault;
static void *volatile fault_address;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(out_of_fault, 1);
}

static void must_trap(unsigned char *p)
{
	fault_address = NULL;
	if (sigsetjmp(out_of_fault, 1) == 0) {
		live_store(p, 1);
		tap_fail(__FILE__, __LINE__, "a store to memory that is read-only traps");
	}
	CHECK(fault_address == p);
}

static void foreign_traps(void *arg)
{
	struct sigaction act = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	unsigned char *forbidden = live_map(2);

	(void)arg;
	prepare();
	(void)sigemptyset(&act.sa_mask);
	CHECK(sigaction(SIGSEGV, &act, NULL) == 0);
	set_up();
	take_away();
	CHECK(mprotect(forbidden, live_card, PROT_READ) == 0);
	must_trap(forbidden + 5);
	/* Also for memory that was tracked before. */
	CHECK_EQ(cardmark_untrack(cm, card_at(10), 4 * live_card), 0);
	CHECK(mprotect(card_at(11), live_card, PROT_READ) == 0);
	must_trap(card_at(11) + 9);
	write_card(12);
	write_card(20);
	want[12] = false;
	collect_and_compare();
}
EACH_WAY(foreign_traps)

static void foreign_traps_with_nothing_allowed(void *arg)
{
	allow_nothing();
	foreign_traps(arg);
}

static void a_foreign_trap_does_not_loop(void)
{
	check_in(PROC, foreign_traps_with_nothing_allowed);
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		WAYS("a crowd that writes one card goes on", crowd_of_writers, 0, 0),
		WAYS("untrack beside writers", untrack_beside_writers, 0, 0),
		WAYS("a trap that comes late is tried again", late_trap, 0, LIVE_ONLY(MPROTECT)),
		{ "control: a trap said never to be writable crashes",
		  control_an_answer_of_no_crashes, 0, LIVE_ONLY(MPROTECT) },
		{ "what may ask nothing tries late traps again", late_traps_are_tried_again, 0,
		  LIVE_ONLY(MPROTECT) },
		WAYS("a foreign trap reaches the program", foreign_traps, 0, LIVE_ONLY(MPROTECT)),
		{ "a foreign trap does not loop where nothing may be asked",
		  a_foreign_trap_does_not_loop, 0, LIVE_ONLY(MPROTECT) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
