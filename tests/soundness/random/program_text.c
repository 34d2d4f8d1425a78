/* SPDX-License-Identifier: MIT
 *
 * Programs as text: a line for each operation, operands by name, those that are 0
 * left out. */
#include "tests/soundness/random/program.h"

#include <stdlib.h>
#include <string.h>

#define N(a) (sizeof(a) / sizeof *(a))
#define B(o) (UINT32_C(1) << (o))
#define HOWS(a) (a), N(a)
#define NO_HOWS NULL, 0

static const char *const operand_names[OPERANDS] = {
	[O_HOW] = "how",           [O_PAGE] = "page",
	[O_PAGES] = "pages",       [O_TO] = "to",
	[O_OFFSET] = "offset",     [O_BYTES] = "bytes",
	[O_TIMES] = "times",       [O_SEED] = "seed",
	[O_THREAD] = "thread",     [O_RUNNING] = "running",
	[O_TABLE] = "table",       [O_FROM] = "from",
	[O_REQUIRED] = "required", [O_ANY] = "any",
	[O_EXCLUDED] = "excluded", [O_RETURNED] = "returned",
	[O_LIMIT] = "limit",       [O_CAPACITY] = "capacity",
	[O_FLAGS] = "flags",       [O_ROUNDS] = "rounds",
};

static const char *const write_hows[] = { "store",  "copy", "vector", "atomic",
					  "signal", "read", "pread",  "vmwrite" };
static const char *const map_hows[] = { "private", "shared", "copy", "file", "filecopy" };
static const char *const remap_hows[] = { "move", "dontunmap" };
static const char *const protect_hows[] = { "rw", "ro", "none" };
static const char *const advise_hows[ADVISE_KINDS] = {
	"dontneed",   "free",       "populate-read", "populate-write", "collapse",    "hugepage",
	"nohugepage", "pageout",    "cold",          "mergeable",      "unmergeable", "guard",
	"unguard",    "wipeonfork", "keeponfork",    "dontfork",       "dofork",      "remove"
};
static const char *const lock_hows[] = { "lock", "unlock", "onfault" };
static const char *const track_hows[] = { "look", "hint" };
static const char *const consumer_hows[] = { "ask", "anew" };
static const char *const collect_hows[] = { "fresh", "add" };
static const char *const scan_hows[] = { "get", "clear", "both" };
static const char *const fork_hows[] = { "fork", "clone" };
static const char *const spawn_hows[] = { "vfork", "posix" };
static const char *const files_hows[] = { "close", "null", "other" };

#define PLACE (B(O_PAGE) | B(O_PAGES))
#define WHILE B(O_RUNNING)

/* The operations, and the capabilities that they need:
 *   running and preclean  CONCURRENT: get-and-clear while others write
 *   map .. resize of what is tracked  REMAP
 *   protect of what is tracked  MPROTECT
 *   tracking shared and file memory  SHARED (tests/soundness/random/program_memory.c)
 *   read, pread, vmwrite  without KERNEL_WRITES they may be refused with EFAULT
 * Everything else is for all. */
