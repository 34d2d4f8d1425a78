/* SPDX-License-Identifier: MIT
 *
 * Description: one case for each thing that can happen to tracked memory. Whatever
 * was written is in the report, and tracking goes on. The line "cell" of each case
 * says how: tests/soundness/table.sh makes the table of docs/soundness.md from them. */
#include "tests/support/backends.h"
#include "tests/support/fixture.h"

#include "tests/support/broken_os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ /* 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* 6.1 */
#define MADV_COLLAPSE 25
#endif
#define MADV_GUARD_INSTALL_ 102 /* 6.13 */
#define MADV_GUARD_REMOVE_ 103

enum memory { PRIVATE, SHARED, SHARED_ANONYMOUS, PRIVATE_FILE };

static bool usable[CARDS]; /* may be written in the second round */

static void write_from(size_t first, size_t step)
{
	for (size_t i = first; i < CARDS; i += step)
		write_card(i);
}

/* ---- Writes ------------------------------------------------------------------- */

static const char *store(void)
{
	write_from(3, 7);
	return NULL;
}

static void write_in_handler(int sig)
{
	(void)sig;
	live_store(card_at(9), 77);
}

static const char *store_in_a_signal_handler(void)
{
	struct sigaction act = { .sa_handler = write_in_handler }, before;

	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_MPROTECT)
		return "the thread sanitizer puts handlers off, and theirs does not nest";
	(void)sigemptyset(&act.sa_mask);
	CHECK(sigaction(SIGUSR1, &act, &before) == 0);
	CHECK(raise(SIGUSR1) == 0);
	CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
	want[9] = true;
	return NULL;
}

static const char *read_from_a_pipe(void)
{
	int fd[2];
	char bytes[8] = "changed";

	CHECK(pipe(fd) == 0);
	CHECK(write(fd[1], bytes, sizeof bytes) == sizeof bytes);
	CHECK(read(fd[0], card_at(12) - 4, sizeof bytes) == sizeof bytes);
	(void)close(fd[0]);
	(void)close(fd[1]);
	want[11] = want[12] = true;
	return NULL;
}

static const char *write_by_proc_mem(void)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte = 55;

	CHECK(fd >= 0);
	ssize_t n = pwrite(fd, &byte, 1, (off_t)(uintptr_t)card_at(14));
	(void)close(fd);
	if (n != 1)
		return "the kernel refuses the write";
	want[14] = true;
	return NULL;
}

static const char *write_by_another_process(void)
{
	pid_t parent = getpid(), pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0ul);
	int status = -1;

	if (pid == 0) {
		char byte = 66;
		struct iovec from = { &byte, 1 }, to = { card_at(21), 1 };
		long n = syscall(SYS_process_vm_writev, parent, &from, 1ul, &to, 1ul, 0ul);
		_exit(n == 1 ? 0 : 1);
	}
	status = tap_wait(pid);
	if (status != 0)
		return "another process may not write here";
	want[21] = true;
	return NULL;
}

/* ---- Processes ----------------------------------------------------------------- */

static void child_writes_and_collects(void *arg)
{
	(void)arg;
	write_from(0, 3);
	(void)live_collect(cm, table);
	for (size_t i = 0; i < CARDS; i++)
		CHECK(!want[i] || cardmark_table_is_dirty(table, card_at(i)));
	memset(want, 0, sizeof want);
	write_card(5);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(5)));
}

static const char *fork_child_collects(void)
{
	if (TAP_TSAN && live_backend == CARDMARK_BACKEND_UFFD)
		return "the thread sanitizer supports no new thread in a fork child";
	write_card(30);
	CHECK_EQ(tap_in_child(child_writes_and_collects, NULL), 0);
	write_card(31);
	return NULL;
}

