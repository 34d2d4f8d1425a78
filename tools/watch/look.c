/* SPDX-License-Identifier: MIT */
#include "tools/watch/object.h"

#include "common/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define HIGH_FD 220
#define REST_NS UINT64_C(10000000000) /* as the longest --interval */
#define UNSURE ((size_t)1 << 30)      /* bytes: so much counts as written without an answer */

/* The program may close our descriptor and have another file under its number. */
static int open_maps(void)
{
	struct stat now;
	int fd, high;

	if (object->maps.fd >= 0 && fstat(object->maps.fd, &now) == 0 &&
	    now.st_ino == object->maps_file.st_ino && now.st_dev == object->maps_file.st_dev)
		return 0;
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	/* Low numbers are the program's: it may count on getting the lowest. */
	high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high >= 0)
		(void)close(fd);
	object->maps.fd = high >= 0 ? high : fd;
	return object->maps.fd >= 0 && fstat(object->maps.fd, &object->maps_file) == 0 ? 0 : -errno;
}

static bool starts(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

/* Memory that touches a file's data may be the rest of that data, which begins as zero. */
static void name_it(struct watch_mapping *w, const struct watch_mapping *before, const char *name)
{
	const char *slash = strrchr(name, '/');

	if (*name == '\0' && before != NULL && before->file && before->write &&
	    before->end == w->start)
		(void)snprintf(w->name, WATCH_NAME, "behind %.27s", before->name);
	else if (starts(name, "[anon:"))
		(void)snprintf(w->name, WATCH_NAME, "%.*s", (int)strcspn(name + 6, "]"), name + 6);
	else
		(void)snprintf(w->name, WATCH_NAME, "%s",
			       *name == '\0'   ? "anonymous"
			       : slash != NULL ? slash + 1
					       : name);
}

/* Files that cannot be written now are left out: they were never written, or before. */
static bool take(const struct cm_maps_line *line, struct watch_mapping *w)
{
	const char *name = cm_maps_name(line->rest);

	w->file = *line->rest != '0';
	if (line->shared && line->write && !starts(name, "/memfd:" WATCH_MEMORY))
		object->look.shared += line->end - line->start;
	if (line->shared || (w->file && !line->write) || starts(name, "[vdso") ||
	    starts(name, "[vvar") || starts(name, "[vsyscall") || starts(name, "[anon:libcardmark"))
		return false;
	w->start = line->start;
	w->end = line->end;
	w->write = line->write;
	name_it(w, object->n_now > 0 ? w - 1 : NULL, name);
	if (w->write)
		object->look.mapped += w->end - w->start;
	return true;
}

static uint64_t hashed(uint64_t hash, const struct watch_mapping *w)
{
	hash = (hash ^ w->start) * UINT64_C(0x9e3779b97f4a7c15);
	hash ^= hash >> 29;
	return (hash ^ w->end ^ w->write) * UINT64_C(0x9e3779b97f4a7c15);
}

static int read_mapped(uint64_t *hash)
{
	struct cm_maps_line line;
	int found = open_maps();
	char *text;

	if (found < 0)
		return found;
	object->maps.offset = object->maps.have = object->maps.at = object->n_now = *hash = 0;
	while ((found = cm_maps_next(&object->maps, &text)) > 0) {
		if (!cm_maps_parse(text, &line))
			return -EIO;
		if (object->n_now == WATCH_MAPPINGS) /* never silently */
			object->look.refused += line.end - line.start;
		else if (take(&line, &object->now[object->n_now]))
			*hash = hashed(*hash, &object->now[object->n_now++]);
	}
	return found;
}

typedef void piece_fn(struct cardmark_run piece, const struct watch_mapping *of);

/* Calls fn for each piece of a that is not in b. Elements of both begin with their range. */
static void subtract(const void *a, size_t n, size_t size_a, const void *b, size_t count,
		     size_t size_b, piece_fn *fn)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const void *of = (const char *)a + i * size_a;
		struct cardmark_run r, cut;

		memcpy(&r, of, sizeof r);
		for (; k < count; k++) {
			memcpy(&cut, (const char *)b + k * size_b, sizeof cut);
			if (cut.start >= r.end)
				break;
			if (cut.end <= r.start)
				continue;
			if (cut.start > r.start)
				fn((struct cardmark_run){ r.start, cut.start }, of);
			r.start = cut.end;
			if (cut.end >= r.end)
				break; /* the next one may need it, too */
		}
		if (r.start < r.end)
			fn(r, of);
	}
}

