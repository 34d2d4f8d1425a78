/* SPDX-License-Identifier: MIT
 *
 * The interpreter's changes of mappings, and a model of their effect on contents. All are done
 * with the other threads idle. */
#include "tests/soundness/random/program_state.h"

#include "tests/support/backends.h"
#include "tests/support/page_hash.h"

#include "lib/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OUR_FDS 920 /* above those of the writers */

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Debian 12's headers are older than some of these. */
static const int advice[ADVISE_KINDS] = {
	[ADVISE_DONTNEED] = MADV_DONTNEED,
	[ADVISE_FREE] = MADV_FREE,
	[ADVISE_POPULATE_READ] = 22,
	[ADVISE_POPULATE_WRITE] = 23,
	[ADVISE_COLLAPSE] = 25,
	[ADVISE_HUGEPAGE] = MADV_HUGEPAGE,
	[ADVISE_NOHUGEPAGE] = MADV_NOHUGEPAGE,
	[ADVISE_PAGEOUT] = 21,
	[ADVISE_COLD] = 20,
	[ADVISE_MERGEABLE] = MADV_MERGEABLE,
	[ADVISE_UNMERGEABLE] = MADV_UNMERGEABLE,
	[ADVISE_GUARD] = 102,
	[ADVISE_UNGUARD] = 103,
	[ADVISE_WIPEONFORK] = MADV_WIPEONFORK,
	[ADVISE_KEEPONFORK] = MADV_KEEPONFORK,
	[ADVISE_DONTFORK] = MADV_DONTFORK,
	[ADVISE_DOFORK] = MADV_DOFORK,
	[ADVISE_REMOVE] = MADV_REMOVE,
};

/* ---- The model --------------------------------------------------------------- */

/* Something other than a write changed the contents. */
static void forget_writes(struct run *r, size_t i)
{
	struct page *p = &r->page[i];

	if (p->unsure) /* it is not known which contents the last answer stood for */
		p->hash = r->zero_hash;
	p->must = p->pending = p->unsure = false;
	atomic_store_explicit(&p->period, 0, memory_order_relaxed);
}

/* Dropped contents are not a write (R7), unless the tracker was told so: then the
 * difference to the last answer's hash tells. */
void zapped(struct run *r, size_t i)
{
	struct page *p = &r->page[i];
	uint64_t now = r->zero_hash;
	/* If it is not known whether it held anything of its own, it is not known whether it
	 * lost it. */
	bool guess = p->unsure && p->object >= 0;

	if (p->shared)
		return; /* only page table entries were dropped */
	forget_writes(r, i);
	if (r->discard_is_write && !guess)
		return;
	read_entries(r);
	(void)contents(r, i, &now);
	p->hash = now;
}

/* A file's page shows the file again. Only a backend that sees new mappings sees that. */
static void unguarded(struct run *r, size_t i)
{
	struct page *p = &r->page[i];

	if (p->guard && p->object >= 0 && (described(r->cm).capabilities & CARDMARK_CAP_REMAP) == 0)
		p->hash = page_hash(r->alias[p->object] + p->slot * r->card, r->card);
	p->guard = false;
}

/* A new mapping: its contents count as dirty. */
static void mapped_anew(struct run *r, size_t i)
{
	struct page *p = &r->page[i];
	uint64_t now;

	forget_writes(r, i);
	if (!p->mapped || !contents(r, i, &now))
		now = r->zero_hash;
	if (now != r->zero_hash)
		must_report(r, i);
	if (!r->discard_is_write)
		p->hash = r->zero_hash;
}

static void unmapped(struct run *r, size_t i)
{
	r->page[i].mapped = r->page[i].guard = false;
	mapped_anew(r, i);
}

static bool all_mapped(const struct run *r, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (!r->page[i].mapped)
			return false;
	return true;
}

static bool any_tracked(const struct run *r, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (r->page[i].tracked)
			return true;
	return false;
}

/* Operations that a backend's capabilities rule out for memory that it tracks. */
static bool allowed(const struct run *r, const struct op *op, struct span s)
{
	unsigned needs = op_info[op->kind].tracked_needs;

	if (op->kind == OP_MAP && op->v[O_HOW] % 5 != MAP_HOW_PRIVATE)
		needs |= CARDMARK_CAP_SHARED;
	return can(r, needs) || !any_tracked(r, s);
}

static bool all_private(const struct run *r, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (!is_private(r, i))
			return false;
	return true;
}

/* File or shared memory that a userfaultfd may watch. If calls fail at random, an untrack may
 * have released nothing. */
static bool may_be_armed_file(const struct run *r, struct span s)
{
	return (any_tracked(r, s) || r->p->faults != 0) && !all_private(r, s);
}

/* ---- Objects ------------------------------------------------------------------ */

