/* SPDX-License-Identifier: MIT
 *
 * The text is read into malloc memory, not into the collected heap: read(2)
 * into pages that libgc has protected with mprotect fails with EFAULT, and this
 * program should run with every backend. */
#include "bench/boehm/corpus.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/boehm/util.h"

enum { FILE_MAX = 1 << 20, FILE_MIN = 64 };

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int is_text(const char *p, size_t len)
{
	return memchr(p, '\0', len < 4096 ? len : 4096) == NULL;
}

static void add(struct corpus *c, const char *path, size_t size, size_t max_bytes)
{
	struct corpus_file f;
	int fd;
	ssize_t got;

	if (size < FILE_MIN || size > FILE_MAX || size > max_bytes - c->bytes)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	f.text = malloc(size);
	f.path = strdup(path);
	if (f.text == NULL || f.path == NULL)
		bench_die("corpus: out of memory");
	got = read(fd, f.text, size);
	close(fd);
	if (got != (ssize_t)size || !is_text(f.text, size)) {
		free(f.text);
		free(f.path);
		return;
	}
	f.len = size;
	if ((c->count & (c->count - 1)) == 0) { /* full at every power of two */
		c->files = realloc(c->files, (c->count ? 2 * c->count : 1) * sizeof *c->files);
		if (c->files == NULL)
			bench_die("corpus: out of memory");
	}
	c->files[c->count++] = f;
	c->bytes += size;
}

void corpus_read(struct corpus *c, size_t max_bytes)
{
	/* Prose first: headers fill what is left of the limit. */
	static const char *const roots[] = { "/usr/share/common-licenses", "/usr/share/doc",
					     "/usr/share/man", "/usr/include" };

	memset(c, 0, sizeof *c);
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
		char *root[] = { (char *)(uintptr_t)roots[i], NULL };
		FTS *fts = fts_open(root, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
		FTSENT *e;

		if (fts == NULL)
			continue;
		while ((e = fts_read(fts)) != NULL) {
			size_t n = e->fts_pathlen;

			if (e->fts_info != FTS_F || e->fts_statp->st_size < 0)
				continue;
			if (n > 3 && strcmp(e->fts_path + n - 3, ".gz") == 0)
				continue;
			add(c, e->fts_path, (size_t)e->fts_statp->st_size, max_bytes);
		}
		fts_close(fts);
	}
	if (c->count == 0)
		bench_die("corpus: no text found in /usr/share/doc, /usr/share/man, "
			  "/usr/share/common-licenses or /usr/include");
}

void corpus_free(struct corpus *c)
{
	for (size_t i = 0; i < c->count; i++) {
		free(c->files[i].path);
		free(c->files[i].text);
	}
	free(c->files);
	memset(c, 0, sizeof *c);
}
