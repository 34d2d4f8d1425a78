/* SPDX-License-Identifier: MIT
 *
 * The interpreter: one program, in a process of its own, from the first operation
 * to the last answer. Operations that are impossible in the current state are skipped, so that
 * any part of a program is a program. */
#include "tests/soundness/random/program_state.h"

#include "lib/tracker.h"
#include "tests/support/backends.h"
#include "tests/support/broken_os.h"
#include "tests/support/page_hash.h"
#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOISE_FD 930
#define PAGEMAP_FD 931
#define FIRST_OF_OURS 900
#define FIRST_OF_LIBRARY 200
#define MOST_DEPTH 2
#define PROGRAM_SECONDS 40 /* a longer run counts as hung */

/* Far from where the kernel puts mappings, so that nothing of the library's comes
 * to lie in a hole of ours; in the sanitizers' memory for programs. */
#define PLACE ((uintptr_t)0x7e9000000000)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

void (*program_after_preclean)(struct cardmark *cm);
void (*program_after_collect)(struct cardmark *cm);

static struct run *the_run;

struct span span_of(const struct op *op)
{
	size_t from = op->v[O_PAGE] % PROGRAM_PAGES;
	size_t n = op->v[O_PAGES] == 0 ? 1 : op->v[O_PAGES];

	return (struct span){ from, n < PROGRAM_PAGES - from ? from + n : PROGRAM_PAGES };
}

void fail(struct run *r, enum verdict verdict, const char *format, ...)
{
	int none = VERDICT_FINE;
	va_list ap;

	if (!atomic_compare_exchange_strong_explicit(&r->board->verdict, &none, (int)verdict,
						     memory_order_acq_rel, memory_order_relaxed))
		return;
	atomic_store_explicit(&r->board->op, r->op, memory_order_relaxed);
	va_start(ap, format);
	(void)vsnprintf(r->board->text, sizeof r->board->text, format, ap);
	va_end(ap);
}

/* ---- Beginning ------------------------------------------------------------------ */

static int make_noise(void)
{
	int fd = memfd_create("noise", MFD_CLOEXEC);
	uint64_t rng = 99;

	for (size_t i = 0; fd >= 0 && i < 4096 + WRITE_MOST; i += 8) {
		uint64_t v = random_next(&rng);
		if (write(fd, &v, sizeof v) != sizeof v)
			return -1;
	}
	return dup2(fd, NOISE_FD);
}

static int open_own_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int high = fd < 0 ? -1 : dup2(fd, PAGEMAP_FD);

	(void)close(fd);
	return high;
}

static bool machine_swaps(void)
{
	char text[256];
	int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);

	(void)close(fd);
	return n > 0 && memchr(text, '\n', (size_t)n) != text + n - 1;
}

static int open_tracker(struct run *r)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	int error;

	options.backend = r->backend;
	options.flags = r->p->open | CARDMARK_OPEN_NO_ENV;
	options.chunk_bytes = r->p->chunk * r->card;
	options.vec_len = r->p->vec;
	options.threads = r->p->crew;
	options.backoff = r->p->backoff;
	options.huge = (enum cardmark_huge)r->p->huge;
	options.verify = (enum cardmark_verify)r->p->verify;
	broken_os_pause(true); /* a failure here does not matter for soundness */
	error = cardmark_open(&r->cm, &options);
	for (unsigned t = 0; t < PROGRAM_TABLES && error == 0; t++)
		error = cardmark_table_new(&r->table[t], r->cm);
	if (error == 0 && r->p->consumer != 0)
		error = open_consumer(r);
	if (error < 0) {
		fail(r, VERDICT_BROKEN, "open: %s", cardmark_last_error());
		return error;
	}
	broken_os_pause(false);
	r->cm->backoff.least = 2; /* programs write a few pages */
	r->caps = described(r->cm).capabilities;
	r->discards = (r->p->open & (CARDMARK_OPEN_DISCARDS | CARDMARK_OPEN_DISCARD_IS_WRITE)) != 0;
	r->discard_is_write = (r->p->open & CARDMARK_OPEN_DISCARD_IS_WRITE) != 0;
	return 0;
}