int make_objects(struct run *r)
{
	const char *dir = getenv("TMPDIR");
	char name[256];

	(void)snprintf(name, sizeof name, "%s/cardmark-program-XXXXXX", dir == NULL ? "/tmp" : dir);
	for (unsigned k = 0; k < OBJECTS; k++) {
		size_t bytes = (size_t)OBJECT_PAGES * r->card;
		int fd = k == 0 ? memfd_create("object", MFD_CLOEXEC) : mkostemp(name, O_CLOEXEC);
		void *p;

		if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
			return -1;
		if (k == 1)
			(void)unlink(name);
		r->object[k] = dup2(fd, OUR_FDS + (int)k);
		(void)close(fd);
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			 r->object[k], 0);
		if (r->object[k] < 0 || p == MAP_FAILED)
			return -1;
		r->alias[k] = p;
	}
	return 0;
}

/* Every other page of an object's new piece holds data before it is mapped. */
static void fill(struct run *r, int object, uint32_t slot, size_t pages)
{
	for (size_t i = 0; i < pages; i += 2)
		memset(r->alias[object] + (slot + i) * r->card, (int)(slot % 251) + 1, r->card);
}

static bool do_map(struct run *r, const struct op *op, struct span s)
{
	enum map_how how = (enum map_how)(op->v[O_HOW] % 5);
	int object = how == MAP_HOW_PRIVATE ? -1 : how >= MAP_HOW_FILE;
	bool shared = how == MAP_HOW_SHARED || how == MAP_HOW_FILE;
	size_t n = s.to - s.from;
	uint32_t slot = 0;
	void *p;

	if (object < 0) {
		p = mmap(page_at(r, s.from), n * r->card, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	} else {
		/* In a child its parent's pages would be the same. */
		if (r->depth > 0 || r->next_slot[object] + n > OBJECT_PAGES)
			return false;
		slot = r->next_slot[object];
		r->next_slot[object] += (uint32_t)n;
		fill(r, object, slot, n);
		p = mmap(page_at(r, s.from), n * r->card, PROT_READ | PROT_WRITE,
			 MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE), r->object[object],
			 (off_t)((size_t)slot * r->card));
	}
	if (p == MAP_FAILED) {
		fail(r, VERDICT_BROKEN, "mmap: errno %d", errno);
		return false;
	}
	read_entries(r);
	for (size_t i = s.from; i < s.to; i++) {
		struct page *q = &r->page[i];

		q->mapped = q->readable = q->writable = true;
		q->guard = q->wiped_by_fork = q->gone_by_fork = false;
		q->shared = shared;
		q->object = object;
		q->slot = slot + (uint32_t)(i - s.from);
		mapped_anew(r, i);
	}
	return true;
}

/* ---- Away and elsewhere -------------------------------------------------------- */

static void note_unmapped(struct run *r, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		unmapped(r, i);
}

static bool do_unmap(struct run *r, struct span s)
{
	if (munmap(page_at(r, s.from), (s.to - s.from) * r->card) < 0)
		return false;
	note_unmapped(r, s.from, s.to);
	return true;
}

static void note_moved(struct run *r, size_t from, size_t to, size_t n, bool stays)
{
	read_entries(r);
	for (size_t k = 0; k < n; k++) {
		struct page *a = &r->page[from + k], *b = &r->page[to + k];

		b->mapped = true;
		b->readable = a->readable;
		b->writable = a->writable;
		b->guard = a->guard;
		b->wiped_by_fork = a->wiped_by_fork;
		b->gone_by_fork = a->gone_by_fork;
		b->shared = a->shared;
		b->object = a->object;
		b->slot = a->slot;
		mapped_anew(r, to + k);
		if (stays) {
			a->guard = false;
			zapped(r, from + k);
		} else {
			unmapped(r, from + k);
		}
	}
}

/* One call for each mapping: before 6.17 mremap moves one at a time. */
static bool do_remap(struct run *r, const struct op *op, struct span s)
{
	bool stays = op->v[O_HOW] == REMAP_DONTUNMAP;
	size_t dest = op->v[O_TO] % PROGRAM_PAGES, n = s.to - s.from;
	struct span d = { dest, dest + n };

	if (d.to > PROGRAM_PAGES || (d.from < s.to && s.from < d.to) || !all_mapped(r, s) ||
	    !allowed(r, op, d))
		return false;
	/* Two mappings of one page: R13. */
	if (!all_private(r, s) && (stays || !can(r, CARDMARK_CAP_SHARED)))
		return false;
	for (size_t i = s.from; i < s.to;) {
		struct cm_vma vma;
		size_t end = s.to;
		unsigned char *into = page_at(r, dest + (i - s.from));

		if (cm_os_linux.vma_at((uintptr_t)page_at(r, i), &vma) < 0)
			return false;
		if ((uintptr_t)page_at(r, end) > vma.end)
			end = (vma.end - (uintptr_t)r->base) / r->card;
		if (mremap(page_at(r, i), (end - i) * r->card, (end - i) * r->card,
			   MREMAP_MAYMOVE | MREMAP_FIXED | (stays ? MREMAP_DONTUNMAP : 0),
			   into) == into) {
			note_moved(r, i, dest + (i - s.from), end - i, stays);
		} else {
			/* It may have unmapped the memory that it should replace. */
			(void)munmap(into, (end - i) * r->card);
			note_unmapped(r, dest + (i - s.from), dest + (end - s.from));
		}
		i = end;
	}
	return true;
}

