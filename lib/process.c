/* SPDX-License-Identifier: MIT
 *
 * The full query on another process: PAGEMAP_SCAN on its pagemap file, read-only.
 *
 * The kernel holds that process's mmap lock for a whole call (R10), and a mapping may have
 * terabytes of holes. So pieces are cut by their populated cards, not by address: a first look
 * finds how far a bounded number of populated cards reaches, and a second call asks the question
 * there. */
#include "cardmark/process.h"
#include "lib/backend/files.h"
#include "lib/backend/pagescan.h"
#include "lib/cards.h"
#include "lib/errors.h"
#include "lib/os/os.h"
#include "lib/query.h"
#include "lib/sized.h"
#include "lib/tracker.h"

#include <fcntl.h>

#define VEC 512
#define PIECE_CARDS ((size_t)16384) /* 64 MiB: some hundred microseconds */
#define POPULATED (CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED)

struct cardmark_process {
	struct cm_file pagemap;
	int pid;
	uint64_t categories;
	uintptr_t limit; /* the kernel refuses a call that reaches above it */
	struct page_region vec[VEC];
};

/* A pagemap file belongs to the memory it was opened for. Once that memory has no user any more
 * (exit, exec), a read returns nothing. A scan reports this only since about 6.16. Before, a scan
 * crashed the kernel if the process had no memory at open. So a read comes before each scan. */
static bool has_memory(const struct cardmark_process *p)
{
	uint64_t entry;

	return cm_os->pread(p->pagemap.fd, &entry, sizeof entry, 0) == (ssize_t)sizeof entry;
}

static int gone(const struct cardmark_process *p)
{
	return cm_fail(-ENOENT, "process %d has ended, or runs another program now", p->pid);
}

static long look(struct cardmark_process *p, const struct cm_masks *masks, uintptr_t start,
		 uintptr_t end, size_t vec_len, size_t max_pages, uintptr_t *next)
{
	struct pm_scan_arg arg = { .size = sizeof arg,
				   .start = start,
				   .end = end,
				   .vec = (uintptr_t)p->vec,
				   .vec_len = vec_len,
				   .max_pages = max_pages };

	cm_pagescan_masks(&arg, masks);
	return cm_pagescan_once(p->pagemap.fd, &arg, next);
}

/* ---- Open and close ---------------------------------------------------------- */

static int fail_open(int pid, int error)
{
	switch (error) {
	case -ENOENT:
	case -ESRCH:
		return cm_fail(-ENOENT, "there is no process %d with memory of its own", pid);
	case -EACCES:
	case -EPERM:
		return cm_fail(-EPERM,
			       "/proc/%d/pagemap: not permitted (this needs the rights that "
			       "ptrace(2) needs)",
			       pid);
	default:
		return cm_fail(cm_closed_error(error), "/proc/%d/pagemap cannot be opened: %s", pid,
			       cm_errno_text(error));
	}
}

static int set_up(struct cardmark_process *p)
{
	size_t card = cardmark_card_size();
	struct cm_masks any = { .any_of = POPULATED };
	uintptr_t next;
	int error;

	if (!has_memory(p))
		return fail_open(p->pid, -ESRCH);
	error = cm_pagescan_categories(p->pagemap.fd, &p->categories);
	if (error == -ENOTSUP)
		return cm_fail(error, "%s", cm_pagescan_why(error));
	if (error < 0)
		return cm_fail(cm_closed_error(error), "PAGEMAP_SCAN fails on process %d: %s",
			       p->pid, cm_errno_text(error));
	/* x86-64 leaves the last card of user space out. */
	p->limit = CM_ADDRESS_LIMIT;
	if (look(p, &any, p->limit - card, p->limit, 1, 0, &next) == -EFAULT)
		p->limit -= card;
	return 0;
}

int cardmark_process_open(struct cardmark_process **out, int pid)
{
	struct cardmark_process *p;
	void *mem;
	int error;

	*out = NULL;
	if (pid <= 0)
		return cm_fail(-EINVAL, "cardmark_process_open: %d is not a process", pid);
	if (cm_os->map(sizeof *p, &mem) < 0)
		return cm_fail(-ENOMEM, "cardmark_process_open: no memory");
	p = mem;
	p->pid = pid;
	error = cm_file_take(&p->pagemap, cm_os->open_proc(pid, "pagemap", O_RDONLY));
	error = error < 0 ? fail_open(pid, error) : set_up(p);
	if (error < 0)
		cardmark_process_close(&p);
	*out = p;
	return error;
}

void cardmark_process_close(struct cardmark_process **process)
{
	struct cardmark_process *p = process == NULL ? NULL : *process;

	if (p == NULL)
		return;
	cm_file_close(&p->pagemap);
	(void)cm_os->unmap(p, sizeof *p);
	*process = NULL;
}

