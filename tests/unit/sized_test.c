/* SPDX-License-Identifier: MIT
 *
 * Description: structs of <cardmark/cardmark.h>, and those that <cardmark/process.h> takes,
 * that begin with their size: shorter, longer, and longer with an unknown member set. Those of
 * the adapters: tests/boehm/sized_test.c, tests/jemalloc/sized_test.c. */
#include "cardmark/process.h"
#include "tests/support/sized.h"

#include <dirent.h>
#include <unistd.h>

static struct cardmark *tracker(void)
{
	static struct cardmark *cm;
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = CARDMARK_BACKEND_ALLDIRTY;
	o.flags = CARDMARK_OPEN_NO_ENV;
	if (cm == NULL)
		CHECK_EQ(cardmark_open(&cm, &o), 0);
	return cm;
}

static int probe(void *caller)
{
	return cardmark_probe(0, caller);
}

static int open_and_close(void *caller)
{
	struct cardmark *cm = NULL;
	int error = cardmark_open(&cm, caller);

	cardmark_close(&cm);
	return error;
}

static int describe(void *caller)
{
	return cardmark_describe(tracker(), caller);
}

static struct cardmark_query *question(void *caller)
{
	static struct cardmark_region region;
	struct cardmark_query *q = caller;

	q->start = (void *)(uintptr_t)cardmark_card_size();
	q->len = cardmark_card_size();
	q->regions = &region;
	q->capacity = 1;
	q->op = CARDMARK_SCAN_GET;
	return q;
}

static int scan(void *caller)
{
	return cardmark_scan(tracker(), question(caller));
}

static int process_scan(void *caller)
{
	static struct cardmark_process *view;
	struct cardmark_query *q = question(caller);

	if (view == NULL) {
		int error = cardmark_process_open(&view, (int)getpid());

		if (error == -ENOTSUP)
			return cardmark_scan(tracker(), q); /* the same struct: see the note */
		CHECK_EQ(error, 0);
	}
	return cardmark_process_scan(view, q);
}

static int stats(void *caller)
{
	return cardmark_stats(tracker(), caller);
}

static const struct sized_struct structs[] = {
	{ "probe", probe, sizeof(struct cardmark_probe), sizeof(size_t), true },
	{ "options", open_and_close, sizeof(struct cardmark_options), sizeof(size_t), false },
	{ "description", describe, sizeof(struct cardmark_description), sizeof(size_t), true },
	{ "query", scan, sizeof(struct cardmark_query), offsetof(struct cardmark_query, count),
	  false },
	{ "query", process_scan, sizeof(struct cardmark_query),
	  offsetof(struct cardmark_query, count), false },
	{ "stats", stats, sizeof(struct cardmark_stats), sizeof(size_t), true },
};

static const struct sized_list list = { "cardmark.h", structs, sizeof structs / sizeof *structs };

static void no_struct_is_refused(void)
{
	CHECK_EQ(cardmark_stats(tracker(), NULL), -EINVAL);
}

/* Each header of C has a test: process.h takes only what cardmark.h has. Those of C++ have no
 * structs of their own. */
static void each_header_has_its_test(void)
{
	static const char *const tested[] = { "cardmark.h", "gc.h", "jemalloc.h", "process.h" };
	const char *top = getenv("CARDMARK_SRCDIR");
	char path[4096];
	DIR *folder;

	(void)snprintf(path, sizeof path, "%s/include/cardmark", top != NULL ? top : ".");
	folder = opendir(path);
	if (folder == NULL)
		tap_skip("%s cannot be read: CARDMARK_SRCDIR is the source tree", path);
	for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
		const char *suffix = strrchr(e->d_name, '.');
		size_t known = 0;

		if (suffix == NULL || strcmp(suffix, ".h") != 0)
			continue;
		for (size_t i = 0; i < sizeof tested / sizeof *tested; i++)
			known += strcmp(e->d_name, tested[i]) == 0;
		if (known == 0)
			tap_note("%s has no test of its structs", e->d_name);
		CHECK_EQ(known, 1);
	}
	(void)closedir(folder);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		SIZED_CASES,
		UNIT_CASE(no_struct_is_refused),
		UNIT_CASE(each_header_has_its_test),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
