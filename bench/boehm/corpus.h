/* SPDX-License-Identifier: MIT
 * Real text of this machine: documentation, manual pages, licences, headers. */
#ifndef CARDMARK_BENCH_CORPUS_H
#define CARDMARK_BENCH_CORPUS_H

#include <stddef.h>

struct corpus_file {
	char *path;
	char *text; /* outside the collected heap: see corpus.c */
	size_t len;
};

struct corpus {
	struct corpus_file *files;
	size_t count;
	size_t bytes;
};

/* Reads uncompressed text files in the order of their paths until max_bytes
 * are read: the same machine gives the same corpus. Ends the program if there
 * is none. */
void corpus_read(struct corpus *c, size_t max_bytes);
void corpus_free(struct corpus *c);

#endif