/* The space that programs use; nothing is mapped there yet. */
static bool find_place(struct run *r)
{
	size_t bytes = PROGRAM_PAGES * r->card;
	void *p = mmap((void *)PLACE, bytes, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);

	if (p != (void *)PLACE)
		return false;
	r->base = p;
	return munmap(p, bytes) == 0;
}

static int begin(struct run *r)
{
	static const unsigned char zeros[65536];

	r->card = cardmark_card_size();
	r->zero_hash = page_hash(zeros, r->card);
	for (size_t i = 0; i < PROGRAM_PAGES; i++) {
		r->page[i].object = -1;
		r->page[i].hash = r->zero_hash;
	}
	r->noise = make_noise();
	r->pagemap = open_own_pagemap();
	r->swap = machine_swaps();
	if (r->noise < 0 || r->pagemap < 0 || !find_place(r) || make_objects(r) < 0 ||
	    make_writers(r) < 0) {
		fail(r, VERDICT_BROKEN, "beginning: errno %d", errno);
		return -1;
	}
	return open_tracker(r);
}

/* ---- Fork and other processes ----------------------------------------------------- */

static void run_from(struct run *r, unsigned first);

/* In the child: contents that a fork changes, and everything is dirty. */
static void begin_child(struct run *r)
{
	r->depth++;
	(void)alarm(PROGRAM_SECONDS / 2);
	r->pagemap = open_own_pagemap();
	writers_after_fork(r);
	read_entries(r);
	for (size_t i = 0; i < PROGRAM_PAGES; i++) {
		struct page *p = &r->page[i];

		if (p->gone_by_fork) {
			p->mapped = p->guard = false;
			p->must = p->pending = false;
		} else if (p->wiped_by_fork) {
			p->guard = false;
			zapped(r, i);
		}
		p->reported = false;
		atomic_store_explicit(&p->period, 0, memory_order_relaxed);
	}
	if (r->pagemap < 0)
		fail(r, VERDICT_BROKEN, "no pagemap in a child");
	everything_dirty(r, (struct span){ 0, PROGRAM_PAGES });
}

static void wait_for(struct run *r, pid_t pid, const char *who)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fail(r, WTERMSIG(status) == SIGALRM ? VERDICT_HUNG : VERDICT_DIED,
		     "a %s died of signal %d", who, WTERMSIG(status));
}

static bool do_fork(struct run *r, const struct op *op)
{
	bool bare = op->v[O_HOW] == FORK_CLONE;
	pid_t pid;

	/* TSan cannot follow a bare clone: its locks stay locked. */
	if (r->depth == MOST_DEPTH || (bare && TAP_TSAN))
		return false;
	if (bare)
		quiesce(r);
	else
		(void)running(r, op);
	atomic_fetch_add_explicit(&r->board->forks, 1, memory_order_relaxed);
	if (bare)
		pid = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0ul);
	else
		pid = fork();
	if (pid == 0) {
		r->cloned |= bare;
		begin_child(r);
		run_from(r, r->op + 1);
		_exit(0);
	}
	if (pid < 0)
		fail(r, VERDICT_BROKEN, "fork: errno %d", errno);
	else
		wait_for(r, pid, "child");
	return true;
}

extern char **environ;

static bool do_spawn(struct run *r, const struct op *op)
{
	static char path[] = "/bin/true", *argv[] = { path, NULL };
	struct span s = span_of(op);
	pid_t pid;

	quiesce(r);
	if (op->v[O_HOW] == SPAWN_POSIX) {
		if (posix_spawn(&pid, path, NULL, NULL, argv, environ) != 0)
			return false;
	} else {
		bool writes = may_write(r, s.from) && !TAP_TSAN; /* there vfork is fork */
		volatile unsigned char *to = page_at(r, s.from);

		if (writes)
			must_report(r, s.from);
		pid = vfork();
		if (pid == 0) {
			if (writes) /* into the parent's memory, which it shares */
				*to = (unsigned char)op->v[O_SEED];
			(void)execve(path, argv, environ);
			_exit(127);
		}
		if (pid < 0)
			return false;
	}
	wait_for(r, pid, "spawned program");
	return true;
}

