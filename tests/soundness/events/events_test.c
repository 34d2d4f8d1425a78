/* SPDX-License-Identifier: MIT
 *
 * Description: what can happen to tracked memory: writes of every kind, processes, descriptors,
 * and the library's own calls. What happens to its mappings: events_mappings_test.c. */
#include "tests/soundness/events/events.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

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

/* Only descriptors above those that tests use for themselves. */
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

static const struct event all[] = {
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
	{ "preclean", precleaned, CARDMARK_CAP_CONCURRENT, PRIVATE },
	{ "suspend and resume", suspended, 0, PRIVATE },
};

int main(int argc, char **argv)
{
	return events_main(argc, argv, all, sizeof all / sizeof *all, NULL);
}