static const char *clone_child_collects(void)
{
	pid_t pid;

	if (TAP_TSAN)
		return "the thread sanitizer does not see a raw clone";
	write_card(30);
	pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	if (pid == 0) {
		for (int round = 0; round < 2; round++) {
			live_store(card_at(5), (unsigned char)(90 + round));
			cardmark_table_clear(table);
			(void)cardmark_collect(cm, table);
			if (!cardmark_table_is_dirty(table, card_at(5)))
				_exit(1);
		}
		_exit(0);
	}
	CHECK_EQ(tap_wait(pid), 0);
	write_card(31);
	return NULL;
}

static const char *vfork_and_exec(void)
{
	int status = -1;

	write_card(30);
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	status = tap_wait(pid);
	write_card(31);
	return WEXITSTATUS(status) == 127 ? "there is no /bin/true" : NULL;
}

static const char *spawn(void)
{
	char *argv[] = { (char *)(uintptr_t) "true", NULL }, *none[] = { NULL };
	pid_t pid;

	write_card(30);
	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, none) != 0)
		return "there is no /bin/true";
	(void)tap_wait(pid);
	write_card(31);
	return NULL;
}

/* ---- Descriptors ---------------------------------------------------------------- */

/* Only those above what tests use for themselves. */
#define OURS 200

static const char *descriptors_closed(void)
{
	write_card(30);
	for (int fd = OURS; fd < 1024; fd++)
		(void)close(fd);
	write_card(31);
	return NULL;
}

static const char *descriptors_taken(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK(null >= 0);
	write_card(30);
	for (int fd = OURS; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			CHECK(dup2(null, fd) == fd);
	write_card(31);
	(void)close(null);
	return NULL;
}

/* ---- Mappings -------------------------------------------------------------------- */

#define FIRST 16
#define N 8

static void data_came(size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		want[i] = true;
}

static const char *unmapped(void)
{
	write_card(2);
	CHECK(munmap(card_at(FIRST), N * live_card) == 0);
	memset(usable + FIRST, 0, N * sizeof *usable);
	write_card(40);
	return NULL;
}

static const char *unmapped_and_mapped(void)
{
	CHECK(munmap(card_at(FIRST), N * live_card) == 0);
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	data_came(FIRST, N);
	return NULL;
}

static const char *mapped_over(void)
{
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	data_came(FIRST, N);
	return NULL;
}

static const char *moved_onto(void)
{
	unsigned char *other = live_map(N);

	memset(other, 3, N * live_card);
	CHECK(mremap(other, N * live_card, N * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(FIRST)) == card_at(FIRST));
	data_came(FIRST, N);
	return NULL;
}

static const char *armed_moved_onto(void)
{
	CHECK(mremap(card_at(40), N * live_card, N * live_card, MREMAP_MAYMOVE | MREMAP_FIXED,
		     card_at(FIRST)) == card_at(FIRST));
	memset(usable + 40, 0, N * sizeof *usable);
	data_came(FIRST, N);
	return NULL;
}

/* The new part is tracked by whoever grew the memory. */
static const char *grown(void)
{
	unsigned char *area =
		mmap(NULL, 3 * N * live_card, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *p;

	live_own_memory(area, 3 * N * live_card);
	p = live_map_at(area, N);
	memset(p, 1, N * live_card);
	CHECK(munmap(area + N * live_card, 2 * N * live_card) == 0);
	CHECK_EQ(cardmark_track(cm, p, N * live_card, 0), 0);
	(void)live_collect(cm, table);
	if (mremap(p, N * live_card, 2 * N * live_card, 0) != p)
		return "mremap could not grow in place";
	live_store(p + live_card, 5);
	live_store(p + (N + 1) * live_card, 5);
	CHECK_EQ(cardmark_track(cm, p + N * live_card, N * live_card, 0), 0);
	(void)cardmark_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + live_card));
	CHECK(cardmark_table_is_dirty(table, p + (N + 1) * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 2 * N * live_card), 0);
	write_card(3);
	return NULL;
}

static const char *protection_cycle(void)
{
	write_card(FIRST);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_NONE) == 0);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_READ) == 0);
	CHECK(mprotect(card_at(FIRST), N * live_card, PROT_READ | PROT_WRITE) == 0);
	write_card(FIRST + 3);
	return NULL;
}

/* ---- Advice ----------------------------------------------------------------------- */

