/* SPDX-License-Identifier: MIT */
#include "cardmark/process.h"
#include "dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFER ((size_t)1 << 20)
#define BATCH 4096

struct snap_work {
	struct snap_mapping mappings[SNAP_MAX_MAPPINGS];
	struct cardmark_region regions[BATCH];
	char buffer[BUFFER];
};

struct snap_work *snap_work_new(void)
{
	void *p = mmap(NULL, sizeof(struct snap_work), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* One dump under way. */
struct dump {
	struct snap_work *work;
	const struct snap_job *job;
	struct snap_result *result;
	int out, mem;
	struct cardmark_process *process;
	uint64_t excluded; /* categories of pages that are not the program's data */
	size_t used;       /* of the buffer */
	uint64_t records;
	size_t clean; /* where we are in job->clean */
	struct snap_record run;
	bool losable, lost;
};

static int fail(struct dump *d, int error, const char *what)
{
	if (d->result->failed == NULL)
		d->result->failed = what;
	return error < 0 ? error : -EIO;
}

static int flush(struct dump *d)
{
	for (size_t done = 0; done < d->used;) {
		ssize_t n = write(d->out, d->work->buffer + done, d->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(d, -errno, "writing the dump");
		done += (size_t)n;
	}
	d->result->bytes += d->used;
	d->used = 0;
	return 0;
}

static int put(struct dump *d, const void *bytes, size_t n)
{
	int error = d->used + n > BUFFER ? flush(d) : 0;

	if (error < 0)
		return error;
	memcpy(d->work->buffer + d->used, bytes, n);
	d->used += n;
	return 0;
}

static int put_record(struct dump *d, const struct snap_record *r)
{
	d->records++;
	return put(d, r, sizeof *r);
}

/* The pages themselves, straight into the buffer. Reading goes through the kernel, so
 * that it also works without PROT_READ, and on another process. */
static int put_memory(struct dump *d, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		size_t room = BUFFER - d->used;
		size_t want = end - start < room ? end - start : room;
		ssize_t n;
		int error;

		if (room == 0) {
			error = flush(d);
			if (error < 0)
				return error;
			continue;
		}
		n = pread(d->mem, d->work->buffer + d->used, want, (off_t)start);
		if (n <= 0)
			return fail(d, n < 0 ? -errno : -EIO, "reading the memory");
		d->used += (size_t)n;
		start += (size_t)n;
	}
	return 0;
}

/* Runs that touch are one run: so each memory state has only one form as a dump. */
static int end_run(struct dump *d)
{
	struct snap_record r = d->run;
	uint64_t pages = (r.end - r.start) / cardmark_card_size();
	int error;

	d->run.end = d->run.start = 0;
	if (r.start == r.end)
		return 0;
	if (d->job->lose_a_run && d->losable && !d->lost && r.type == SNAP_DATA) {
		d->lost = true;
		return 0;
	}
	error = put_record(d, &r);
	if (error == 0 && r.type == SNAP_DATA) {
		d->result->data_pages += pages;
		error = put_memory(d, r.start, r.end);
	} else {
		d->result->empty_pages += pages;
	}
	return error;
}

static int add_run(struct dump *d, enum snap_type type, uintptr_t start, uintptr_t end)
{
	int error;

	if (d->run.type == type && d->run.end == start) {
		d->run.end = end;
		return 0;
	}
	error = end_run(d);
	d->run = (struct snap_record){ .type = type, .start = start, .end = end };
	return error;
}

/* Empty pages are recorded every time. That costs only a record, and their "clean" is not
 * reliable: a private page of a file, once emptied, leaves a marker that is still armed. */
static int add_empty(struct dump *d, uintptr_t start, uintptr_t end)
{
	return d->job->kind == SNAP_FULL || start == end ? 0 : add_run(d, SNAP_EMPTY, start, end);
}

/* [start, end) without its clean pages. */
static int add_data(struct dump *d, uintptr_t start, uintptr_t end)
{
	const struct snap_job *job = d->job;
	int error = 0;

	while (error == 0 && start < end) {
		uintptr_t upto = end;

		while (d->clean < job->n_clean && job->clean[d->clean].end <= start)
			d->clean++;
		if (d->clean < job->n_clean && job->clean[d->clean].start < end) {
			const struct cardmark_run *c = &job->clean[d->clean];

			if (c->start <= start) {
				start = c->end < end ? c->end : end;
				continue;
			}
			upto = c->start;
		}
		error = add_run(d, SNAP_DATA, start, upto);
		start = upto;
	}
	return error;
}

/* The pages that CRIU would take: present or swapped, not the zero page, and of a file only
 * those written privately (which are anonymous). */
static int dump_mapping(struct dump *d, const struct snap_mapping *m)
{
	struct snap_record r = { SNAP_MAPPING, m->file ? SNAP_FILE : 0, m->start, m->end };
	struct cardmark_query q = { .size = sizeof q,
				    .start = (void *)m->start,
				    .len = m->end - m->start,
				    .op = CARDMARK_SCAN_GET,
				    .any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED,
				    .excluded = d->excluded,
				    .regions = d->work->regions,
				    .capacity = BATCH };
	uintptr_t at = m->start;
	int error = put_record(d, &r);

	d->result->mappings++;
	d->losable = m->writable && !m->file;
	while (error == 0 && q.len > 0) {
		error = cardmark_process_scan(d->process, &q);
		if (error < 0)
			return fail(d, error, "asking which pages there are");
		for (size_t i = 0; i < q.count && error == 0; i++) {
			error = add_empty(d, at, q.regions[i].start);
			if (error == 0)
				error = add_data(d, q.regions[i].start, q.regions[i].end);
			at = q.regions[i].end;
		}
		q.start = (void *)q.resume;
		q.len = m->end - q.resume;
	}
	if (error == 0)
		error = add_empty(d, at, m->end);
	return error == 0 ? end_run(d) : error;
}

static int open_all(struct dump *d)
{
	int pid = d->job->pid, error;
	char path[40] = "/proc/self/mem";

	if (pid != 0)
		(void)snprintf(path, sizeof path, "/proc/%d/mem", pid);
	d->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (d->mem < 0)
		return fail(d, -errno, "opening the memory");
	error = cardmark_process_open(&d->process, pid != 0 ? pid : (int)getpid());
	if (error < 0)
		return fail(d, error, "opening the process");
	d->excluded = CARDMARK_PAGE_PFNZERO | CARDMARK_PAGE_FILE |
		      (cardmark_process_categories(d->process) & CARDMARK_PAGE_GUARD);
	return 0;
}

static int dump_all(struct dump *d)
{
	struct snap_header header = { .magic = SNAP_MAGIC,
				      .page_size = (uint32_t)cardmark_card_size(),
				      .kind = d->job->kind,
				      .number = d->job->number };
	/* Before anything of ours is mapped. */
	long n = snap_read_maps(d->job->pid, d->work->mappings, SNAP_MAX_MAPPINGS);
	struct snap_record last = { .type = SNAP_END };
	int error;

	if (n < 0)
		return fail(d, (int)n, "reading the mappings");
	error = open_all(d);
	if (error == 0)
		error = put(d, &header, sizeof header);
	for (long i = 0; i < n && error == 0; i++)
		error = dump_mapping(d, &d->work->mappings[i]);
	if (error < 0)
		return error;
	last.start = d->records;
	last.end = d->result->data_pages;
	error = put_record(d, &last);
	return error == 0 ? flush(d) : error;
}

int snap_dump(struct snap_work *work, const struct snap_job *job, int fd,
	      struct snap_result *result)
{
	struct dump d = { .work = work, .job = job, .result = result, .out = fd, .mem = -1 };
	int error;

	*result = (struct snap_result){ 0 };
	error = dump_all(&d);
	cardmark_process_close(&d.process);
	if (d.mem >= 0)
		(void)close(d.mem);
	return error;
}
