/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- A dump file -------------------------------------------------------------- */

struct reader {
	const char *path;
	const unsigned char *bytes;
	size_t len, at;
	const struct snap_header *header;
	uint64_t records, data_pages, last;
	struct snap_record mapping; /* that the records are in */
};

static bool complain(const struct reader *r, const char *what)
{
	(void)fprintf(stderr, "snapshot: %s: %s\n", r->path, what);
	return false;
}

static bool reader_open(struct reader *r, const char *path)
{
	struct stat st;
	void *p = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*r = (struct reader){ .path = path };
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		(void)close(fd);
	if (p == MAP_FAILED)
		return complain(r, "could not be read");
	r->bytes = p;
	r->len = (size_t)st.st_size;
	r->at = sizeof *r->header;
	r->header = p;
	if (r->len < sizeof *r->header ||
	    memcmp(r->header->magic, SNAP_MAGIC, sizeof SNAP_MAGIC) != 0)
		return complain(r, "is not a dump");
	if (r->header->page_size == 0 ||
	    (r->header->kind != SNAP_FULL && r->header->kind != SNAP_INCREMENT))
		return complain(r, "has a header that makes no sense");
	return true;
}

/* A mapping starts after the last; a run lies in its mapping, after the last run. */
static bool in_order(struct reader *r, const struct snap_record *rec)
{
	uint64_t page = r->header->page_size;

	if (rec->start % page != 0 || rec->end % page != 0 || rec->start >= rec->end)
		return false;
	if (rec->type == SNAP_MAPPING) {
		if (rec->start < r->mapping.end)
			return false;
		r->mapping = *rec;
		r->last = rec->start;
		return true;
	}
	if (rec->start < r->last || rec->end > r->mapping.end)
		return false;
	r->last = rec->end;
	return true;
}

/* The next record, except the last one, and where its bytes are. False: no more, or *ok is
 * false and the reason was printed. */
static bool reader_next(struct reader *r, struct snap_record *rec, const unsigned char **bytes,
			bool *ok)
{
	if (!*ok)
		return false;
	if (r->len - r->at < sizeof *rec)
		return *ok = complain(r, "ends too early");
	memcpy(rec, r->bytes + r->at, sizeof *rec);
	r->at += sizeof *rec;
	if (rec->type == SNAP_END) {
		if (rec->start != r->records || rec->end != r->data_pages || r->at != r->len)
			*ok = complain(r, "is damaged: its end record counts other records");
		return false;
	}
	r->records++;
	if (rec->type < SNAP_MAPPING || rec->type > SNAP_EMPTY || !in_order(r, rec))
		return *ok = complain(r, "has a record that makes no sense");
	*bytes = r->bytes + r->at;
	if (rec->type == SNAP_DATA) {
		if (rec->end - rec->start > r->len - r->at)
			return *ok = complain(r, "ends too early");
		r->at += rec->end - rec->start;
		r->data_pages += (rec->end - rec->start) / r->header->page_size;
	}
	return true;
}

/* ---- Laying one over another ----------------------------------------------------- */

static void *grown(void *v, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0) /* room for the next power of two */
		return v;
	v = realloc(v, (n == 0 ? 1 : 2 * n) * size);
	if (v == NULL) {
		(void)fputs("snapshot: out of memory\n", stderr);
		exit(2);
	}
	return v;
}

static void add_mapping(struct image *image, const struct snap_record *m)
{
	image->mappings = grown(image->mappings, image->n_mappings, sizeof *m);
	image->mappings[image->n_mappings++] = *m;
}

static void add_run(struct image *image, uint64_t start, uint64_t end, const unsigned char *bytes)
{
	image->runs = grown(image->runs, image->n_runs, sizeof *image->runs);
	image->runs[image->n_runs++] = (struct image_run){ start, end, bytes };
}

