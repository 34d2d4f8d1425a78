/* SPDX-License-Identifier: MIT
 *
 * The interpreter's writers: each way to write to memory, and threads that write while the
 * first one goes on. */
#include "tests/soundness/random/program_state.h"

#include "tests/support/random.h"
#include "tests/support/tap.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Never the library's, which begin at 200; kept when the program closes all. */
#define OUR_FDS 900

typedef uint64_t vector __attribute__((vector_size(32), aligned(1), may_alias));

bool may_write(const struct run *r, size_t i)
{
	const struct page *p = &r->page[i];

	/* A child's writes to shared memory reach the parent unseen by its page table (R13). */
	return p->mapped && p->writable && !p->guard && !(p->shared && r->depth > 0);
}

/* ---- Ways to write ------------------------------------------------------------ */

static _Thread_local struct {
	unsigned char *to;
	const unsigned char *from;
	size_t len;
} errand;

TAP_RACY __attribute__((noinline)) static void store(unsigned char *to, const unsigned char *from,
						     size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile unsigned char *)to)[i] = from[i];
}

static void on_signal(int sig)
{
	(void)sig;
	store(errand.to, errand.from, errand.len);
}

TAP_RACY __attribute__((noinline)) static void store_vectors(unsigned char *to,
							     const unsigned char *from, size_t len)
{
	size_t i = 0;

	for (; i + sizeof(vector) <= len; i += sizeof(vector)) {
		vector v;
		memcpy(&v, from + i, sizeof v);
		*(vector *)(void *)(to + i) = v;
	}
	if (i < len)
		store(to + i, from + i, len - i);
}

TAP_RACY __attribute__((noinline)) static void add_atomically(unsigned char *to,
							      const unsigned char *from, size_t len)
{
	uintptr_t first = (uintptr_t)to & ~(uintptr_t)7;

	for (uintptr_t at = first; at + 8 <= ((uintptr_t)to + len + 7) / 8 * 8; at += 8)
		(void)atomic_fetch_add_explicit((_Atomic uint64_t *)at, from[0] | 1u,
						memory_order_relaxed);
}

/* Returns how many bytes, or -1: refused. The kernel's writes are by bare calls: two at once
 * to the same bytes are intended, and TSan checks those of the C library. */
static ssize_t write_now(struct worker *me, enum write_how how, unsigned char *to, size_t len,
			 uint64_t rng)
{
	struct iovec from = { me->buf, len }, into = { to, len };

	switch (how) {
	case WRITE_STORE:
		store(to, me->buf, len);
		break;
	case WRITE_COPY:
		if (TAP_TSAN)
			store(to, me->buf, len);
		else
			memcpy(to, me->buf, len);
		break;
	case WRITE_VECTOR:
		store_vectors(to, me->buf, len);
		break;
	case WRITE_ATOMIC:
		add_atomically(to, me->buf, len);
		break;
	case WRITE_SIGNAL:
		if (TAP_TSAN) { /* runs handlers with all signals blocked, SIGSEGV too */
			store(to, me->buf, len);
			break;
		}
		errand.to = to;
		errand.from = me->buf;
		errand.len = len;
		(void)pthread_kill(pthread_self(), SIGUSR2);
		break;
	case WRITE_READ:
		if (write(me->pipe[1], me->buf, len) != (ssize_t)len)
			return -1;
		for (size_t got = 0; got < len;) {
			ssize_t n = syscall(SYS_read, me->pipe[0], to + got, len - got);
			if (n <= 0) { /* EFAULT: the rest is still in the pipe */
				while (got < len && (n = read(me->pipe[0], me->buf, len - got)) > 0)
					got += (size_t)n;
				return -1;
			}
			got += (size_t)n;
		}
		break;
	case WRITE_PREAD:
		return syscall(SYS_pread64, me->r->noise, to, len, (long)(rng % 4096));
	case WRITE_VMWRITE:
		return syscall(SYS_process_vm_writev, getpid(), &from, 1ul, &into, 1ul, 0ul);
	}
	return (ssize_t)len;
}

