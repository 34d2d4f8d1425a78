/* SPDX-License-Identifier: MIT
 *
 * Description: what the hooks of the jemalloc adapter cost, as tests/bench/counters.txt
 * has it, with a jemalloc that unmaps what is freed: each large allocation is an extent
 * that is mapped, tracked, untracked and unmapped. A control adds a call and is seen. */
#include "tests/bench/counters.h"
#include "tests/jemalloc/je.h"

enum { LARGE = 4 << 20 };

/* jemalloc reads it before its first allocation. */
extern const char *_rjem_malloc_conf;
const char *_rjem_malloc_conf = "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0";

static struct cardmark *cm;
static struct cardmark_table *table;
static struct cardmark_jemalloc *je;
static unsigned char *block, *small;
static int flags;

static void do_create(void)
{
	CHECK_EQ(cardmark_jemalloc_create(&je, cm, mallctl, 0), 0);
}

static void do_malloc_large(void)
{
	block = mallocx(LARGE, flags);
	CHECK(block != NULL);
}

static void do_free_large(void)
{
	dallocx(block, flags);
}

static void do_malloc_small(void)
{
	small = mallocx(64, flags);
	CHECK(small != NULL);
}

static void do_free_small(void)
{
	dallocx(small, flags);
}

static void do_collect(void)
{
	(void)cardmark_jemalloc_collect(je, table);
}

static void do_is_dirty(void)
{
	CHECK(cardmark_jemalloc_is_dirty(je, table, block));
}

static void all(void)
{
	cm = live_open();
	table = live_table(cm);
	counters_of(cm);
	do_create();
	flags = JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE;
	/* A slab that stays, so that small objects need no extent. */
	void *stays = mallocx(64, flags);
	do_malloc_large();
	do_free_large();
	counters_step("malloc_large", do_malloc_large);
	counters_step("malloc_small", do_malloc_small);
	live_store(block, 1);
	counters_step("collect", do_collect);
	counters_step("is_dirty", do_is_dirty);
	counters_step("free_small", do_free_small);
	counters_step("free_large", do_free_large);
	dallocx(stays, flags);
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	counters_of(NULL);
	live_clean_up();
}

static void costs(void)
{
	if (live_card != 4096)
		tap_skip("the table is for cards of 4096 bytes, not %zu", live_card);
	CHECK_EQ(counters_compare("jemalloc", all, CONTROL_NONE), 0);
}

static void control_seam_call(void)
{
	if (live_card != 4096)
		tap_skip("the table is for cards of 4096 bytes, not %zu", live_card);
	CHECK(counters_compare("jemalloc", all, CONTROL_SEAM_CALL) > 0);
}

static const struct live_case cases[] = {
	{ "no hook costs more than the table says", costs, 0, 0 },
	{ "control: one more call of the seam is seen", control_seam_call, 0, 0 },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
