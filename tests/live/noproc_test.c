/* SPDX-License-Identifier: MIT
 *
 * Description: programs that lose /proc, their last descriptor or their right to read /proc
 * while their memory is tracked: no write is lost, memory is given back, and a trap of the
 * program's own reaches it. */
#include "lib/backend/holes.h"
#include "tests/support/broken_os.h"
#include "tests/support/fixture.h"
#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANNOT 77  /* how a child leaves that may not do what it is for, */
#define IN_CORE 78 /* and one whose page was not reclaimed */
#define NOBODY 65534

/* ---- What is taken away ---------------------------------------------------------------- */

enum way { PROC, FILES, RIGHTS };

static enum way way;

/* Before any thread is there. */
static void prepare(void)
{
	if (way == PROC && geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
		_exit(CANNOT);
}

static char empty[32];

static void leave_proc(void)
{
	if (chroot(empty) != 0)
		_exit(CANNOT);
	CHECK(chdir("/") == 0);
	CHECK(open("/proc/self/maps", O_RDONLY) < 0);
}

static void take_away(void)
{
	struct rlimit few = { 20, 20 };

	switch (way) {
	case PROC:
		leave_proc();
		break;
	case FILES:
		CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
		while (dup(STDOUT_FILENO) >= 0)
			;
		CHECK_EQ(errno, EMFILE);
		break;
	case RIGHTS:
		if (geteuid() == 0)
			CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
		CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
		CHECK(open("/proc/self/pagemap", O_RDONLY) < 0);
		break;
	}
}

static int run_in(enum way w, void (*fn)(void *))
{
	int status;

	way = w;
	(void)snprintf(empty, sizeof empty, "noproc-XXXXXX");
	CHECK(mkdtemp(empty) != NULL);
	status = tap_in_child(fn, NULL);
	CHECK(rmdir(empty) == 0);
	return status;
}

static void check_in(enum way w, void (*fn)(void *))
{
	int status = run_in(w, fn);

	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		tap_skip("this process may not leave /proc behind");
	if (WIFEXITED(status) && WEXITSTATUS(status) == IN_CORE)
		tap_skip("the file system here lets go of no page");
	CHECK_EQ(status, 0);
}

/* A case for each way. */
#define EACH_WAY(name)                                                                             \
	static void name##_without_proc(void)                                                      \
	{                                                                                          \
		check_in(PROC, name);                                                              \
	}                                                                                          \
	static void name##_without_files(void)                                                     \
	{                                                                                          \
		check_in(FILES, name);                                                             \
	}                                                                                          \
	static void name##_without_rights(void)                                                    \
	{                                                                                          \
		check_in(RIGHTS, name);                                                            \
	}
#define WAYS(text, name, needs, only)                                                              \
	{ text " without /proc", name##_without_proc, needs, only },                               \
		{ text " without descriptors", name##_without_files, needs, only },                \
	{                                                                                          \
		text " and not dumpable", name##_without_rights, needs, only                       \
	}

/* ---- What is mapped anew --------------------------------------------------------------- */

static void write_and_find(size_t i)
{
	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	CHECK(cardmark_table_is_dirty(table, card_at(i)));
}

static void scan_and_find(size_t i)
{
	struct cardmark_region v[CARDS];
	struct cardmark_query q = { .size = sizeof q,
				    .start = mem,
				    .len = CARDS * live_card,
				    .op = CARDMARK_SCAN_GET_AND_CLEAR,
				    .required = CARDMARK_PAGE_WRITTEN,
				    .returned = CARDMARK_PAGE_WRITTEN,
				    .regions = v,
				    .capacity = CARDS };
	bool found = false;

	live_store(card_at(i), (unsigned char)(*card_at(i) + 1));
	CHECK_EQ(cardmark_scan(cm, &q), 0);
	for (size_t k = 0; k < q.count; k++)
		found |= v[k].start <= (uintptr_t)card_at(i) && v[k].end > (uintptr_t)card_at(i);
	CHECK(found);
}

static void mapped_anew(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	(void)live_map_at(card_at(8), 8);
	for (size_t i = 8; i < 16; i++)
		write_and_find(i);
	scan_and_find(9);
	write_and_find(20);
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(mapped_anew)

static int file_of_cards(void)
{
	char path[] = "noproc-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK(unlink(path) == 0);
	CHECK(fchmod(fd, 0666) == 0); /* mincore(2) tells who may write to it */
	CHECK(ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	return fd;
}

/* In memory no more, and its page table entry gone. */
static void reclaim(size_t i)
{
	unsigned char in = 1;

	CHECK(msync(mem, CARDS * live_card, MS_SYNC) == 0);
	for (int tries = 0; (in & 1) != 0 && tries < 100; tries++) {
		(void)madvise(mem, CARDS * live_card, MADV_PAGEOUT);
		CHECK(mincore(card_at(i), live_card, &in) == 0);
	}
	if (in & 1)
		_exit(IN_CORE);
}

static bool reclaimed_write_is_found(void)
{
	int fd = file_of_cards();

	set_up();
	take_away();
	CHECK(mmap(mem, CARDS * live_card, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	      mem);
	live_store(card_at(2), 1);
	(void)live_collect(cm, table); /* finds it anew */
	CHECK(cardmark_table_is_dirty(table, card_at(2)));
	(void)live_collect(cm, table);
	live_store(card_at(3), 1);
	reclaim(3);
	(void)live_collect(cm, table);
	return cardmark_table_is_dirty(table, card_at(3));
}

static void replaced_by_a_file(void *arg)
{
	(void)arg;
	prepare();
	CHECK(reclaimed_write_is_found());
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(replaced_by_a_file)

/* Also where the kernel can be asked: uffd watches no file, and must not take its word. */
static void replaced_by_a_file_with_all_there(void *arg)
{
	(void)arg;
	way = RIGHTS + 1; /* nothing is taken away */
	CHECK(reclaimed_write_is_found());
}

static void a_file_in_the_place_is_found_written(void)
{
	check_in(RIGHTS, replaced_by_a_file_with_all_there);
}

/* It could be registered, and would then read as a hole once it is swapped out. */
static void shared_memory_in_the_place_is_not_watched(void)
{
	set_up();
	CHECK(mmap(mem, CARDS * live_card, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	for (size_t round = 0; round < 3; round++) {
		live_store(card_at(3), 1);
		CHECK_EQ(live_collect(cm, table), CARDMARK_GUESSED);
		live_expect_dirty(table, mem, CARDS);
	}
}

/* The control: the error is kept from the library, and "nothing is mapped" told instead. */
static int vma_or_nothing(uintptr_t addr, struct cm_vma *out)
{
	if (cm_os_linux.vma_at(addr, out) < 0)
		*out = CM_NO_VMA;
	return 0;
}

static void taken_for_nothing(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	prepare();
	os->vma_at = vma_or_nothing;
	CHECK(!reclaimed_write_is_found());
}

static void control_an_error_taken_for_nothing_loses(void)
{
	check_in(PROC, taken_for_nothing);
	check_in(FILES, taken_for_nothing);
}

/* ---- Holes ----------------------------------------------------------------------------- */

static void unmap(size_t first, size_t n)
{
	CHECK(munmap(card_at(first), n * live_card) == 0);
}

static void make_holes(void)
{
	unmap(4, 1);
	unmap(30, 7);
	unmap(CARDS - 1, 1);
}

static void write_around_holes(void)
{
	for (size_t i = 0; i < CARDS - 1; i++)
		if (i != 4 && (i < 30 || i >= 37))
			live_store(card_at(i), 7);
}

static void untrack_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	write_around_holes();
	cardmark_close(&cm);
	write_around_holes();
}
EACH_WAY(untrack_with_holes)

static void close_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	write_around_holes();
}
EACH_WAY(close_with_holes)

static void collect_with_holes(void *arg)
{
	(void)arg;
	prepare();
	set_up();
	take_away();
	make_holes();
	for (size_t i = 0; i < 30; i++)
		if (i != 4)
			write_and_find(i);
	for (size_t i = 37; i < CARDS - 1; i++)
		write_and_find(i);
	write_around_holes();
}
EACH_WAY(collect_with_holes)

/* A mapping that nobody can make writable, in the middle of what is to be. */
static void give_back_around_a_file(void *arg)
{
	int ro = open("/proc/self/exe", O_RDONLY);
	struct cardmark *other;

	(void)arg;
	CHECK(ro >= 0);
	prepare();
	set_up();
	other = live_backend == CARDMARK_BACKEND_SOFTDIRTY ? NULL : live_open();
	take_away();
	CHECK(mmap(card_at(20), 3 * live_card, PROT_READ, MAP_SHARED | MAP_FIXED, ro, 0) ==
	      card_at(20));
	unmap(40, 2);
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	for (size_t i = 0; i < CARDS; i++)
		if ((i < 20 || i >= 23) && (i < 40 || i >= 42))
			live_store(card_at(i), 7);
	CHECK_EQ(cm_os->writable((uintptr_t)card_at(21)), 0); /* as it was */
	/* Nothing of it is left in anybody's hand. */
	CHECK_EQ(other == NULL ? 0
			       : cardmark_track(other, mem, 20 * live_card, CARDMARK_TRACK_PRIVATE),
		 0);
	CHECK_EQ(other == NULL ? 0
			       : cardmark_track(other, card_at(23), 17 * live_card,
						CARDMARK_TRACK_PRIVATE),
		 0);
}
EACH_WAY(give_back_around_a_file)

static int all_vacant(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return 1;
}

static void holes_without_end(void *arg)
{
	struct cm_os *os = broken_os_begin();

	(void)arg;
	prepare();
	os->vacant = all_vacant;
	untrack_with_holes(NULL);
}

static void control_a_hole_that_ends_too_late_crashes(void)
{
	struct rlimit no_core = { 0, 0 };
	int status;

	if (TAP_TSAN || TAP_ASAN)
		tap_skip("a sanitizer has a SIGSEGV handler of its own");
	CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
	status = run_in(FILES, holes_without_end);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

/* A sandbox that allows next to nothing: card by card. */
static int not_allowed(void)
{
	return -EPERM;
}

static int covered_not_allowed(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return not_allowed();
}

static int vacant_not_allowed(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return not_allowed();
}

static int writable_not_allowed(uintptr_t addr)
{
	(void)addr;
	return not_allowed();
}

static void allow_nothing(void)
{
	struct cm_os *os = broken_os_begin();

	os->covered = covered_not_allowed;
	os->vacant = vacant_not_allowed;
	os->writable = writable_not_allowed;
}

static void untrack_with_nothing_allowed(void *arg)
{
	allow_nothing();
	untrack_with_holes(arg);
}

static int never_vacant(uintptr_t addr, size_t len, int prot)
{
	(void)addr;
	(void)len;
	(void)prot;
	return 0;
}

static void untrack_and_be_told_nothing_is_vacant(void *arg)
{
	struct cm_os *os = broken_os_begin();

	os->vacant = never_vacant;
	untrack_with_holes(arg);
}

static void gives_back_card_by_card(void)
{
	check_in(FILES, untrack_and_be_told_nothing_is_vacant);
	check_in(FILES, untrack_with_nothing_allowed);
	check_in(PROC, untrack_with_nothing_allowed);
}

/* The walk over what is mapped, against what was unmapped. */
static void holes_are_found(void)
{
	uint64_t rng = random_seed(NULL);
	enum { N = 300 };

	for (int round = 0; round < 50; round++) {
		unsigned char *p = live_map(N);
		bool mapped[N];
		struct cardmark_run run = { 0, 0 };
		uintptr_t at = (uintptr_t)p, end = at + N * live_card;
		size_t i = 0;

		memset(mapped, true, sizeof mapped);
		for (size_t holes = random_below(&rng, 12); holes > 0; holes--) {
			size_t first = random_below(&rng, N);
			size_t n = 1 + random_below(&rng, random_below(&rng, 4) == 0 ? N : 8);

			if (n > N - first)
				n = N - first;
			CHECK(munmap(p + first * live_card, n * live_card) == 0);
			memset(mapped + first, false, n);
		}
		for (size_t k = random_below(&rng, 5); k > 0; k--) /* borders that are no holes */
			(void)mprotect(p + random_below(&rng, N) * live_card, live_card, PROT_READ);
		while (cm_next_mapped(at, end, PROT_READ | PROT_WRITE, &run) > 0) {
			for (; (uintptr_t)p + i * live_card < run.start; i++)
				CHECK(!mapped[i]);
			for (; (uintptr_t)p + i * live_card < run.end; i++)
				CHECK(mapped[i]);
			at = run.end;
		}
		for (; i < N; i++)
			CHECK(!mapped[i]);
		live_clean_up();
	}
}

static void writable_is_what_it_says(void)
{
	unsigned char *p = live_map(6);
	uint32_t *word = (uint32_t *)p;

	CHECK_EQ(cm_os->writable((uintptr_t)p + 5 * live_card + 3), 1); /* never touched */
	for (uint32_t v = 0; v < 3; v++) {
		*word = v * UINT32_C(0x7fffffff);
		CHECK_EQ(cm_os->writable((uintptr_t)p), 1);
		CHECK_EQ(*word, v * UINT32_C(0x7fffffff));
	}
	CHECK(mprotect(p, live_card, PROT_READ) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0);
	CHECK(mprotect(p, live_card, PROT_NONE) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0);
	CHECK_EQ(cm_os->vacant((uintptr_t)p, live_card, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p), 0); /* the question changes nothing */
	CHECK(munmap(p + live_card, 2 * live_card) == 0);
	CHECK_EQ(cm_os->writable((uintptr_t)p + live_card), 0);
	CHECK_EQ(cm_os->vacant((uintptr_t)p + live_card, 2 * live_card, PROT_READ), 1);
	CHECK_EQ(cm_os->vacant((uintptr_t)p + live_card, 3 * live_card, PROT_READ), 0);
}

/* ---- Traps ----------------------------------------------------------------------------- */

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
	pthread_t thread[2];

	(void)arg;
	prepare();
	set_up();
	for (size_t i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, write_all, NULL) == 0);
	take_away();
	for (size_t i = 0; i < CARDS; i++) {
		for (int n = 0; n < 30 && live_can(CARDMARK_CAP_CONCURRENT); n++)
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

/* Made certain: untrack holds the handler's lock, and is about to give the card back, until
 * the writer has trapped and waits for that lock. */
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
	write_and_find(CARDS - 2); /* not if the program's handler, or none, took our place */
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
	/* Of what was tracked once, too. */
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

/* ---- Track ----------------------------------------------------------------------------- */

static bool needs_nothing(void)
{
	return !live_can(CARDMARK_CAP_PRECISE);
}

static void track_and_find(unsigned flags)
{
	unsigned char *p = live_map(8);

	memset(p, 1, 8 * live_card);
	CHECK_EQ(cardmark_track(cm, p, 8 * live_card, flags), 0);
	(void)live_collect(cm, table);
	live_store(p + 3 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 3 * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 8 * live_card), 0);
	memset(p, 2, 8 * live_card);
}

static void track_without(void *arg)
{
	unsigned char *p;
	int error;

	(void)arg;
	prepare();
	set_up();
	take_away();
	if (way == RIGHTS || needs_nothing()) {
		track_and_find(0);
	} else {
		p = live_map(4);
		error = cardmark_track(cm, p, 4 * live_card, 0);
		CHECK_EQ(error, way == PROC ? -ENOTSUP : -ENOMEM);
		CHECK(strstr(cardmark_last_error(), "/proc/self/maps") != NULL);
		CHECK(strstr(cardmark_last_error(), "nothing is mapped") == NULL);
		CHECK(!cardmark_is_tracked(cm, p, live_card));
	}
	track_and_find(CARDMARK_TRACK_PRIVATE);
	if (live_can(CARDMARK_CAP_SHARED) || needs_nothing())
		track_and_find(CARDMARK_TRACK_FILE);
	/* What is tracked already is told from what the backend has made of it. */
	write_card(5);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, CARDMARK_TRACK_PRIVATE), 0);
	(void)live_collect(cm, table);
	live_expect_dirty(table, mem, CARDS);
	write_card(7);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(7)));
	/* A hole is known without /proc. */
	p = live_map(8);
	CHECK(munmap(p + 4 * live_card, live_card) == 0);
	CHECK_EQ(cardmark_track(cm, p, 8 * live_card, CARDMARK_TRACK_PRIVATE), -ENOMEM);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
	memset(mem, 3, CARDS * live_card);
}
EACH_WAY(track_without)

/* Nothing is needed that it did not bring along. */
static void open_without(void *arg)
{
	(void)arg;
	prepare();
	take_away();
	cm = live_open();
	table = live_table(cm);
	mem = live_map(CARDS);
	memset(mem, 1, CARDS * live_card);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card,
				needs_nothing() ? 0 : CARDMARK_TRACK_PRIVATE),
		 0);
	(void)live_collect(cm, table);
	write_card(3);
	collect_and_compare();
	CHECK_EQ(cardmark_untrack(cm, mem, CARDS * live_card), 0);
	cardmark_table_delete(&table);
	cardmark_close(&cm);
}
EACH_WAY(open_without)

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		WAYS("what is mapped anew is found", mapped_anew, CARDMARK_CAP_REMAP, 0),
		WAYS("a file in the place, written and reclaimed, is found", replaced_by_a_file, 0,
		     LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(ALLDIRTY)),
		{ "a file in the place, written and reclaimed, is found with all there",
		  a_file_in_the_place_is_found_written, 0,
		  LIVE_ONLY(PAGEMAP) | LIVE_ONLY(UFFD) | LIVE_ONLY(ALLDIRTY) },
		{ "shared memory in the place is dirty for as long as it is there",
		  shared_memory_in_the_place_is_not_watched, 0, LIVE_ONLY(UFFD) },
		{ "control: an error taken for \"nothing is mapped\" loses",
		  control_an_error_taken_for_nothing_loses, 0, LIVE_ONLY(PAGEMAP) },
		WAYS("untrack gives back around holes", untrack_with_holes, 0, 0),
		WAYS("close gives back around holes", close_with_holes, 0, 0),
		WAYS("collect and write around holes", collect_with_holes, 0, 0),
		WAYS("memory is given back around a read-only file", give_back_around_a_file, 0, 0),
		{ "control: a hole that ends too late crashes",
		  control_a_hole_that_ends_too_late_crashes, 0, LIVE_ONLY(MPROTECT) },
		{ "what may ask nothing gives back card by card", gives_back_card_by_card, 0, 0 },
		{ "holes are found without /proc", holes_are_found, 0, LIVE_ONLY(MPROTECT) },
		{ "writable and vacant say what is so, and change nothing",
		  writable_is_what_it_says, 0, LIVE_ONLY(MPROTECT) },
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
		WAYS("track says why not, or tracks", track_without, 0, 0),
		WAYS("open needs nothing", open_without, 0,
		     LIVE_ONLY(MPROTECT) | LIVE_ONLY(ALLDIRTY)),
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