/* ---- One write, and the note of it ---------------------------------------------- */

static void note(struct worker *me, uintptr_t start, uintptr_t end, uint64_t e1, uint64_t e2)
{
	struct run *r = me->r;
	size_t first = (start - (uintptr_t)r->base) / r->card;
	size_t last = (end - 1 - (uintptr_t)r->base) / r->card;

	if (e1 != e2 || e1 % 2 != 0)
		return; /* only the hash shows which answer has it */
	for (size_t i = first; i <= last; i++) {
		if (me->id == 0)
			must_report(r, i);
		else
			atomic_store_explicit(&r->page[i].period, e1 / 2 + 1, memory_order_release);
	}
}

/* The number of bytes that may be written from at on, at most len. */
static size_t room(const struct run *r, size_t page, size_t offset, size_t len)
{
	size_t end = offset + len, have = 0;

	for (size_t i = page; i < PROGRAM_PAGES && may_write(r, i) && have < end; i++)
		have += r->card;
	return have <= offset ? 0 : (have < end ? have : end) - offset;
}

static void write_at(struct worker *me, enum write_how how, size_t page, size_t offset, size_t len,
		     uint64_t rng)
{
	struct run *r = me->r;
	unsigned char *to = page_at(r, page) + offset;
	uint64_t e1, e2;
	ssize_t done;

	if (how == WRITE_ATOMIC && offset % 8 + len > r->card)
		len = 1;
	len = room(r, page, offset, len);
	if (len == 0)
		return;
	for (size_t i = 0; i < len && i < 256; i++)
		me->buf[i] = (unsigned char)random_next(&rng);
	if (how == WRITE_VMWRITE)
		(void)pthread_rwlock_wrlock(&r->pins);
	e1 = atomic_load_explicit(&r->epoch, memory_order_seq_cst);
	done = write_now(me, how, to, len, random_next(&rng));
	e2 = atomic_load_explicit(&r->epoch, memory_order_seq_cst);
	if (how == WRITE_VMWRITE)
		(void)pthread_rwlock_unlock(&r->pins);
	if (done > 0)
		note(me, (uintptr_t)to, (uintptr_t)to + (size_t)done, e1, e2);
	atomic_fetch_add_explicit(done > 0 ? &r->board->writes : &r->board->refused, 1,
				  memory_order_relaxed);
}

void write_op(struct worker *me, const struct op *op)
{
	struct span s = span_of(op);
	size_t times = op->v[O_TIMES] == 0 ? 1 : op->v[O_TIMES];
	size_t offset = op->v[O_OFFSET] % me->r->card;
	size_t len = op->v[O_BYTES] == 0 ? 1 : op->v[O_BYTES];

	if (len > WRITE_MOST)
		len = WRITE_MOST;
	for (size_t k = 0; k < times; k++)
		write_at(me, (enum write_how)(op->v[O_HOW] % 8), s.from + k % (s.to - s.from),
			 offset, len, (uint64_t)op->v[O_SEED] * 1000003 + k);
}

/* ---- Threads ---------------------------------------------------------------------- */

static void preclean_here(struct run *r)
{
	int error;

	(void)pthread_rwlock_rdlock(&r->pins);
	error = cardmark_preclean(r->cm);
	(void)pthread_rwlock_unlock(&r->pins);
	if (error < 0 && r->p->faults == 0)
		fail(r, VERDICT_WRONG, "preclean: %s", cardmark_last_error());
	if (program_after_preclean != NULL)
		program_after_preclean(r->cm);
	atomic_fetch_add_explicit(&r->board->precleans, 1, memory_order_relaxed);
}

static void do_op(struct worker *me, const struct op *op)
{
	if (op->kind == OP_WRITE)
		write_op(me, op);
	else
		preclean_here(me->r);
}

