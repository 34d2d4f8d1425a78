/* SPDX-License-Identifier: MIT
 *
 * Which backends work here. The probe uses them on scratch pages, because kernel versions mislead
 * (a vendor has PAGEMAP_SCAN in 6.6; clear_refs "succeeds" on kernels that track nothing) (R11,
 * R12). */
#include "lib/errors.h"
#include "lib/os/os.h"
#include "lib/os/release.h"
#include "lib/sized.h"
#include "lib/tracker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* In order of preference, best first. The one place that has it. */
static const struct cm_backend_ops *const backends[] = {
	&cm_backend_pagemap,  &cm_backend_softdirty, &cm_backend_uffd,
	&cm_backend_mprotect, &cm_backend_alldirty,
};

#define BACKENDS (sizeof backends / sizeof backends[0])

enum { PAGES = 4 };

/* The kernel's behaviour in a trial does not change, so the result is kept. A failed call is not
 * kept: a used-up resource may be free later, and a call may be refused to this thread only
 * (seccomp). */
static struct cardmark_probe cache[BACKENDS];
static int cached_error[BACKENDS];
static bool cached[BACKENDS];

/* ---- Words ------------------------------------------------------------------- */

/* "why: the kernel's error". If why is the whole reason, only that. */
static void explain(char *text, size_t len, const char *why, int error)
{
	bool whole = error == 0 || error == -ENOTSUP || error == -EBUSY;

	(void)snprintf(text, len, "%s%s%s", why, whole ? "" : ": ",
		       whole ? "" : cm_errno_text(error));
}

/* ---- A trial --------------------------------------------------------------------- */

struct trial {
	struct cm_backend *b;
	struct cm_ranges all;
	struct cm_cards cards;
	struct cm_counters counters;
	bool guessed;
	int error; /* of a call that failed */
};

/* What a harvest reports of the scratch pages, a bit each; ~0u if it guessed. */
static unsigned reported(struct trial *t)
{
	unsigned bits = 0;

	cm_cards_clear_all(&t->cards);
	if (t->b->ops->harvest(t->b, &t->all, CM_ALL, &t->cards) != 0) {
		t->guessed = true;
		return ~0u;
	}
	for (unsigned i = 0; i < PAGES; i++)
		if (cm_cards_test(&t->cards, t->all.v[0].start + i * cardmark_card_size()))
			bits |= 1u << i;
	return bits;
}

static int store_by_read(char *to)
{
	int ends[2], error = cm_os->pipe(ends);
	ssize_t n;

	if (error < 0)
		return error;
	n = cm_os->write(ends[1], "x", 1);
	if (n == 1)
		n = cm_os->read(ends[0], to, 1);
	(void)cm_os->close(ends[0]);
	(void)cm_os->close(ends[1]);
	return n == 1 ? 0 : n < 0 ? (int)n : -EIO;
}

/* A write by the kernel for us. EFAULT: the page refuses it. poll(2) writes its result into its
 * argument, and needs no descriptor, which the backend may need itself. */
static int kernel_store(char *to)
{
	int n = cm_os->poll((struct pollfd *)(void *)to, 1, 0);

	return n >= 0 ? 0 : n == -EFAULT ? n : store_by_read(to);
}

/* "" if it behaves, or what it did wrong. */
static const char *behaviour(struct trial *t, unsigned caps)
{
	volatile char *page = (volatile char *)t->all.v[0].start;
	size_t card = cardmark_card_size();
	unsigned got;

	for (size_t i = 0; i < PAGES; i++)
		page[i * card] = 1;
	t->error = t->b->ops->add(t->b, &t->all.v[0]);
	if (t->error < 0)
		return "memory cannot be watched";
	if (reported(t) != 0xf)
		return "it does not report pages that were written before it first looked";
	if (!(caps & CARDMARK_CAP_PRECISE))
		return "";
	if (reported(t) != 0)
		return "clearing has no effect: it reports pages that were not written";
	page[card] = 2;
	got = reported(t);
	if (got == 0)
		return "it accepts the requests but reports no write: the kernel is built without "
		       "it";
	if (got != 0x2)
		return "it reports pages that were not written, or misses written ones";
	if (caps & CARDMARK_CAP_KERNEL_WRITES) {
		t->error = kernel_store((char *)(t->all.v[0].start + 2 * card));
		if (t->error == -EFAULT)
			t->error = 0; /* it does what it promised not to do: a fact */
		else if (t->error < 0)
			return "the kernel writes nothing for the trial: neither poll(2) nor a "
			       "read(2) of a pipe works";
		else if (reported(t) != 0x4)
			return "it misses what a system call writes into watched memory";
		else
			return reported(t) == 0 ? "" : "clearing has no effect";
		return "a system call cannot write into watched memory";
	}
	return reported(t) == 0 ? "" : "clearing has no effect";
}

