/* SPDX-License-Identifier: MIT
 *
 * Which backends work here: found out by using them on scratch pages, because
 * kernel versions lie (a vendor has PAGEMAP_SCAN in 6.6; clear_refs "succeeds"
 * on kernels that track nothing) (R11, R12). */
#include "lib/os/os.h"
#include "lib/tracker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* In order of preference. */
const struct cm_backend_ops *const cm_backends[CARDMARK_BACKEND_COUNT - 1] = {
	&cm_backend_pagemap,  &cm_backend_softdirty, &cm_backend_uffd,
	&cm_backend_mprotect, &cm_backend_alldirty,
};

enum { PAGES = 4 };

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cardmark_probe cache[CARDMARK_BACKEND_COUNT - 1];
static int cached_error[CARDMARK_BACKEND_COUNT - 1];
static bool cached[CARDMARK_BACKEND_COUNT - 1];

/* What a harvest says of the scratch pages, a bit each; ~0u if it guessed. */
static unsigned reported(struct cm_backend *b, const struct cm_ranges *all, struct cm_cards *cards)
{
	unsigned bits = 0;

	cm_cards_clear_all(cards);
	if (b->ops->harvest(b, all, CM_ALL, cards) != 0)
		return ~0u;
	for (unsigned i = 0; i < PAGES; i++)
		if (cm_cards_test(cards, all->v[0].start + i * cardmark_card_size()))
			bits |= 1u << i;
	return bits;
}

/* A write by the kernel on our behalf. */
static bool kernel_store(char *to)
{
	int ends[2];
	bool done;

	if (cm_os->pipe(ends) < 0)
		return false;
	done = cm_os->write(ends[1], "x", 1) == 1 && cm_os->read(ends[0], to, 1) == 1;
	(void)cm_os->close(ends[0]);
	(void)cm_os->close(ends[1]);
	return done;
}

/* "" if it behaves, or what it did wrong. */
static const char *behaviour(struct cm_backend *b, unsigned caps, const struct cm_ranges *all,
			     struct cm_cards *cards)
{
	volatile char *page = (volatile char *)all->v[0].start;
	size_t card = cardmark_card_size();
	unsigned got;

	for (size_t i = 0; i < PAGES; i++)
		page[i * card] = 1;
	if (b->ops->add(b, &all->v[0]) < 0)
		return "memory could not be put under watch";
	if (reported(b, all, cards) != 0xf)
		return "it does not report pages that were written before it first looked";
	if (!(caps & CARDMARK_CAP_PRECISE))
		return "";
	if (reported(b, all, cards) != 0)
		return "clearing does not clear: it reports pages nobody wrote";
	page[card] = 2;
	got = reported(b, all, cards);
	if (got == 0)
		return "it accepts the requests but reports no write: the kernel is built without "
		       "it";
	if (got != 0x2)
		return "it reports pages nobody wrote, or misses some";
	if (caps & CARDMARK_CAP_KERNEL_WRITES) {
		if (!kernel_store((char *)(all->v[0].start + 2 * card)))
			return "read(2) into watched memory fails";
		if (reported(b, all, cards) != 0x4)
			return "it misses a read(2) into watched memory";
	}
	return reported(b, all, cards) == 0 ? "" : "clearing does not clear";
}

static const char *try_backend(const struct cm_backend_ops *ops, struct cardmark_probe *out,
			       int *error)
{
	static const char no_memory[] = "no memory for scratch pages";
	struct cm_counters counters = { 0 };
	struct cm_backend_params params = { .chunk_bytes = (size_t)1 << 26,
					    .vec_len = 512,
					    .counters = &counters };
	struct cm_ranges all = { 0 };
	struct cm_cards cards = { 0 };
	struct cm_backend *b = NULL;
	size_t len = PAGES * cardmark_card_size();
	const char *why = no_memory;
	void *mem = NULL;

	*error = -ENOMEM;
	if (cm_os->map(len, &mem) < 0)
		return no_memory;
	*error = cm_cards_init(&cards);
	if (*error == 0)
		*error = cm_ranges_reserve(&all, 1);
	if (*error == 0)
		*error = cm_cards_reserve(&cards, (uintptr_t)mem, (uintptr_t)mem + len);
	if (*error == 0)
		*error = ops->open(&b, &params, &why);
	if (*error == 0) {
		cm_ranges_add(&all, (struct cm_range){ (uintptr_t)mem, (uintptr_t)mem + len,
						       CM_KIND_PRIVATE, PROT_READ | PROT_WRITE });
		out->capabilities = ops->capabilities_now != NULL ? ops->capabilities_now(b)
								  : ops->capabilities;
		out->categories = ops->categories(b);
		out->level = ops->level;
		if (out->categories & CARDMARK_PAGE_GUARD)
			out->level++;
		why = behaviour(b, out->capabilities, &all, &cards);
		if (*why != '\0')
			*error = -ENOTSUP;
		ops->close(b, &all);
	}
	cm_cards_free(&cards);
	cm_ranges_free(&all);
	(void)cm_os->unmap(mem, len);
	return why;
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
				 "memory fails with EFAULT (needs CAP_SYS_PTRACE or "
				 "vm.unprivileged_userfaultfd=1)";
	case CARDMARK_BACKEND_MPROTECT:
		return "a signal for every first write, mappings are split; read(2) into clean "
		       "memory "
		       "fails with EFAULT";
	default:
		return "reports everything, always";
	}
}