const struct op_info op_info[OP_KINDS] = {
	[OP_WRITE] = { "write",
		       PLACE | B(O_HOW) | B(O_OFFSET) | B(O_BYTES) | B(O_TIMES) | B(O_SEED) |
			       B(O_THREAD),
		       HOWS(write_hows), 0, 0, 300 },
	[OP_MAP] = { "map", PLACE | B(O_HOW), HOWS(map_hows), 0, CARDMARK_CAP_REMAP, 30 },
	[OP_UNMAP] = { "unmap", PLACE, NO_HOWS, 0, CARDMARK_CAP_REMAP, 10 },
	[OP_REMAP] = { "remap", PLACE | B(O_TO) | B(O_HOW), HOWS(remap_hows), 0, CARDMARK_CAP_REMAP,
		       14 },
	[OP_RESIZE] = { "resize", PLACE | B(O_TO), NO_HOWS, 0, CARDMARK_CAP_REMAP, 8 },
	[OP_PROTECT] = { "protect", PLACE | B(O_HOW), HOWS(protect_hows), 0, CARDMARK_CAP_MPROTECT,
			 20 },
	[OP_ADVISE] = { "advise", PLACE | B(O_HOW), HOWS(advise_hows), 0, 0, 60 },
	[OP_LOCK] = { "lock", PLACE | B(O_HOW), HOWS(lock_hows), 0, 0, 4 },
	[OP_TRACK] = { "track", PLACE | B(O_HOW) | WHILE, HOWS(track_hows), 0, 0, 60 },
	[OP_UNTRACK] = { "untrack", PLACE | WHILE, NO_HOWS, 0, 0, 20 },
	[OP_COLLECT] = { "collect", B(O_HOW) | B(O_TABLE) | WHILE, HOWS(collect_hows), 0, 0, 120 },
	[OP_PRECLEAN] = { "preclean", B(O_THREAD) | WHILE, NO_HOWS, CARDMARK_CAP_CONCURRENT, 0,
			  30 },
	[OP_SCAN] = { "scan",
		      PLACE | B(O_HOW) | B(O_REQUIRED) | B(O_ANY) | B(O_EXCLUDED) | B(O_RETURNED) |
			      B(O_LIMIT) | B(O_CAPACITY) | B(O_FLAGS) | B(O_ROUNDS) | WHILE,
		      HOWS(scan_hows), 0, 0, 50 },
	[OP_HOLD] = { "hold", B(O_PAGE) | B(O_OFFSET) | B(O_BYTES) | WHILE, NO_HOWS, 0, 0, 8 },
	[OP_RELEASE] = { "release", B(O_PAGE) | WHILE, NO_HOWS, 0, 0, 6 },
	[OP_BEHIND] = { "behind", PLACE | B(O_SEED), NO_HOWS, 0, 0, 10 },
	[OP_DISCARDED] = { "discarded", B(O_TABLE), NO_HOWS, 0, 0, 12 },
	[OP_SUSPEND] = { "suspend", WHILE, NO_HOWS, 0, 0, 4 },
	[OP_RESUME] = { "resume", WHILE, NO_HOWS, 0, 0, 6 },
	[OP_UNION] = { "union", B(O_TABLE) | B(O_FROM), NO_HOWS, 0, 0, 8 },
	[OP_CLEAR] = { "clear", PLACE | B(O_TABLE), NO_HOWS, 0, 0, 8 },
	[OP_TABLE] = { "table", B(O_TABLE), NO_HOWS, 0, 0, 2 },
	[OP_REOPEN] = { "reopen", 0, NO_HOWS, 0, 0, 2 },
	[OP_FORK] = { "fork", B(O_HOW) | WHILE, HOWS(fork_hows), 0, 0, 6 },
	[OP_SPAWN] = { "spawn", PLACE | B(O_HOW) | B(O_SEED), HOWS(spawn_hows), 0, 0, 3 },
	[OP_FILES] = { "files", B(O_HOW) | B(O_FROM), HOWS(files_hows), 0, 0, 4 },
	/* Mixed with the others when a program is made. */
	[OP_CONSUMER] = { "consumer", B(O_HOW), HOWS(consumer_hows), 0, 0, 0 },
	[OP_WAIT] = { "wait", 0, NO_HOWS, 0, 0, 4 },
};

/* The first line: how the tracker is opened. */
static const struct {
	const char *name;
	size_t offset;
} header[] = {
	{ "open", offsetof(struct program, open) },
	{ "chunk", offsetof(struct program, chunk) },
	{ "vec", offsetof(struct program, vec) },
	{ "crew", offsetof(struct program, crew) },
	{ "huge", offsetof(struct program, huge) },
	{ "backoff", offsetof(struct program, backoff) },
	{ "consumer", offsetof(struct program, consumer) },
	{ "verify", offsetof(struct program, verify) },
	{ "faults", offsetof(struct program, faults) },
};