static void untrack(struct cardmark_run piece, const struct watch_mapping *of)
{
	(void)of;
	object->look.gone += piece.end - piece.start;
	object->look.gone_mappings++;
	(void)cardmark_untrack(object_tracker, (void *)piece.start, piece.end - piece.start);
}

static void track(struct cardmark_run piece, const struct watch_mapping *of)
{
	struct watch_mapping refused = *of;
	const char *why;

	if (cardmark_track(object_tracker, (void *)piece.start, piece.end - piece.start,
			   of->file ? CARDMARK_TRACK_FILE : CARDMARK_TRACK_PRIVATE) == 0)
		return;
	if (object->n_refused < WATCH_MAPPINGS)
		object->refused[object->n_refused++] = piece;
	if (!of->write)
		return; /* tried again as soon as it can be written */
	refused.start = piece.start;
	refused.end = piece.end;
	object->look.refused += piece.end - piece.start;
	why = cardmark_last_error();
	object_tell(WATCH_REFUSED, &refused, sizeof refused, why, strlen(why));
}

/* A piece without room in the list is tracked again at the next look, and all of it then counts as
 * written. */
static void keep(struct cardmark_run piece, const struct watch_mapping *of)
{
	(void)of;
	if (object->n_tracked < WATCH_MAPPINGS)
		object->tracked[object->n_tracked++] = piece;
}

static int follow_mappings(void)
{
	const size_t run = sizeof(struct cardmark_run), mapping = sizeof(struct watch_mapping);
	uint64_t hash;
	int error = read_mapped(&hash);

	if (error < 0)
		return error;
	if (hash == object->hash && object->n_refused == 0)
		return 0;
	object->n_refused = 0;
	subtract(object->tracked, object->n_tracked, run, object->now, object->n_now, mapping,
		 untrack);
	subtract(object->now, object->n_now, mapping, object->tracked, object->n_tracked, run,
		 track);
	object->n_tracked = 0;
	if (object->n_refused < WATCH_MAPPINGS)
		subtract(object->now, object->n_now, mapping, object->refused, object->n_refused,
			 run, keep);
	if (hash != object->hash)
		object_tell(WATCH_MAPPED, object->now, object->n_now * mapping, NULL, 0);
	object->hash = hash;
	return 0;
}

/* A new mapping at an old address is not tracked. If it is found here, before the answer, only its
 * own pages count as written; the library would report a whole range. */
static void track_again(const struct cardmark_run *span)
{
	struct cardmark_query q = CARDMARK_QUERY_INIT;

	q.op = CARDMARK_SCAN_GET;
	q.excluded = q.returned = CARDMARK_PAGE_WPALLOWED;
	q.regions = object->regions;
	q.capacity = OBJECT_REGIONS;
	for (uintptr_t at = span->start; at < span->end; at = q.resume) {
		q.start = (void *)at;
		q.len = span->end - at;
		if (cardmark_process_scan(object_self, &q) < 0)
			return;
		for (size_t i = 0; i < q.count; i++) {
			uintptr_t start = q.regions[i].start, bytes = q.regions[i].end - start;

			object->look.gone += bytes;
			object->look.gone_mappings++;
			(void)cardmark_track(object_tracker, (void *)start, bytes, 0);
		}
	}
}

static void find_anew(void)
{
	struct cardmark_run span = { 0, 0 };

	for (size_t i = 0; i < object->n_tracked; i++) {
		if (object->tracked[i].start != span.end) {
			track_again(&span);
			span.start = object->tracked[i].start;
		}
		span.end = object->tracked[i].end;
	}
	track_again(&span);
}

/* Without an answer the library reports whole mappings. They may be terabytes, with a few pages:
 * what is too much is not told, and the report has how much it was. Returns how much is told. */