static bool do_resize(struct run *r, const struct op *op, struct span s)
{
	size_t have = s.to - s.from, want = op->v[O_TO] == 0 ? 1 : op->v[O_TO];
	struct span both = { s.from, s.from + (want > have ? want : have) };

	if (both.to > PROGRAM_PAGES || !all_mapped(r, s) || !allowed(r, op, both) ||
	    (want > have && !is_private(r, s.to - 1)))
		return false;
	if (mremap(page_at(r, s.from), have * r->card, want * r->card, 0) == MAP_FAILED)
		return false;
	for (size_t i = s.from + have; i < s.from + want; i++) {
		struct page *q = &r->page[i], *last = &r->page[s.to - 1];

		q->mapped = true;
		q->readable = last->readable;
		q->writable = last->writable;
		q->guard = q->shared = false;
		q->wiped_by_fork = last->wiped_by_fork;
		q->gone_by_fork = last->gone_by_fork;
		q->object = -1;
		mapped_anew(r, i);
	}
	if (want < have)
		note_unmapped(r, s.from + want, s.to);
	return true;
}

/* ---- Protection and advice ----------------------------------------------------- */

static bool do_protect(struct run *r, const struct op *op, struct span s)
{
	static const int prots[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
	int prot = prots[op->v[O_HOW] % 3];

	if (!all_mapped(r, s) || mprotect(page_at(r, s.from), (s.to - s.from) * r->card, prot) < 0)
		return false;
	for (size_t i = s.from; i < s.to; i++) {
		r->page[i].readable = prot != PROT_NONE;
		r->page[i].writable = (prot & PROT_WRITE) != 0;
	}
	return true;
}

static void advised(struct run *r, size_t i, enum advise_how how)
{
	struct page *p = &r->page[i];

	switch (how) {
	case ADVISE_DONTNEED:
		zapped(r, i);
		break;
	case ADVISE_GUARD:
		p->guard = true;
		zapped(r, i);
		break;
	case ADVISE_UNGUARD:
		unguarded(r, i);
		break;
	case ADVISE_WIPEONFORK:
	case ADVISE_KEEPONFORK:
		p->wiped_by_fork = how == ADVISE_WIPEONFORK;
		break;
	case ADVISE_DONTFORK:
	case ADVISE_DOFORK:
		p->gone_by_fork = how == ADVISE_DONTFORK;
		break;
	case ADVISE_REMOVE:
		forget_writes(r, i);
		p->hash = r->zero_hash;
		break;
	default:
		break; /* contents are the same; the hash shows what MADV_FREE does later */
	}
}

static bool do_advise(struct run *r, const struct op *op, struct span s)
{
	enum advise_how how = (enum advise_how)(op->v[O_HOW] % ADVISE_KINDS);
	size_t bytes = (s.to - s.from) * r->card;

	if (!all_mapped(r, s))
		return false;
	/* Done to the file, not by this mapping (R13), so to the parent's too. */
	if (how == ADVISE_REMOVE && (r->depth > 0 || r->discard_is_write))
		return false;
	/* Dropping an armed page of a file leaves a marker, and the kernel (6.15 to 6.18
	 * at least) drops it again and again until there is none: for ever. */
	if (how == ADVISE_GUARD && may_be_armed_file(r, s))
		return false;
	if (madvise(page_at(r, s.from), bytes, advice[how]) == 0) {
		for (size_t i = s.from; i < s.to; i++)
			advised(r, i, how);
		return true;
	}
	/* It may have done only part: so page by page. */
	for (size_t i = s.from; i < s.to; i++)
		if (madvise(page_at(r, i), r->card, advice[how]) == 0)
			advised(r, i, how);
	return true;
}

static bool do_lock(struct run *r, const struct op *op, struct span s)
{
	unsigned char *at = page_at(r, s.from);
	size_t bytes = (s.to - s.from) * r->card;

	if (!all_mapped(r, s))
		return false;
	/* Bringing in an armed page of a disk file with a punched hole does not end either
	 * (6.18 at least). */
	if (op->v[O_HOW] == 0 && may_be_armed_file(r, s))
		return false;
	if (op->v[O_HOW] == 0)
		(void)mlock(at, bytes);
	else if (op->v[O_HOW] == 1)
		(void)munlock(at, bytes);
	else
		(void)mlock2(at, bytes, MLOCK_ONFAULT);
	return true;
}

bool memory_op(struct run *r, const struct op *op)
{
	struct span s = span_of(op);

	quiesce(r);
	if (!allowed(r, op, s))
		return false;
	switch (op->kind) {
	case OP_MAP:
		return do_map(r, op, s);
	case OP_UNMAP:
		return do_unmap(r, s);
	case OP_REMAP:
		return do_remap(r, op, s);
	case OP_RESIZE:
		return do_resize(r, op, s);
	case OP_PROTECT:
		return do_protect(r, op, s);
	case OP_ADVISE:
		return do_advise(r, op, s);
	default:
		return do_lock(r, op, s);
	}
}