/* The parts of [start, end) that old has; *at only goes forward. */
static void keep(struct image *image, const struct image *old, size_t *at, uint64_t start,
		 uint64_t end)
{
	while (*at < old->n_runs && old->runs[*at].end <= start)
		(*at)++;
	for (size_t i = *at; start < end && i < old->n_runs && old->runs[i].start < end; i++) {
		const struct image_run *r = &old->runs[i];
		uint64_t from = r->start > start ? r->start : start;
		uint64_t to = r->end < end ? r->end : end;

		add_run(image, from, to, r->bytes + (from - r->start));
	}
}

static bool follows(const struct image *image, const struct reader *r)
{
	if (r->header->kind == SNAP_FULL)
		return true;
	if (image->page_size == 0)
		return complain(r, "is an increment: begin with a full dump");
	if (r->header->number != image->number + 1)
		return complain(r, "does not follow the dump before it");
	if (r->header->page_size != image->page_size)
		return complain(r, "has another page size");
	return true;
}

bool image_apply(struct image *image, const char *path)
{
	struct image old = *image;
	struct snap_record rec;
	const unsigned char *bytes;
	struct reader r;
	uint64_t done = 0, end = 0; /* of the mapping */
	size_t at = 0;
	bool ok = reader_open(&r, path) && follows(image, &r);

	if (!ok)
		return false;
	if (r.header->kind == SNAP_FULL)
		old.n_runs = 0;
	*image = (struct image){ .page_size = r.header->page_size, .number = r.header->number };
	while (reader_next(&r, &rec, &bytes, &ok)) {
		keep(image, &old, &at, done, rec.type == SNAP_MAPPING ? end : rec.start);
		if (rec.type == SNAP_MAPPING) {
			add_mapping(image, &rec);
			done = rec.start;
			end = rec.end;
			continue;
		}
		if (rec.type == SNAP_DATA)
			add_run(image, rec.start, rec.end, bytes);
		done = rec.end;
	}
	keep(image, &old, &at, done, end);
	free(old.mappings);
	free(old.runs);
	return ok;
}

/* ---- Writing ------------------------------------------------------------------------ */

/* Runs that touch are written as one, as a dump does. */
static size_t write_runs(FILE *f, const struct image *image, size_t i, const struct snap_record *m,
			 struct snap_record *last)
{
	while (i < image->n_runs && image->runs[i].start < m->end) {
		struct snap_record r = { .type = SNAP_DATA, .start = image->runs[i].start };
		size_t n = i + 1;

		while (n < image->n_runs && image->runs[n].start == image->runs[n - 1].end &&
		       image->runs[n].start < m->end)
			n++;
		r.end = image->runs[n - 1].end;
		(void)fwrite(&r, sizeof r, 1, f);
		for (; i < n; i++)
			(void)fwrite(image->runs[i].bytes, 1,
				     image->runs[i].end - image->runs[i].start, f);
		last->start++;
		last->end += (r.end - r.start) / image->page_size;
	}
	return i;
}

bool image_write(const struct image *image, const char *path)
{
	struct snap_header header = { .magic = SNAP_MAGIC,
				      .page_size = image->page_size,
				      .kind = SNAP_FULL,
				      .number = image->number };
	struct snap_record last = { .type = SNAP_END };
	FILE *f = fopen(path, "we");
	size_t at = 0;
	bool bad;

	if (f == NULL) {
		(void)fprintf(stderr, "snapshot: %s: %s\n", path, strerror(errno));
		return false;
	}
	(void)fwrite(&header, sizeof header, 1, f);
	for (size_t i = 0; i < image->n_mappings; i++) {
		(void)fwrite(&image->mappings[i], sizeof last, 1, f);
		last.start++;
		at = write_runs(f, image, at, &image->mappings[i], &last);
	}
	(void)fwrite(&last, sizeof last, 1, f);
	bad = ferror(f) != 0;
	bad |= fclose(f) != 0;
	if (bad)
		(void)fprintf(stderr, "snapshot: %s: could not be written\n", path);
	return !bad;
}

/* ---- Looking ------------------------------------------------------------------------- */