/* 0, -ENOTSUP for what the kernel did, or the error of the call that failed. */
static int judge(struct trial *t, const char **why)
{
	int noted = atomic_load_explicit(&t->counters.last_errno, memory_order_relaxed);

	if (**why == '\0')
		return 0;
	if (t->error < 0)
		return t->error;
	if (!t->guessed && noted == 0)
		return -ENOTSUP;
	*why = "a call failed in the middle of its trial";
	return noted != 0 ? -noted : -EAGAIN;
}

static int try_open_one(struct trial *t, const struct cm_backend_ops *ops, void *mem,
			struct cardmark_probe *out, const char **why)
{
	struct cm_backend_params params = { .chunk_bytes = (size_t)1 << 26,
					    .vec_len = 512,
					    .counters = &t->counters };
	size_t len = PAGES * cardmark_card_size();
	int error = cm_cards_init(&t->cards);

	if (error == 0)
		error = cm_ranges_reserve(&t->all, 1);
	if (error == 0)
		error = cm_cards_reserve(&t->cards, (uintptr_t)mem, (uintptr_t)mem + len);
	if (error == 0)
		error = ops->open(&t->b, &params, why);
	if (error < 0)
		return error;
	cm_ranges_add(&t->all, (struct cm_range){ (uintptr_t)mem, (uintptr_t)mem + len,
						  CM_KIND_PRIVATE, PROT_READ | PROT_WRITE });
	out->capabilities =
		ops->capabilities_now != NULL ? ops->capabilities_now(t->b) : ops->capabilities;
	out->categories = ops->categories(t->b);
	out->level = ops->level;
	if (out->categories & CARDMARK_PAGE_GUARD)
		out->level++;
	*why = behaviour(t, out->capabilities);
	error = judge(t, why);
	ops->close(t->b, &t->all);
	return error;
}

/* *fact: the kernel will do the same again. */
static int try_backend(const struct cm_backend_ops *ops, struct cardmark_probe *out,
		       const char **why, bool *fact)
{
	struct trial t = { .b = NULL };
	size_t len = PAGES * cardmark_card_size();
	void *mem = NULL;
	int error;

	*fact = false;
	*why = "no memory for scratch pages";
	error = cm_os->map(len, &mem);
	if (error < 0)
		return error;
	error = try_open_one(&t, ops, mem, out, why);
	*fact = t.b != NULL && (error == 0 || error == -ENOTSUP);
	cm_cards_free(&t.cards);
	cm_ranges_free(&t.all);
	(void)cm_os->unmap(mem, len);
	return error;
}

static const char *remark(enum cardmark_backend backend, unsigned caps)
{
	switch (backend) {
	case CARDMARK_BACKEND_PAGEMAP:
		return "atomic get-and-clear in the kernel: no signals, no threads";
	case CARDMARK_BACKEND_SOFTDIRTY:
		return "sound only while writers are stopped; clears the whole process's bits";
	case CARDMARK_BACKEND_UFFD:
		return caps & CARDMARK_CAP_KERNEL_WRITES
			       ? "a monitor thread takes part in every first write"
			       : "a monitor thread takes part in every first write; read(2) into "
				 "clean "
				 "memory fails with EFAULT (needs CAP_SYS_PTRACE, "
				 "vm.unprivileged_userfaultfd=1 or read access to "
				 "/dev/userfaultfd)";
	case CARDMARK_BACKEND_MPROTECT:
		return "a signal for every first write, and split mappings; read(2) into clean "
		       "memory fails with EFAULT";
	default:
		return "reports everything, always";
	}
}

static void append(char *text, size_t len, const char *more)
{
	size_t used = strlen(text);

	if (used < len)
		(void)snprintf(text + used, len - used, "%s", more);
}

/* Remarks that do not come from the trial. Not kept with its result. */
static void describe_kernel(struct cardmark_probe *p)
{
	if (p->backend != CARDMARK_BACKEND_PAGEMAP || !p->usable)
		return;
	/* No trial can show the fix of 6.9 (R18). A vendor's older number may have it, which
	 * cannot be found out. */
	p->suspect = cm_release_before(6, 9);
	if (p->suspect)
		append(p->reason, sizeof p->reason,
		       "; before Linux 6.9 a scan could lose written bits, so it is used only "
		       "when asked for by name");
	if (!(p->categories & CARDMARK_PAGE_SOFT_DIRTY))
		append(p->reason, sizeof p->reason, "; does not know SOFT_DIRTY (6.8)");
	if (!(p->categories & CARDMARK_PAGE_GUARD))
		append(p->reason, sizeof p->reason, "; does not know GUARD (6.16)");
}

