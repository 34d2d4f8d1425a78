/* SPDX-License-Identifier: MIT
 * The options of the command line. Written before the first mutator starts. */
#ifndef MINIGC_CONFIG_H
#define MINIGC_CONFIG_H

#include <cardmark/cardmark.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum barrier_kind {
	BARRIER_CARDMARK, /* the page tables show the writes */
	BARRIER_CARDS,    /* store() marks a byte for 512 bytes of heap */
	BARRIER_CARDS_4K, /* for 4096 */
	BARRIER_ORACLE,   /* store() enters the object in a list */
	BARRIER_DIRTY,    /* no write is known: all old objects are looked at */
	BARRIER_NONE,     /* so every collection is a full one */
	BARRIERS
};

struct config {
	enum barrier_kind barrier;
	enum cardmark_backend backend;
	unsigned mutators;
	size_t heap_limit, nursery; /* bytes */
	bool verify, preclean, drop;
	bool stats, json;
	const char *pauses; /* a file to write them to, or NULL */
	uint64_t seed;
	intptr_t size;
	const char *program;
	char **args;
};

extern struct config config;

extern const char *const barrier_names[BARRIERS];

/* Reads the command line; ends the process if it is wrong. */
void config_read(int argc, char **argv);

/* Prints "minigc: ..." and ends the process, whatever the other threads do. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