static int by_address(const void *key, const void *element)
{
	uint64_t addr = *(const uint64_t *)key;
	const struct image_run *r = element;

	return addr < r->start ? -1 : addr >= r->end;
}

const unsigned char *image_page(const struct image *image, uint64_t addr)
{
	const struct image_run *r = image->n_runs == 0 ? NULL
						       : bsearch(&addr, image->runs, image->n_runs,
								 sizeof *r, by_address);

	return r == NULL ? NULL : r->bytes + (addr - r->start);
}

static bool same_mappings(const struct image *a, const struct image *b)
{
	return a->page_size == b->page_size && a->n_mappings == b->n_mappings &&
	       memcmp(a->mappings, b->mappings, a->n_mappings * sizeof *a->mappings) == 0;
}

static bool same_page(const unsigned char *a, const unsigned char *b, size_t size, bool file)
{
	static const unsigned char zero[65536];

	if (a != NULL && b != NULL)
		return memcmp(a, b, size) == 0;
	if (file || size > sizeof zero)
		return a == b;
	return memcmp(a == NULL ? b : a, zero, size) == 0;
}

uint64_t image_compare(const struct image *a, const struct image *b, uint64_t *compared)
{
	uint64_t differ = 0, size = a->page_size;
	size_t i = 0, k = 0, m = 0;

	*compared = 0;
	if (!same_mappings(a, b)) {
		(void)fputs("snapshot: the mappings differ\n", stderr);
		return 1;
	}
	for (uint64_t at = 0;; at += size) {
		const unsigned char *pa = NULL, *pb = NULL;
		uint64_t next = UINT64_MAX;

		while (i < a->n_runs && a->runs[i].end <= at)
			i++;
		while (k < b->n_runs && b->runs[k].end <= at)
			k++;
		if (i < a->n_runs)
			next = a->runs[i].start;
		if (k < b->n_runs && b->runs[k].start < next)
			next = b->runs[k].start;
		if (next == UINT64_MAX)
			return differ;
		at = next > at ? next : at;
		if (i < a->n_runs && a->runs[i].start <= at)
			pa = a->runs[i].bytes + (at - a->runs[i].start);
		if (k < b->n_runs && b->runs[k].start <= at)
			pb = b->runs[k].bytes + (at - b->runs[k].start);
		while (m < a->n_mappings && a->mappings[m].end <= at)
			m++;
		++*compared;
		if (same_page(pa, pb, size, m < a->n_mappings && a->mappings[m].flags & SNAP_FILE))
			continue;
		if (differ++ == 0) {
			size_t byte = 0;

			while (pa != NULL && pb != NULL && pa[byte] == pb[byte])
				byte++;
			(void)fprintf(
				stderr,
				"snapshot: the first page that differs is %#llx, at %#zx of it\n",
				(unsigned long long)at, byte);
		}
	}
}

bool image_describe(const char *path)
{
	uint64_t n[SNAP_END] = { 0 }, pages[SNAP_END] = { 0 };
	struct snap_record rec;
	const unsigned char *bytes;
	struct reader r;
	bool ok = reader_open(&r, path);

	while (reader_next(&r, &rec, &bytes, &ok)) {
		n[rec.type]++;
		pages[rec.type] += (rec.end - rec.start) / r.header->page_size;
	}
	if (!ok)
		return false;
	printf("number %llu\nkind %s\nbytes %zu\n", (unsigned long long)r.header->number,
	       r.header->kind == SNAP_FULL ? "full" : "increment", r.len);
	printf("mappings %llu\nmapped_pages %llu\n", (unsigned long long)n[SNAP_MAPPING],
	       (unsigned long long)pages[SNAP_MAPPING]);
	printf("data_runs %llu\ndata_pages %llu\nempty_runs %llu\nempty_pages %llu\n",
	       (unsigned long long)n[SNAP_DATA], (unsigned long long)pages[SNAP_DATA],
	       (unsigned long long)n[SNAP_EMPTY], (unsigned long long)pages[SNAP_EMPTY]);
	return true;
}
