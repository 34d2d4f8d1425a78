/* SPDX-License-Identifier: MIT
 *
 * Description: structs of <cardmark/jemalloc.h> that begin with their size: shorter, longer,
 * and longer with an unknown member set. */
#include "tests/jemalloc/je.h"
#include "tests/support/sized.h"

static struct cardmark_jemalloc *arena(void)
{
	static struct cardmark_jemalloc *je;
	static struct cardmark *cm;
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = CARDMARK_BACKEND_ALLDIRTY;
	o.flags = CARDMARK_OPEN_NO_ENV;
	if (je == NULL) {
		CHECK_EQ(cardmark_open(&cm, &o), 0);
		CHECK_EQ(cardmark_jemalloc_create(&je, cm, mallctl, 0), 0);
	}
	return je;
}

static int stats(void *caller)
{
	return cardmark_jemalloc_stats(arena(), caller);
}

static const struct sized_struct structs[] = {
	{ "jemalloc_stats", stats, sizeof(struct cardmark_jemalloc_stats), sizeof(size_t), true },
};

static const struct sized_list list = { "jemalloc.h", structs, sizeof structs / sizeof *structs };

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		SIZED_CASES,
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