/* ---- Descriptors ------------------------------------------------------------------- */

static bool do_files(struct run *r, const struct op *op)
{
	unsigned seen = 0; /* there are no other descriptors up there */
	int null;

	/* uffd's monitor may close a descriptor at any time, and does not report it. */
	if (TAP_TSAN && r->backend == CARDMARK_BACKEND_UFFD)
		return false;
	quiesce(r);
	if (op->v[O_HOW] == FILES_CLOSE) {
		(void)syscall(SYS_close_range, 3u, FIRST_OF_OURS - 1u, 0u);
		return true;
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = FIRST_OF_LIBRARY; fd < FIRST_OF_LIBRARY + 64; fd++) {
		if (fcntl(fd, F_GETFD) < 0 || (op->v[O_FROM] != 0 && op->v[O_FROM] != ++seen))
			continue;
		(void)dup2(op->v[O_HOW] == FILES_NULL ? null : r->noise, fd);
	}
	(void)close(null);
	return true;
}

static bool do_reopen(struct run *r)
{
	quiesce(r);
	for (unsigned t = 0; t < PROGRAM_TABLES; t++)
		cardmark_table_delete(&r->table[t]);
	close_consumer(r);
	cardmark_close(&r->cm);
	for (size_t i = 0; i < PROGRAM_PAGES; i++)
		r->page[i].tracked = r->page[i].must = r->page[i].pending = false;
	memset(r->in_table, 0, sizeof r->in_table);
	r->holds = 0;
	r->suspended = false;
	return open_tracker(r) == 0;
}

/* ---- The program -------------------------------------------------------------------- */

static bool do_op(struct run *r, const struct op *op)
{
	if (!can(r, op_info[op->kind].needs))
		return false;
	switch (op->kind) {
	case OP_WRITE:
		hand_to_worker(r, op);
		return true;
	case OP_PRECLEAN:
		if (op->v[O_THREAD] == 0)
			(void)running(r, op);
		hand_to_worker(r, op);
		return true;
	case OP_MAP:
	case OP_UNMAP:
	case OP_REMAP:
	case OP_RESIZE:
	case OP_PROTECT:
	case OP_ADVISE:
	case OP_LOCK:
		return memory_op(r, op);
	case OP_FORK:
		return do_fork(r, op);
	case OP_SPAWN:
		return do_spawn(r, op);
	case OP_FILES:
		return do_files(r, op);
	case OP_REOPEN:
		return do_reopen(r);
	case OP_CONSUMER:
		return consumer_op(r, op);
	case OP_WAIT:
		quiesce(r);
		return true;
	default:
		return ask_op(r, op);
	}
}

static bool going_on(const struct run *r)
{
	return atomic_load_explicit(&r->board->verdict, memory_order_acquire) == VERDICT_FINE;
}

static void run_from(struct run *r, unsigned first)
{
	for (r->op = first; r->op < r->p->n && going_on(r); r->op++) {
		bool done;

		atomic_store_explicit(&r->board->at, r->op, memory_order_relaxed);
		done = do_op(r, &r->p->op[r->op]);
		atomic_fetch_add_explicit(done ? &r->board->operations : &r->board->skipped, 1,
					  memory_order_relaxed);
	}
	if (!going_on(r))
		return;
	atomic_store_explicit(&r->board->at, r->p->n, memory_order_relaxed);
	quiesce(r);
	for (unsigned t = 0; t < PROGRAM_TABLES && going_on(r); t++)
		collect(r, t, false, false);
	if (going_on(r) && r->consumer != NULL)
		ask_consumer(r);
}

