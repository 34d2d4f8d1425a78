/* SPDX-License-Identifier: MIT
 *
 * Verify mode: does a tracker report everything that was written? It keeps a hash of each card and
 * compares hashes after each harvest. It is slow, and independent: it reads memory and page table
 * through descriptors of its own, and asks no backend which cards hold data.
 *
 * The rule. Collect k takes a card at the instant c(k); its hash is taken later, at
 * s(k). If the hash differs between s(k-1) and s(k), there was a write between them.
 * Writers that stand still in a collect wrote between s(k-1) and c(k), so the card must
 * be in report k. With CARDMARK_OPEN_CONCURRENT a write may come after c(k). It must be
 * in report k+1, and until then the backend must report the card as written. If it does
 * not, the write is lost. If it does, the old hash stays, so report k+1 must have the card.
 *
 * Like every page tracker's report, the rule leaves out cards that were emptied,
 * unless the tracker counts them as written (R7). The tracker's lock protects it. */
#ifndef CM_VERIFY_H
#define CM_VERIFY_H

#include "lib/backend/backend.h"
#include "lib/backend/files.h"
#include "lib/hashes.h"

struct cardmark_options;

struct cm_verify {
	bool on;
	bool concurrent;
	struct cm_file mem, pagemap; /* of /proc/self */
	struct cm_cards known;       /* cards whose content at the last collect is known, */
	struct cm_cards held;        /* and is not all zero: then the hash is in hashes */
	struct cm_cards excused;     /* reported since in another way: a clearing scan, discarded */
	struct cm_hashes hashes;
	unsigned char *buffer;
	uint64_t zero;               /* hash of a card of zeros; hashes are kept relative to it */
	struct cm_counters counters; /* for reading entries: not the tracker's */
};

/* Of the tracker that is verified. */
struct cm_verified {
	struct cm_backend *backend;
	const struct cm_ranges *ranges;
	const struct cm_cards *populated; /* reported with data, and not found empty since */
	bool discard_is_write;
	struct cardmark_stats *stats; /* the verify counters among them */
};

/* With options->verify as resolved. 0, or -errno and why. */
int cm_verify_open(struct cm_verify *v, const struct cardmark_options *options);
/* Prints how many cards were missed, if any were. */
void cm_verify_close(struct cm_verify *v, const struct cm_backend *backend,
		     const struct cardmark_stats *stats);
/* For a fork child, whose inherited descriptors read its parent's memory, and for a
 * suspended tracker, which has none. The next comparison opens them again. */
void cm_verify_close_files(struct cm_verify *v);

/* The sets among them are the tracker's to reserve and clear. */
int cm_verify_reserve(struct cm_verify *v, uintptr_t start, uintptr_t end);
/* Forgets the hashes of [start, end). */
void cm_verify_forget(struct cm_verify *v, uintptr_t start, uintptr_t end);

/* Checks the cards of span after a harvest. report has the cards of this collect, and no others of
 * span. Adds the missed cards to it, and returns their number. */
size_t cm_verify_compare(struct cm_verify *v, const struct cm_verified *of,
			 struct cardmark_run span, struct cm_cards *report);

#endif