static size_t leave_out_unanswered(struct cardmark_query *q, size_t *unsure)
{
	size_t n = 0, bytes = 0;

	for (size_t i = 0; i < q->count; i++) {
		size_t piece = q->regions[i].end - q->regions[i].start;

		if (q->guessed && piece > *unsure) {
			object->look.unanswered += piece;
			continue;
		}
		if (q->guessed)
			*unsure -= piece;
		bytes += piece;
		q->regions[n++] = q->regions[i];
	}
	q->count = n;
	return bytes;
}

/* Pages that are still a file's, or the zero page, were not written: a write would have replaced
 * them. They are not armed, and are seen as soon as they are replaced. */
static bool written(void)
{
	struct cardmark_query q = CARDMARK_QUERY_INIT;
	size_t unsure = UNSURE;

	if (object->n_now == 0)
		return true;
	q.op = CARDMARK_SCAN_GET_AND_CLEAR;
	q.required = q.returned = CARDMARK_PAGE_WRITTEN;
	q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	q.excluded = object->excluded;
	q.regions = object->regions;
	q.capacity = OBJECT_REGIONS;
	for (uintptr_t at = object->now[0].start, end = object->now[object->n_now - 1].end;
	     at < end; at = q.resume) {
		q.start = (void *)at;
		q.len = end - at;
		if (cardmark_scan(object_tracker, &q) < 0)
			return false;
		object->look.guessed += q.guessed;
		object->look.pages += leave_out_unanswered(&q, &unsure) / cardmark_card_size();
#ifdef CM_WATCH_LOSES /* the control of the tests */
		for (size_t i = 0; i < q.count; i++)
			if ((q.regions[i].start >> 12) % 8 == 5)
				q.regions[i].start += 4096;
#endif
		if (q.count > 0 && !object->look.first)
			object_tell(WATCH_RUNS, q.regions, q.count * sizeof *q.regions, NULL, 0);
	}
	return true;
}

static uint64_t faults_of(int who)
{
	struct rusage u = { 0 };

	(void)getrusage(who, &u);
	return (uint64_t)(u.ru_minflt + u.ru_majflt);
}

uint64_t object_fault_ns(void)
{
	enum { PAGES = 32 };
	size_t page = cardmark_card_size(), bytes = PAGES * page;
	struct cardmark_query q = CARDMARK_QUERY_INIT;
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t ns = 0;

	if (at == MAP_FAILED)
		return 0;
	(void)madvise(at, bytes, MADV_NOHUGEPAGE);
	memset(at, 1, bytes);
	q.op = CARDMARK_SCAN_CLEAR;
	q.required = CARDMARK_PAGE_WRITTEN;
	q.start = at;
	q.len = bytes;
	if (cardmark_track(object_tracker, at, bytes, CARDMARK_TRACK_PRIVATE) == 0 &&
	    cardmark_scan(object_tracker, &q) == 0) {
		uint64_t before = cm_cpu_ns();

		for (size_t i = 0; i < bytes; i += page)
			*(volatile char *)(at + i) = 2;
		ns = (cm_cpu_ns() - before) / PAGES;
	}
	(void)cardmark_untrack(object_tracker, at, bytes);
	(void)munmap(at, bytes);
	return ns;
}

/* 0 if the program has forbidden it: a seccomp filter. */
static uint64_t own_time_ns(void)
{
	struct timespec t = { 0 };

	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0
		       ? (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec
		       : 0;
}

void object_look(bool first)
{
	uint64_t cpu_before = own_time_ns(), cost;
	int error;

	object->look = (struct watch_look){ .start = cm_now_ns(),
					    .first = first,
					    .fault_ns = object->fault_ns };
	error = follow_mappings();
	object->look.failed = error < 0;
	object->look.why = (uint32_t)-error;
	find_anew();
	object->look.failed |= !written();
	object->look.end = cm_now_ns();
	object->look.faults = faults_of(RUSAGE_SELF) - faults_of(RUSAGE_THREAD);
	object->look.cpu_ns = own_time_ns();
	cost = object->look.cpu_ns - cpu_before + object->look.pages * object->fault_ns;
	object->rest_ns = object->share > 0 && !first ? cost * (object->share - 1) : 0;
	if (object->rest_ns > REST_NS)
		object->rest_ns = REST_NS;
	object->look.put_off = object->rest_ns > object->interval_ns;
	object_tell(WATCH_LOOKED, &object->look, sizeof object->look, NULL, 0);
}