static const char *advise(int advice, size_t first, size_t n)
{
	if (madvise(card_at(first), n * live_card, advice) == 0)
		return NULL;
	return errno == EINVAL ? "this kernel does not know the advice" : "the kernel refused";
}

static const char *dontneed(void)
{
	return advise(MADV_DONTNEED, FIRST, N);
}

static const char *dontneed_and_written(void)
{
	const char *reason = advise(MADV_DONTNEED, FIRST, N);

	write_card(FIRST + 1);
	return reason;
}

static const char *free_and_written(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_FREE, FIRST, N);
	write_card(FIRST + 1);
	return reason;
}

static const char *populate_write(void)
{
	/* Makes pages writable as a store would: they may count as written. */
	const char *reason = advise(MADV_POPULATE_WRITE, FIRST, N);

	write_card(FIRST + 1);
	return reason;
}

static const char *populate_read_of_holes(void)
{
	const char *reason = advise(MADV_DONTNEED, FIRST, N);

	if (reason == NULL)
		reason = advise(MADV_POPULATE_READ, FIRST, N);
	write_card(FIRST + 1);
	return reason;
}

static const char *pageout(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_PAGEOUT, FIRST, N); /* swaps, where there is swap */
	write_card(FIRST + 1);
	return reason;
}

static const char *mergeable(void)
{
	const char *reason;

	write_card(FIRST);
	reason = advise(MADV_MERGEABLE, 0, CARDS);
	write_card(FIRST + 1);
	if (reason == NULL)
		reason = advise(MADV_UNMERGEABLE, 0, CARDS);
	write_card(FIRST + 2);
	return reason;
}

static const char *guarded(void)
{
	const char *reason;

	write_card(2);
	reason = advise(MADV_GUARD_INSTALL_, FIRST, N);
	if (reason != NULL)
		return reason;
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, card_at(2)));
	want[2] = false;
	CHECK(advise(MADV_GUARD_REMOVE_, FIRST, N) == NULL);
	write_card(FIRST + 1);
	return NULL;
}

static const char *locked(void)
{
	if (mlock(card_at(FIRST), N * live_card) != 0)
		return "mlock is refused";
	write_card(FIRST + 1);
	CHECK(munlock(card_at(FIRST), N * live_card) == 0);
	write_card(FIRST + 2);
	return NULL;
}

/* A tracker of its own: two huge pages' worth. */
static const char *huge_pages(void)
{
	const size_t huge = (size_t)2 << 20;
	unsigned char *area =
		mmap(NULL, 4 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *p = (unsigned char *)(((uintptr_t)area + huge - 1) & ~(huge - 1));
	int collapsed;

	live_own_memory(area, 4 * huge);
	if (madvise(p, 2 * huge, MADV_HUGEPAGE) != 0)
		return "there are no huge pages here";
	memset(p, 1, 2 * huge);
	CHECK_EQ(cardmark_track(cm, p, 2 * huge, 0), 0);
	(void)live_collect(cm, table);
	live_store(p + 5 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 5 * live_card));
	collapsed = madvise(p, 2 * huge, MADV_COLLAPSE);
	tap_note("MADV_COLLAPSE of armed memory: %s", collapsed == 0 ? "done" : "refused");
	live_store(p + 7 * live_card, 9);
	live_store(p + huge + 7 * live_card, 9);
	(void)live_collect(cm, table);
	CHECK(cardmark_table_is_dirty(table, p + 7 * live_card));
	CHECK(cardmark_table_is_dirty(table, p + huge + 7 * live_card));
	CHECK_EQ(cardmark_untrack(cm, p, 2 * huge), 0);
	write_card(3);
	return NULL;
}