static void *work(void *arg)
{
	struct worker *me = arg;

	(void)pthread_mutex_lock(&me->lock);
	me->runs = true;
	(void)pthread_cond_broadcast(&me->changed);
	for (;;) {
		const struct op *op;

		while (me->waiting == 0)
			(void)pthread_cond_wait(&me->changed, &me->lock);
		op = me->queue[me->first];
		if (op == NULL)
			break;
		(void)pthread_mutex_unlock(&me->lock);
		do_op(me, op);
		(void)pthread_mutex_lock(&me->lock);
		me->first = (me->first + 1) % QUEUE;
		me->waiting--;
		(void)pthread_cond_broadcast(&me->changed);
	}
	(void)pthread_mutex_unlock(&me->lock);
	return NULL;
}

/* Waits for it: a starting thread is in ASan's allocator. A child forked then would find that
 * lock taken for ever. */
static void start(struct worker *w)
{
	w->runs = false;
	w->started = pthread_create(&w->thread, NULL, work, w) == 0;
	if (!w->started) {
		fail(w->r, VERDICT_BROKEN, "no thread");
		return;
	}
	(void)pthread_mutex_lock(&w->lock);
	while (!w->runs)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
}

static void enqueue(struct worker *w, const struct op *op)
{
	if (!w->started)
		start(w);
	(void)pthread_mutex_lock(&w->lock);
	while (w->waiting == QUEUE)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	w->queue[(w->first + w->waiting++) % QUEUE] = op;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
}

void hand_to_worker(struct run *r, const struct op *op)
{
	unsigned id = op->v[O_THREAD] % PROGRAM_THREADS;

	if (id == 0 || r->cloned)
		do_op(&r->worker[0], op);
	else
		enqueue(&r->worker[id], op);
}

void quiesce(struct run *r)
{
	uint64_t period = atomic_load_explicit(&r->epoch, memory_order_relaxed) / 2 + 1;

	for (unsigned k = 1; k < PROGRAM_THREADS; k++) {
		struct worker *w = &r->worker[k];

		if (!w->started)
			continue;
		(void)pthread_mutex_lock(&w->lock);
		while (w->waiting > 0)
			(void)pthread_cond_wait(&w->changed, &w->lock);
		(void)pthread_mutex_unlock(&w->lock);
	}
	for (size_t i = 0; i < PROGRAM_PAGES; i++) {
		struct page *p = &r->page[i];

		if (atomic_load_explicit(&p->period, memory_order_acquire) != period || p->must)
			continue;
		p->must = true; /* it may have been before a scan that reported it */
		p->since = r->op;
	}
}

bool running(struct run *r, const struct op *op)
{
	if (op->v[O_RUNNING] != 0 && can(r, CARDMARK_CAP_CONCURRENT))
		return true;
	quiesce(r);
	return false;
}

void writers_end(struct run *r)
{
	for (unsigned k = 1; k < PROGRAM_THREADS; k++) {
		struct worker *w = &r->worker[k];

		if (!w->started)
			continue;
		enqueue(w, NULL);
		(void)pthread_join(w->thread, NULL);
		w->started = false;
	}
}

/* Only the thread that forked is here; it held none of these. */
void writers_after_fork(struct run *r)
{
	(void)pthread_rwlock_init(&r->pins, NULL);
	for (unsigned k = 0; k < PROGRAM_THREADS; k++) {
		struct worker *w = &r->worker[k];

		w->started = false;
		w->first = w->waiting = 0;
		(void)pthread_mutex_init(&w->lock, NULL);
		(void)pthread_cond_init(&w->changed, NULL);
	}
}

int make_writers(struct run *r)
{
	struct sigaction act = { .sa_handler = on_signal };

	for (unsigned k = 0; k < PROGRAM_THREADS; k++) {
		struct worker *w = &r->worker[k];
		int fds[2];

		w->r = r;
		w->id = k;
		if (pipe(fds) < 0)
			return -1;
		for (int e = 0; e < 2; e++) {
			w->pipe[e] = dup2(fds[e], OUR_FDS + 2 * (int)k + e);
			(void)close(fds[e]);
			if (w->pipe[e] < 0)
				return -1;
		}
		memset(w->buf, 0x5a, sizeof w->buf);
	}
	writers_after_fork(r);
	return sigaction(SIGUSR2, &act, NULL);
}