/* Under the lock. */
static void find_out(size_t i)
{
	struct cardmark_probe *p = &cache[i];
	const char *why;
	int error;

	p->backend = backends[i]->id;
	error = try_backend(backends[i], p, &why, &cached[i]);
	if (error < 0 && cm_open_error(error) != -ENOMEM) /* not by one call that was interrupted */
		error = try_backend(backends[i], p, &why, &cached[i]);
	p->usable = error == 0;
	if (!p->usable)
		p->level = p->capabilities = 0, p->categories = 0;
	explain(p->reason, sizeof p->reason, p->usable ? remark(p->backend, p->capabilities) : why,
		error);
	cached_error[i] = error;
}

static int probe_one(size_t i, struct cardmark_probe *out)
{
	sigset_t before, traps;
	int error;

	(void)cm_fork_set_up(); /* a fork waits for the probe to end */
	/* A handler on this thread that forks would wait for the lock for ever. */
	cm_signals_block(&before);
	/* A trap of the trial would end a program that blocks SIGSEGV. */
	(void)sigemptyset(&traps);
	(void)sigaddset(&traps, SIGSEGV);
	(void)pthread_sigmask(SIG_UNBLOCK, &traps, NULL);
	cm_fork_lock();
	if (!cached[i])
		find_out(i);
	*out = cache[i];
	error = cached_error[i];
	cm_fork_unlock();
	cm_signals_restore(&before);
	describe_kernel(out);
	return error;
}

/* The backend worked in its trial, and now it does not: the next probe tries again. */
static void forget(size_t i)
{
	sigset_t before;

	cm_signals_block(&before);
	cm_fork_lock();
	cached[i] = false;
	cm_fork_unlock();
	cm_signals_restore(&before);
}

int cardmark_probe(unsigned index, struct cardmark_probe *out)
{
	struct cardmark_probe p;
	int error = cm_sized_check("cardmark_probe", out);

	if (error < 0)
		return error;
	if (index >= BACKENDS)
		return cm_fail(-ENOENT, "cardmark_probe: there are only %zu backends", BACKENDS);
	(void)probe_one(index, &p);
	cm_sized_give(out, &p, sizeof p);
	return 0;
}

/* Opens a backend. -errno, and why not in reason. */
static int open_one(size_t i, const struct cardmark_options *o,
		    const struct cm_backend_params *params, struct cm_backend **out, char *reason,
		    size_t len)
{
	bool automatic = o->backend == CARDMARK_BACKEND_AUTO;
	struct cardmark_probe p;
	const char *why = "";
	int error;

	if (automatic && o->flags & CARDMARK_OPEN_CONCURRENT &&
	    !(backends[i]->capabilities & CARDMARK_CAP_CONCURRENT)) {
		/* Not tried: softdirty's trial clears the whole process's bits. */
		explain(reason, len, "not sound while mutators write", 0);
		return -ENOTSUP;
	}
	error = probe_one(i, &p);
	explain(reason, len, p.reason, 0);
	if (error < 0)
		return error;
	if (p.suspect && automatic)
		return -ENOTSUP;
	error = backends[i]->open(out, params, &why);
	if (error < 0) {
		explain(reason, len, why, error);
		forget(i);
	}
	return error;
}

/* The best two backends often lack the same feature. first is kept for that. */
static void add_reason(char *why, size_t len, size_t i, const char *reason, char *first)
{
	size_t used = strlen(why);
	bool same = i > 0 && strcmp(reason, first) == 0;

	if (i == 0)
		memcpy(first, reason, strlen(reason) + 1);
	/* Cut short rather than lost. */
	(void)snprintf(why + used, len - used, "%s%s: %s%s", used == 0 ? "" : "; ",
		       cardmark_backend_name(backends[i]->id), same ? "as " : "",
		       same ? cardmark_backend_name(backends[0]->id) : reason);
}

int cm_probe_open(struct cm_backend **out, const struct cardmark_options *o,
		  const struct cm_backend_params *params, char *why, size_t len)
{
	char reason[sizeof(((struct cardmark_probe *)0)->reason)];
	char first[sizeof reason] = "";
	int result = -ENOTSUP;

	*why = '\0';
	for (size_t i = 0; i < BACKENDS; i++) {
		const char *name = cardmark_backend_name(backends[i]->id);
		int error;

		if (o->backend != CARDMARK_BACKEND_AUTO && o->backend != backends[i]->id)
			continue;
		error = open_one(i, o, params, out, reason, sizeof reason);
		if (error == 0)
			return 0;
		error = cm_open_error(error);
		if (o->backend != CARDMARK_BACKEND_AUTO)
			return cm_fail(error, "backend %s cannot work here: %s", name, reason);
		if (error == -ENOMEM)
			result = error; /* with more of it one might work */
		add_reason(why, len, i, reason, first);
	}
	return cm_fail(result, "no backend can work here: %s", why);
}