void cm_probe_lock(void)
{
	(void)pthread_mutex_lock(&cache_lock);
}

void cm_probe_unlock(void)
{
	(void)pthread_mutex_unlock(&cache_lock);
}

void cm_probe_reset_lock(void)
{
	(void)pthread_mutex_init(&cache_lock, NULL);
}

/* Said for good? What is used up or out of reach now may be there later. */
static bool final(int error)
{
	return error == -ENOTSUP || error == -EPERM || error == -EACCES;
}

/* Is the kernel older than 6.9, whose fix no trial can show (R18)? A vendor's older
 * number may have it; nobody can tell. What cannot be read counts as old. */
static bool may_lose_in_scan(void)
{
	char release[64];
	char *at = release;
	unsigned long major, minor;

	if (cm_os->release(release, sizeof release) < 0)
		return true;
	major = strtoul(at, &at, 10);
	minor = *at == '.' ? strtoul(at + 1, NULL, 10) : 0;
	return major < 6 || (major == 6 && minor < 9);
}

static void append(char *text, size_t len, const char *more)
{
	size_t used = strlen(text);

	if (used < len)
		(void)snprintf(text + used, len - used, "%s", more);
}

/* What a trial does not show. Not kept with its result. */
static void describe_kernel(struct cardmark_probe *p)
{
	if (p->backend != CARDMARK_BACKEND_PAGEMAP || !p->usable)
		return;
	p->suspect = may_lose_in_scan();
	if (p->suspect)
		append(p->reason, sizeof p->reason,
		       "; before Linux 6.9 a scan could lose written bits, so it is used only "
		       "when asked for by name");
	if (!(p->categories & CARDMARK_PAGE_SOFT_DIRTY))
		append(p->reason, sizeof p->reason, "; does not know SOFT_DIRTY (6.8)");
	if (!(p->categories & CARDMARK_PAGE_GUARD))
		append(p->reason, sizeof p->reason, "; does not know GUARD (6.16)");
}

static int probe_one(size_t i, struct cardmark_probe *out)
{
	struct cardmark_probe *p = &cache[i];
	int error;

	(void)cm_fork_set_up(); /* a fork waits for the probe to end */
	cm_probe_lock();
	if (!cached[i]) {
		const char *why;

		p->backend = cm_backends[i]->id;
		why = try_backend(cm_backends[i], p, &cached_error[i]);
		if (final(cached_error[i])) /* not by one call that was interrupted */
			why = try_backend(cm_backends[i], p, &cached_error[i]);
		p->usable = cached_error[i] == 0;
		if (p->usable)
			why = remark(p->backend, p->capabilities);
		else
			p->level = p->capabilities = 0, p->categories = 0;
		(void)snprintf(p->reason, sizeof p->reason, "%s", why);
		cached[i] = p->usable || final(cached_error[i]);
	}
	*out = *p;
	error = cached_error[i];
	cm_probe_unlock();
	describe_kernel(out);
	return error;
}

int cardmark_probe(struct cardmark_probe *out, size_t n)
{
	for (size_t i = 0; i < n && i < CARDMARK_BACKEND_COUNT - 1; i++)
		(void)probe_one(i, &out[i]);
	return CARDMARK_BACKEND_COUNT - 1;
}

int cm_probe_choose(const struct cardmark_options *o, const struct cm_backend_ops **out, char *why,
		    size_t len)
{
	struct cardmark_probe p;
	size_t used = 0;

	*why = '\0';
	for (size_t i = 0; i < CARDMARK_BACKEND_COUNT - 1; i++) {
		const struct cm_backend_ops *ops = cm_backends[i];
		const char *reason = p.reason;
		int error;

		if (o->backend != CARDMARK_BACKEND_AUTO && o->backend != ops->id)
			continue;
		if (o->backend == CARDMARK_BACKEND_AUTO && o->flags & CARDMARK_OPEN_CONCURRENT &&
		    !(ops->capabilities & CARDMARK_CAP_CONCURRENT)) {
			/* Not tried: softdirty's trial clears the whole process's bits. */
			reason = "not sound while mutators write";
			error = -ENOTSUP;
		} else {
			error = probe_one(i, &p);
			if (error == 0 && p.suspect && o->backend == CARDMARK_BACKEND_AUTO)
				error = -ENOTSUP;
		}
		if (o->backend != CARDMARK_BACKEND_AUTO && error < 0)
			return cm_fail(cm_closed_error(error), "backend %s can't work here: %s",
				       cardmark_backend_name(ops->id), p.reason);
		if (error == 0) {
			*out = ops;
			return 0;
		}
		if (used < len) /* cut short rather than lost */
			used += (size_t)snprintf(why + used, len - used, "%s%s: %s",
						 used == 0 ? "" : "; ",
						 cardmark_backend_name(ops->id), reason);
	}
	return cm_fail(-ENOTSUP, "no backend can work here: %s", why);
}