_Noreturn static void run_here(const struct program *p, enum cardmark_backend backend,
			       struct board *board)
{
	/* Not from malloc, nor in .bss next to what a test tracks. */
	the_run = mmap(NULL, sizeof *the_run, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (the_run == MAP_FAILED)
		_exit(2);
	(void)alarm(PROGRAM_SECONDS);
	the_run->p = p;
	the_run->backend = backend;
	the_run->board = board;
	if (p->faults != 0) /* before there are threads that call */
		broken_os_fail_randomly(broken_os_begin(), p->faults, p->seed);
	if (begin(the_run) == 0) {
		run_from(the_run, 0);
		if (going_on(the_run)) {
			writers_end(the_run);
			cardmark_close(&the_run->cm);
		}
	}
	_exit(0);
}

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void take_counts(const struct board *b, struct counts *c)
{
	*c = (struct counts){ .programs = 1,
			      .operations = get(&b->operations),
			      .skipped = get(&b->skipped),
			      .writes = get(&b->writes),
			      .refused = get(&b->refused),
			      .collects = get(&b->collects),
			      .running = get(&b->running),
			      .guessed = get(&b->guessed),
			      .scans = get(&b->scans),
			      .precleans = get(&b->precleans),
			      .forks = get(&b->forks),
			      .checked = get(&b->checked),
			      .changed = get(&b->changed),
			      .reported = get(&b->reported),
			      .over = get(&b->over),
			      .lost = get(&b->lost) };
}

void program_run(const struct program *p, enum cardmark_backend backend, struct outcome *out)
{
	size_t bytes = 4096;
	struct board *board =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	memset(out, 0, sizeof *out);
	out->verdict = VERDICT_BROKEN;
	if (board == MAP_FAILED)
		return;
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_here(p, backend, board);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	out->verdict = (enum verdict)atomic_load_explicit(&board->verdict, memory_order_acquire);
	out->op = atomic_load_explicit(&board->op, memory_order_relaxed);
	memcpy(out->text, board->text, sizeof out->text);
	take_counts(board, &out->counts);
	if (pid < 0 ||
	    (WIFEXITED(status) && WEXITSTATUS(status) != 0 && out->verdict == VERDICT_FINE)) {
		out->verdict = VERDICT_BROKEN;
		(void)snprintf(out->text, sizeof out->text, "exit status %d", WEXITSTATUS(status));
	} else if (WIFSIGNALED(status) && out->verdict == VERDICT_FINE) {
		out->verdict = WTERMSIG(status) == SIGALRM ? VERDICT_HUNG : VERDICT_DIED;
		out->op = atomic_load_explicit(&board->at, memory_order_relaxed);
		(void)snprintf(out->text, sizeof out->text, "signal %d", WTERMSIG(status));
	}
	(void)munmap(board, bytes);
}

/* ---- Counts ---------------------------------------------------------------------------- */

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = { "fine", "lost", "wrong", "died", "hung", "broken" };

	return names[v];
}

void counts_add(struct counts *sum, const struct counts *c)
{
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)c;

	for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
		to[i] += from[i];
}

static unsigned long long ull(uint64_t v)
{
	return (unsigned long long)v;
}

void counts_print(const char *who, const struct counts *c)
{
	(void)printf("# %s: %llu programs, %llu operations (%llu did not apply), %llu writes (%llu "
		     "refused), %llu collects (%llu with writers running, %llu guessed), %llu "
		     "scans, %llu precleans, %llu forks; %llu cards compared, %llu changed, %llu "
		     "reported, %llu over-reported, %llu lost\n",
		     who, ull(c->programs), ull(c->operations), ull(c->skipped), ull(c->writes),
		     ull(c->refused), ull(c->collects), ull(c->running), ull(c->guessed),
		     ull(c->scans), ull(c->precleans), ull(c->forks), ull(c->checked),
		     ull(c->changed), ull(c->reported), ull(c->over), ull(c->lost));
	(void)fflush(stdout);
}
