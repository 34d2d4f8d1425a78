/* SPDX-License-Identifier: MIT
 *
 * Random programs: lists of operations with explicit operands. A program is made
 * from a seed or read from a text, run by an interpreter in a process of its own,
 * checked by an oracle after every answer, and made smaller when it fails. */
#ifndef CM_TESTS_PROGRAM_H
#define CM_TESTS_PROGRAM_H

#include "cardmark/cardmark.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRAM_PAGES 1024u /* two huge pages of 4 KiB pages */
#define PROGRAM_OPS 512u
#define PROGRAM_THREADS 4u /* thread 0 is the one that asks */
#define PROGRAM_TABLES 2u

enum operand {
	O_HOW,
	O_PAGE,
	O_PAGES,
	O_TO,
	O_OFFSET,
	O_BYTES,
	O_TIMES,
	O_SEED,
	O_THREAD,
	O_RUNNING, /* the other threads go on meanwhile */
	O_TABLE,
	O_FROM,
	O_REQUIRED,
	O_ANY,
	O_EXCLUDED,
	O_RETURNED,
	O_LIMIT,
	O_CAPACITY,
	O_FLAGS,
	O_ROUNDS,
	OPERANDS
};

enum op_kind {
	OP_WRITE,
	OP_MAP,
	OP_UNMAP,
	OP_REMAP,
	OP_RESIZE,
	OP_PROTECT,
	OP_ADVISE,
	OP_LOCK,
	OP_TRACK,
	OP_UNTRACK,
	OP_COLLECT,
	OP_PRECLEAN,
	OP_SCAN,
	OP_HOLD,
	OP_RELEASE,
	OP_BEHIND,
	OP_DISCARDED,
	OP_SUSPEND,
	OP_RESUME,
	OP_UNION,
	OP_CLEAR,
	OP_TABLE,
	OP_REOPEN,
	OP_FORK,
	OP_SPAWN,
	OP_FILES,
	OP_WAIT,
	OP_CONSUMER,
	OP_KINDS
};

enum write_how {
	WRITE_STORE,
	WRITE_COPY,
	WRITE_VECTOR,
	WRITE_ATOMIC,
	WRITE_SIGNAL,
	WRITE_READ,   /* read(2) from a pipe */
	WRITE_PREAD,  /* from a file */
	WRITE_VMWRITE /* process_vm_writev(2) */
};
enum map_how { MAP_HOW_PRIVATE, MAP_HOW_SHARED, MAP_HOW_COPY, MAP_HOW_FILE, MAP_HOW_FILECOPY };
enum remap_how { REMAP_MOVE, REMAP_DONTUNMAP };
enum protect_how { PROTECT_RW, PROTECT_RO, PROTECT_NONE };
enum advise_how {
	ADVISE_DONTNEED,
	ADVISE_FREE,
	ADVISE_POPULATE_READ,
	ADVISE_POPULATE_WRITE,
	ADVISE_COLLAPSE,
	ADVISE_HUGEPAGE,
	ADVISE_NOHUGEPAGE,
	ADVISE_PAGEOUT,
	ADVISE_COLD,
	ADVISE_MERGEABLE,
	ADVISE_UNMERGEABLE,
	ADVISE_GUARD,
	ADVISE_UNGUARD,
	ADVISE_WIPEONFORK,
	ADVISE_KEEPONFORK,
	ADVISE_DONTFORK,
	ADVISE_DOFORK,
	ADVISE_REMOVE,
	ADVISE_KINDS
};
enum fork_how { FORK_FORK, FORK_CLONE };
enum spawn_how { SPAWN_VFORK, SPAWN_POSIX };
enum files_how { FILES_CLOSE, FILES_NULL, FILES_OTHER };
enum consumer_how { CONSUMER_ASK, CONSUMER_ANEW };
enum collect_how { COLLECT_FRESH, COLLECT_ADD };
enum scan_how { SCAN_GET, SCAN_CLEAR, SCAN_BOTH }; /* enum cardmark_scan_op - 1 */

struct op {
	enum op_kind kind;
	uint32_t v[OPERANDS];
};

struct program {
	uint64_t seed;
	uint32_t open;  /* enum cardmark_open_flags */
	uint32_t chunk; /* cards, 0: the default */
	uint32_t vec;
	uint32_t crew; /* threads in a collect */
	uint32_t backoff;
	uint32_t consumer; /* is there a second consumer? */
	uint32_t huge;     /* enum cardmark_huge */
	uint32_t verify;   /* enum cardmark_verify */
	uint32_t faults;   /* one kernel call in this many fails, 0: none */
	uint32_t n;
	struct op op[PROGRAM_OPS];
};

/* The properties of a kind of operation. */
struct op_info {
	const char *name;
	uint32_t operands;       /* 1 << enum operand */
	const char *const *hows; /* names of O_HOW */
	unsigned hows_n;
	/* Made only for a backend with all of these. Without `tracked_needs` it is only done
	 * to untracked memory. */
	unsigned needs, tracked_needs;
	unsigned weight; /* how often, of the sum of all */
};
extern const struct op_info op_info[OP_KINDS];

/* ---- Text --------------------------------------------------------------------- */

void program_print(FILE *out, const struct program *p);
/* NULL, or what is wrong with it (static storage). */
const char *program_parse(FILE *in, struct program *p);

/* ---- Making ------------------------------------------------------------------- */

void program_make(struct program *p, uint64_t seed, unsigned ops, unsigned threads, unsigned caps);

/* ---- Running ------------------------------------------------------------------ */

enum verdict {
	VERDICT_FINE,
	VERDICT_LOST,  /* written, and not reported */
	VERDICT_WRONG, /* an answer or an error that breaks the contract otherwise */
	VERDICT_DIED,  /* of a signal */
	VERDICT_HUNG,
	VERDICT_BROKEN /* the test program itself could not go on */
};

struct counts {
	uint64_t programs, operations, skipped, writes, refused, collects, running, guessed, scans,
		precleans, forks;
	uint64_t checked, changed, reported, over, lost; /* cards compared after answers */
};

struct outcome {
	enum verdict verdict;
	unsigned op; /* that it failed at */
	char text[200];
	struct counts counts;
};

/* Runs it in a new process. */
void program_run(const struct program *p, enum cardmark_backend backend, struct outcome *out);
const char *verdict_name(enum verdict v);
void counts_add(struct counts *sum, const struct counts *c);
void counts_print(const char *who, const struct counts *c);

/* For controls: these are called after each preclean and after each collect. */
extern void (*program_after_preclean)(struct cardmark *cm);
extern void (*program_after_collect)(struct cardmark *cm); /* each of the tracker's own */

/* ---- Making smaller ------------------------------------------------------------ */

/* Removes everything that is not needed to fail in the same way. Returns how often it ran the
 * program. */
unsigned program_shrink(struct program *p, enum cardmark_backend backend, enum verdict verdict,
			unsigned most_runs);

#endif