uint64_t cardmark_process_categories(const struct cardmark_process *process)
{
	return process->categories;
}

/* ---- The query ----------------------------------------------------------------- */

static bool only_populated(const struct cm_masks *m)
{
	return (m->required & POPULATED) != 0 || (m->any_of != 0 && (m->any_of & ~POPULATED) == 0);
}

static bool all_populated(const struct cm_masks *m)
{
	return m->required == 0 && m->any_of == POPULATED && m->excluded == 0;
}

/* Lowers *end so that one call over [at, *end) walks a bounded number of populated
 * cards. Holes cost next to nothing, however long. Returns 0 if there are no
 * populated cards, or -errno. */
static long bound(struct cardmark_process *p, uintptr_t at, uintptr_t *end)
{
	struct cm_masks any = { .any_of = POPULATED };

	return look(p, &any, at, *end, VEC, PIECE_CARDS, end);
}

/* Answers for a piece from *at. 0 or -errno; *at is where to go on either way. */
static int scan_piece(struct cardmark_process *p, const struct cm_masks *masks, uintptr_t *at,
		      uintptr_t end, struct cm_sink *sink)
{
	size_t room = sink->cap - sink->n, pages = sink->max_pages - sink->pages;
	uintptr_t next;
	long n;

	if (all_populated(masks)) {
		pages = pages < PIECE_CARDS ? pages : PIECE_CARDS;
	} else {
		n = bound(p, *at, &end);
		if (n < 0)
			return (int)n;
		if (n == 0 && only_populated(masks)) {
			*at = end;
			return 0;
		}
	}
	n = look(p, masks, *at, end, room < VEC ? room : VEC, pages == SIZE_MAX ? 0 : pages, &next);
	if (n < 0)
		return (int)n;
	for (long i = 0; i < n; i++)
		cm_sink_put(sink, (uintptr_t)p->vec[i].start, (uintptr_t)p->vec[i].end,
			    p->vec[i].categories);
	*at = next;
	return 0;
}

static int check(const struct cardmark_process *p, const struct cardmark_query *q)
{
	uint64_t unknown = cm_query_asks(q) & ~p->categories;
	int error = cm_query_check("cardmark_process_scan", q);

	if (error < 0)
		return error;
	if (q->op != CARDMARK_SCAN_GET || q->flags != 0)
		return cm_fail(-EINVAL, "cardmark_process_scan cannot clear: op must be "
					"CARDMARK_SCAN_GET, and flags 0");
	if (unknown != 0)
		return cm_fail(-ENOTSUP, "this kernel cannot answer categories 0x%llx",
			       (unsigned long long)unknown);
	return 0;
}

static int scan(struct cardmark_process *process, struct cardmark_query *query)
{
	struct cm_masks masks = { query->required, query->any_of, query->excluded,
				  query->returned };
	struct cm_sink sink = { .v = query->regions,
				.cap = query->capacity,
				.max_pages = query->max_pages == 0 ? SIZE_MAX : query->max_pages };
	int error = check(process, query);
	uintptr_t at, end;

	if (error < 0)
		return error;
	at = (uintptr_t)query->start;
	end = at + query->len < process->limit ? at + query->len : process->limit;
	/* Programs close descriptors they do not know; the number may then belong to another
	 * process's pagemap. */
	if (!cm_file_is_ours(&process->pagemap))
		error = -EBADF;
	while (error == 0 && at < end && !cm_sink_full(&sink))
		error = scan_piece(process, &masks, &at, end, &sink);
	query->count = sink.n;
	query->pages = sink.pages;
	query->resume = at < end ? at : (uintptr_t)query->start + query->len;
	query->guessed = false;
	/* Memory that went away meanwhile looks empty. So the answer counts only if the process
	 * still has its memory. */
	if (error == -ESRCH || (error == 0 && !has_memory(process)))
		return gone(process);
	if (error < 0)
		return cm_fail(
			error == -ENOMEM ? error : -EIO,
			"cardmark_process_scan: PAGEMAP_SCAN failed at %#zx of process %d: %s",
			(size_t)at, process->pid, cm_errno_text(error));
	return 0;
}

int cardmark_process_scan(struct cardmark_process *process, struct cardmark_query *query)
{
	struct cardmark_query q = CARDMARK_QUERY_INIT;
	int error = cm_sized_take("cardmark_query", &q, sizeof q, query);

	if (error < 0)
		return error;
	error = scan(process, &q);
	cm_sized_give(query, &q, sizeof q); /* also on failure: how far it came */
	return error;
}