static uint32_t field(const struct program *p, size_t k)
{
	return *(const uint32_t *)(const void *)((const char *)p + header[k].offset);
}

void program_print(FILE *out, const struct program *p)
{
	(void)fputs("program", out);
	if (p->seed != 0)
		(void)fprintf(out, " seed=%llu", (unsigned long long)p->seed);
	for (size_t k = 0; k < N(header); k++)
		if (field(p, k) != 0)
			(void)fprintf(out, " %s=%u", header[k].name, field(p, k));
	(void)fputc('\n', out);
	for (size_t i = 0; i < p->n; i++) {
		const struct op *op = &p->op[i];
		const struct op_info *info = &op_info[op->kind];

		(void)fputs(info->name, out);
		for (size_t k = 0; k < OPERANDS; k++) {
			if (!(info->operands & B(k)) || op->v[k] == 0)
				continue;
			if (k == O_HOW)
				(void)fprintf(out, " how=%s", info->hows[op->v[k] % info->hows_n]);
			else
				(void)fprintf(out, " %s=%u", operand_names[k], op->v[k]);
		}
		(void)fputc('\n', out);
	}
}

/* ---- Parsing -------------------------------------------------------------------- */

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 0);
}

static const char *parse_header(struct program *p, char **save)
{
	char *word;
	size_t k;

	while ((word = strtok_r(NULL, " \t", save)) != NULL) {
		char *value = strchr(word, '=');
		if (value == NULL)
			return "an option without a value";
		*value++ = '\0';
		if (strcmp(word, "seed") == 0) {
			p->seed = strtoull(value, NULL, 0);
			continue;
		}
		for (k = 0; k < N(header) && strcmp(word, header[k].name) != 0; k++)
			;
		if (k == N(header))
			return "an unknown option";
		*(uint32_t *)(void *)((char *)p + header[k].offset) = number(value);
	}
	return NULL;
}

static const char *parse_operand(const struct op_info *info, struct op *op, char *word)
{
	char *value = strchr(word, '=');

	if (value == NULL)
		return "an operand without a value";
	*value++ = '\0';
	for (size_t k = 0; k < OPERANDS; k++) {
		if (!(info->operands & B(k)) || strcmp(word, operand_names[k]) != 0)
			continue;
		if (k != O_HOW) {
			op->v[k] = number(value);
			return NULL;
		}
		for (uint32_t h = 0; h < info->hows_n; h++) {
			if (strcmp(value, info->hows[h]) == 0) {
				op->v[k] = h;
				return NULL;
			}
		}
		return "an unknown way (how=) to do it";
	}
	return "an operand that this operation does not have";
}

static const char *parse_op(struct program *p, const char *name, char **save)
{
	struct op *op = &p->op[p->n];
	char *word;

	if (p->n == PROGRAM_OPS)
		return "too many operations";
	memset(op, 0, sizeof *op);
	for (size_t k = 0; k < OP_KINDS; k++) {
		if (strcmp(name, op_info[k].name) != 0)
			continue;
		op->kind = (enum op_kind)k;
		p->n++;
		while ((word = strtok_r(NULL, " \t", save)) != NULL) {
			const char *wrong = parse_operand(&op_info[k], op, word);
			if (wrong != NULL)
				return wrong;
		}
		return NULL;
	}
	return "an unknown operation";
}

const char *program_parse(FILE *in, struct program *p)
{
	char line[512];
	const char *wrong = NULL;

	memset(p, 0, sizeof *p);
	while (wrong == NULL && fgets(line, sizeof line, in) != NULL) {
		char *save, *word;

		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " \t", &save);
		if (word == NULL)
			continue;
		if (strcmp(word, "program") == 0)
			wrong = parse_header(p, &save);
		else
			wrong = parse_op(p, word, &save);
	}
	return wrong != NULL ? wrong : p->n == 0 ? "no operations" : NULL;
}