static const char *huge_tlb(void)
{
	const size_t huge = (size_t)2 << 20;
	unsigned char *p = mmap(NULL, huge, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		return "no huge TLB pages are set aside";
	live_own_memory(p, huge);
	CHECK_EQ(cardmark_track(cm, p, huge, 0), -ENOTSUP);
	CHECK(!says_tracked(cm, p, live_card));
	write_card(3);
	return NULL;
}

/* ---- The library's own --------------------------------------------------------------- */

static const char *precleaned(void)
{
	write_card(3);
	CHECK_EQ(cardmark_preclean(cm), 0);
	write_card(4);
	return NULL;
}

static const char *suspended(void)
{
	write_card(3);
	CHECK_EQ(cardmark_suspend(cm), 0);
	write_card(4);
	CHECK_EQ(cardmark_resume(cm), 0);
	write_card(5);
	return NULL;
}

/* ---- One case ------------------------------------------------------------------------- */

struct event {
	const char *name;
	const char *(*happen)(void); /* marks in want what it wrote; NULL, or why it could not */
	unsigned needs;              /* enum cardmark_capability */
	enum memory memory;
};

static const struct event events[] = {
	{ "store", store, 0, PRIVATE },
	{ "store in a signal handler", store_in_a_signal_handler, 0, PRIVATE },
	{ "read(2) into it", read_from_a_pipe, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "write through /proc/self/mem", write_by_proc_mem, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "process_vm_writev by another process", write_by_another_process,
	  CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "store to shared file memory", store, CARDMARK_CAP_SHARED, SHARED },
	{ "store to shared anonymous memory", store, CARDMARK_CAP_SHARED, SHARED_ANONYMOUS },
	{ "store to private file memory", store, CARDMARK_CAP_SHARED, PRIVATE_FILE },
	{ "fork, both go on", fork_child_collects, 0, PRIVATE },
	{ "raw clone, both go on", clone_child_collects, 0, PRIVATE },
	{ "vfork and exec", vfork_and_exec, 0, PRIVATE },
	{ "posix_spawn", spawn, 0, PRIVATE },
	{ "our descriptors closed", descriptors_closed, 0, PRIVATE },
	{ "our descriptors taken by dup2", descriptors_taken, 0, PRIVATE },
	{ "munmap under us", unmapped, CARDMARK_CAP_REMAP, PRIVATE },
	{ "munmap, then mmap in the place", unmapped_and_mapped, CARDMARK_CAP_REMAP, PRIVATE },
	{ "MAP_FIXED over it", mapped_over, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap onto it", moved_onto, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap of armed memory onto it", armed_moved_onto, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mremap that grows", grown, CARDMARK_CAP_MPROTECT, PRIVATE },
	{ "mprotect cycle", protection_cycle, CARDMARK_CAP_MPROTECT, PRIVATE },
	{ "MADV_DONTNEED", dontneed, 0, PRIVATE },
	{ "MADV_DONTNEED, then a store", dontneed_and_written, 0, PRIVATE },
	{ "MADV_FREE, then a store", free_and_written, 0, PRIVATE },
	{ "MADV_POPULATE_WRITE, then a store", populate_write, CARDMARK_CAP_KERNEL_WRITES,
	  PRIVATE },
	{ "MADV_POPULATE_READ of holes, then a store", populate_read_of_holes, 0, PRIVATE },
	{ "MADV_PAGEOUT, then a store", pageout, 0, PRIVATE },
	{ "MADV_MERGEABLE and back", mergeable, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "guard pages and back", guarded, CARDMARK_CAP_REMAP, PRIVATE },
	{ "mlock", locked, CARDMARK_CAP_KERNEL_WRITES, PRIVATE },
	{ "huge pages, MADV_COLLAPSE", huge_pages, 0, PRIVATE },
	{ "huge TLB pages are refused", huge_tlb, 0, PRIVATE },
	{ "preclean", precleaned, CARDMARK_CAP_CONCURRENT, PRIVATE },
	{ "suspend and resume", suspended, 0, PRIVATE },
};
#define EVENTS (sizeof events / sizeof *events)

static struct live_case cases[EVENTS + 1]; /* and the control */
static const struct event *now;

static unsigned char *map_kind(enum memory kind)
{
	unsigned char *p;
	int fd;

	if (kind == PRIVATE)
		return live_map(CARDS);
	fd = kind == SHARED_ANONYMOUS ? -1 : memfd_create("events", MFD_CLOEXEC);
	if (fd >= 0)
		CHECK(ftruncate(fd, (off_t)(CARDS * live_card)) == 0);
	p = mmap(NULL, CARDS * live_card, PROT_READ | PROT_WRITE,
		 (kind == PRIVATE_FILE ? MAP_PRIVATE : MAP_SHARED) | (fd < 0 ? MAP_ANONYMOUS : 0),
		 fd, 0);
	if (fd >= 0)
		(void)close(fd);
	live_own_memory(p, CARDS * live_card);
	return p;
}

/* Lost: none. Returns how many cards more than what was written. */
static size_t more_than_written(const char *when)
{
	size_t lost = 0, more = 0;

	CHECK(live_collect(cm, table) != CARDMARK_ALL_DIRTY);
	for (size_t i = 0; i < CARDS; i++) {
		bool dirty = cardmark_table_is_dirty(table, card_at(i));
		lost += want[i] && !dirty;
		more += !want[i] && dirty;
	}
	if (lost != 0)
		tap_note("%s: %zu cards lost", when, lost);
	CHECK_EQ(lost, 0);
	return more;
}

static size_t written(void)
{
	size_t n = 0;

	for (size_t i = 0; i < CARDS; i++)
		n += want[i];
	return n;
}

static void cell(const char *what)
{
	tap_note("cell|%s|%s|%s", now->name, cardmark_backend_name(live_backend), what);
}

static void describe(size_t more, size_t not_written, size_t later)
{
	char text[64];

	if (more == 0)
		(void)snprintf(text, sizeof text, "exact");
	else if (more == not_written)
		(void)snprintf(text, sizeof text, "all dirty");
	else
		(void)snprintf(text, sizeof text, "%zu cards more", more);
	if (later == 0 && more != 0)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), ", then exact");
	else if (later != 0 && more == 0)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), ", then %zu more",
			       later);
	cell(text);
}

static void one_event(void)
{
	static const size_t second[] = { 0, 15, 18, 33, 63 };
	const char *reason;
	size_t more, not_written;

	now = &events[live_now - cases];
	mem = map_kind(now->memory);
	memset(mem, 1, CARDS * live_card);
	cm = live_open();
	table = live_table(cm);
	CHECK_EQ(cardmark_track(cm, mem, CARDS * live_card, 0), 0);
	(void)live_collect(cm, table);
	memset(want, 0, sizeof want);
	memset(usable, true, sizeof usable);
	reason = now->happen();
	if (reason != NULL) {
		cell(reason);
		tap_skip("%s", reason);
	}
	not_written = CARDS - written();
	more = more_than_written("the event");
	memset(want, 0, sizeof want);
	for (size_t i = 0; i < sizeof second / sizeof *second; i++)
		if (usable[second[i]])
			write_card(second[i]);
	(void)more_than_written("after it");
	memset(want, 0, sizeof want);
	write_card(0);
	describe(more, not_written, more_than_written("later"));
}

/* A scan that does not ask whether the memory is registered (R2). */
static void a_broken_rule_shows(void)
{
	size_t lost = 0;

	break_by_not_checking_wpasync(broken_os_begin());
	set_up();
	(void)live_map_at(card_at(FIRST), N);
	memset(card_at(FIRST), 2, N * live_card);
	for (int round = 0; round < 2; round++) {
		write_card(FIRST);
		(void)live_collect(cm, table);
		lost += !cardmark_table_is_dirty(table, card_at(FIRST));
	}
	broken_os_end();
	tap_note("%zu writes lost", lost);
	CHECK(lost > 0);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < EVENTS; i++)
		cases[i] = (struct live_case){ events[i].name, one_event, events[i].needs, 0 };
	cases[EVENTS] =
		(struct live_case){ "control: without CHECK_WPASYNC a mapping over it loses writes",
				    a_broken_rule_shows, 0, LIVE_ONLY(PAGEMAP) };
	return live_main(argc, argv, LIVE_CASES(cases));
}
