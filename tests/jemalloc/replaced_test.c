/* SPDX-License-Identifier: MIT
 *
 * Description: the program writes other extent hooks to an arena under watch, for good or for a
 * time, or a copy of ours, or destroys the arena: then everything counts and is reported as
 * dirty. Controls: a collect that cannot read jemalloc's pointer to the hooks notices nothing,
 * and a write is lost; where memory of unknown origin is expected, there is no alarm. */
#include "gc-glue/jemalloc/glue.h" /* first: the frame has a variable `je` */

#include "tests/jemalloc/watched.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)8 << 20)

static struct je_hooks *ours;

/* ---- A stranger, who maps for himself ------------------------------------------------- */

static void *stranger_alloc(struct je_hooks *h, void *at, size_t size, size_t alignment, bool *zero,
			    bool *commit, unsigned arena)
{
	unsigned char *p = mmap(at, size + alignment, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)h, (void)arena;
	if (p == MAP_FAILED)
		return NULL;
	*zero = *commit = true;
	return (void *)(((uintptr_t)p + alignment - 1) & ~(alignment - 1));
}

static bool stranger_dalloc(struct je_hooks *h, void *addr, size_t size, bool committed,
			    unsigned arena)
{
	(void)h, (void)addr, (void)size, (void)committed, (void)arena;
	return true;
}

static struct je_hooks stranger = { .alloc = stranger_alloc, .dalloc = stranger_dalloc };

/* ---- A wrapper, who calls ours -------------------------------------------------------- */

static unsigned wrapped_calls;

static void *wrapper_alloc(struct je_hooks *h, void *at, size_t size, size_t alignment, bool *zero,
			   bool *commit, unsigned arena)
{
	(void)h;
	wrapped_calls++;
	return ours->alloc(ours, at, size, alignment, zero, commit, arena);
}

static bool wrapper_dalloc(struct je_hooks *h, void *addr, size_t size, bool committed,
			   unsigned arena)
{
	(void)h;
	return ours->dalloc(ours, addr, size, committed, arena);
}

static struct je_hooks wrapper = {
	.alloc = wrapper_alloc, .dalloc = wrapper_dalloc, .split = je_split, .merge = je_merge
};

/* ---- -------------------------------------------------------------------------------------- */

static int flags;

static void replace_hooks(struct je_hooks *by)
{
	unsigned arena = cardmark_jemalloc_arena(je);

	flags = cardmark_jemalloc_flags(je);
	ours = je_read_hooks(arena);
	CHECK_EQ(je_write_hooks(arena, by), 0);
}

static bool walk_finds(const unsigned char *p)
{
	struct cardmark_run run;
	uintptr_t at = 0;

	while (cardmark_jemalloc_next_dirty(je, table, at, UINTPTR_MAX, &run)) {
		if (run.start <= (uintptr_t)p && (uintptr_t)p < run.end)
			return true;
		at = run.end;
	}
	return false;
}

static void expect_all_dirty(const unsigned char *p)
{
	struct cardmark_jemalloc_stats stats = je_stats(je);

	CHECK(dirty(p) && walk_finds(p));
	CHECK_EQ(cardmark_jemalloc_check(je, p, 1), -ENOENT);
	CHECK(strstr(cardmark_last_error(), "extent hooks") != NULL);
	CHECK_EQ(stats.ranges_overflown, 1);
	CHECK_EQ(stats.last_error, -EBUSY);
}

static bool word_is_known(void)
{
	if (je->hooks_word != 0)
		return true;
	CHECK_EQ(cardmark_jemalloc_destroy(&je), 0);
	tap_skip("it is not known where this jemalloc keeps an arena's hooks");
	return false;
}

/* Is a write to memory that foreign hooks mapped found after two collects? */
static bool found_after_collects(enum cardmark_collected *result)
{
	unsigned char *p = mallocx(BYTES, flags);

	CHECK(p != NULL);
	collect();
	cardmark_table_clear(table);
	live_store(p + 5 * live_card, 1);
	*result = cardmark_jemalloc_collect(je, table);
	return walk_finds(p + 5 * live_card);
}

static void a_collect_notices(void)
{
	enum cardmark_collected result;
	unsigned char *p;

	set_up(0);
	if (!word_is_known())
		return;
	replace_hooks(&stranger);
	CHECK(found_after_collects(&result));
	CHECK(result != CARDMARK_EXACT);
	p = mallocx(BYTES, flags);
	expect_all_dirty(p);
	/* For ever, because no hook reported the mappings made meanwhile. */
	CHECK_EQ(je_write_hooks(cardmark_jemalloc_arena(je), ours), 0);
	collect();
	expect_all_dirty(p);
	tear_down();
}

/* Control: a collect that cannot read the pointer. */
static void a_collect_that_cannot_look_loses(void)
{
	enum cardmark_collected result;
	unsigned char *p;

	set_up(0);
	je->hooks_word = 0;
	replace_hooks(&stranger);
	CHECK(!found_after_collects(&result));
	p = mallocx(BYTES, flags);
	CHECK_EQ(cardmark_jemalloc_check(je, p, 1), -ENOENT);
	expect_all_dirty(p); /* from the check on */
	tear_down();
}

static void a_walk_notices(void)
{
	unsigned char *p;

	set_up(0);
	if (!word_is_known())
		return;
	replace_hooks(&stranger);
	p = mallocx(BYTES, flags);
	CHECK(p != NULL);
	(void)cardmark_collect(cm, table);
	cardmark_table_clear(table);
	(void)cardmark_collect(cm, table);
	CHECK(walk_finds(p));
	expect_all_dirty(p);
	tear_down();
}

static void *ask_for_flags(void *arg)
{
	(void)cardmark_jemalloc_flags(je);
	return arg;
}

static void a_new_thread_notices(void)
{
	unsigned char *p;
	pthread_t thread;

	set_up(0);
	je->hooks_word = 0;
	replace_hooks(&stranger);
	p = mallocx(BYTES, flags);
	CHECK_EQ(pthread_create(&thread, NULL, ask_for_flags, NULL), 0);
	(void)pthread_join(thread, NULL);
	collect();
	expect_all_dirty(p);
	tear_down();
}

/* Two collects with ours in place, and others between them. */
static bool noticed_later(bool expected)
{
	unsigned char *p;
	bool noticed;

	set_up(0);
	je->best_effort = expected;
	replace_hooks(&stranger);
	p = mallocx(BYTES, flags);
	CHECK(p != NULL);
	CHECK_EQ(je_write_hooks(cardmark_jemalloc_arena(je), ours), 0);
	dallocx(p, flags);
	CHECK_EQ(je_arena_do("purge", cardmark_jemalloc_arena(je)), 0);
	collect();
	noticed = dirty(p);
	tear_down();
	return noticed;
}

static void hooks_that_were_replaced_for_a_time(void)
{
	CHECK(noticed_later(false));
}

/* Control: as for an arena that may hold memory that no hook reported. */
static void unknown_memory_that_is_expected(void)
{
	CHECK(!noticed_later(true));
}

static void a_wrapper_is_left_in_place(void)
{
	enum cardmark_collected result;
	unsigned arena;
	unsigned char *p;

	set_up(0);
	if (!word_is_known())
		return;
	arena = cardmark_jemalloc_arena(je);
	replace_hooks(&wrapper);
	CHECK(found_after_collects(&result));
	CHECK(result != CARDMARK_EXACT);
	wrapped_calls = 0;
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
	CHECK_EQ(live_stats(cm).tracked_bytes, 0);
	CHECK(je_read_hooks(arena) == &wrapper);
	p = mallocx(16 * BYTES, flags); /* through the wrapper and ours, which pass it on */
	CHECK(p != NULL);
	memset(p, 1, 16 * BYTES);
	CHECK(wrapped_calls > 0);
	dallocx(p, flags);
}

/* The usual way to change one hook: a copy of the current ones. Ours are then called with an
 * address that is not ours. */
static struct je_hooks *copy_with_other_purge(void)
{
	static struct je_hooks *copy;
	size_t bytes = 2 * live_card;
	unsigned char *p;

	/* At the end of a mapping: a read beyond it would fault. */
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && mprotect(p + live_card, live_card, PROT_NONE) == 0);
	copy = (void *)(p + live_card - sizeof *copy);
	*copy = *je_read_hooks(cardmark_jemalloc_arena(je));
	copy->purge_lazy = NULL;
	return copy;
}

static void a_copy_of_ours(void)
{
	enum cardmark_collected result;
	unsigned char *p;

	set_up(0);
	if (!word_is_known())
		return;
	replace_hooks(copy_with_other_purge());
	CHECK(found_after_collects(&result));
	CHECK(result != CARDMARK_EXACT);
	p = mallocx(16 * BYTES, flags);
	CHECK(p != NULL);
	expect_all_dirty(p);
	dallocx(p, flags);
	CHECK_EQ(je_arena_do("purge", cardmark_jemalloc_arena(je)), 0);
	tear_down();
}

/* Everything is dirty once one of our hooks was called through a copy. */
static void expect_notice_of_a_copy(void)
{
	unsigned char *p;

	replace_hooks(copy_with_other_purge());
	p = mallocx(16 * BYTES, flags);
	CHECK(p != NULL);
	collect();
	expect_all_dirty(p);
	tear_down();
}

static void a_copy_that_only_hooks_notice(void)
{
	set_up(0);
	je->hooks_word = 0;
	expect_notice_of_a_copy();
}

/* Of an arena that was detached and adopted again: the struct of the first time is still there. */
static void a_copy_after_a_detach(void)
{
	unsigned arena;

	set_up(0);
	arena = cardmark_jemalloc_arena(je);
	CHECK_EQ(cardmark_jemalloc_detach(&je), 0);
	CHECK_EQ(cardmark_jemalloc_adopt(&je, cm, mallctl, arena, CARDMARK_JEMALLOC_BEST_EFFORT),
		 0);
	expect_notice_of_a_copy();
}

static void a_copy_of_ours_in_another_arena(void)
{
	unsigned char *p;
	unsigned arena;
	size_t size = sizeof arena;

	set_up(0);
	CHECK_EQ(mallctl("arenas.create", &arena, &size, NULL, 0), 0);
	CHECK_EQ(je_write_hooks(arena, copy_with_other_purge()), 0);
	p = mallocx(16 * BYTES, JE_ARENA(arena) | JE_TCACHE_NONE);
	CHECK(p != NULL);
	memset(p, 1, 16 * BYTES);
	CHECK(!cardmark_jemalloc_contains(je, p, 1));
	CHECK_EQ(je_stats(je).ranges_overflown, 0);
	dallocx(p, JE_TCACHE_NONE);
	CHECK_EQ(je_arena_do("purge", arena), 0);
	CHECK_EQ(je_arena_do("destroy", arena), 0);
	tear_down();
}

/* With opt.retain the word becomes zero, else it is unmapped. */
static void destroy_behind(void *arg)
{
	unsigned char *p;

	(void)arg;
	flags = cardmark_jemalloc_flags(je);
	p = mallocx(BYTES, JE_ARENA(cardmark_jemalloc_arena(je)) | JE_TCACHE_NONE);
	CHECK_EQ(je_arena_do("destroy", cardmark_jemalloc_arena(je)), 0);
	CHECK(cardmark_jemalloc_collect(je, table) != CARDMARK_EXACT);
	CHECK(walk_finds(p));
}

static void an_arena_that_is_destroyed_behind_us(void)
{
	if (TAP_TSAN)
		tap_skip(
			"this sanitizer has no room for the locks that jemalloc holds over a fork");
	set_up(0);
	if (!word_is_known())
		return;
	CHECK_EQ(tap_in_child(destroy_behind, NULL), 0);
	tear_down();
}

static const struct live_case cases[] = {
	{ "a collect notices", a_collect_notices, 0, 0 },
	{ "control: a collect that cannot look loses a write", a_collect_that_cannot_look_loses, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "a walk notices", a_walk_notices, 0, 0 },
	{ "a new thread notices", a_new_thread_notices, 0, 0 },
	{ "hooks that were replaced for a time", hooks_that_were_replaced_for_a_time, 0, 0 },
	{ "control: unknown memory that is expected", unknown_memory_that_is_expected, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "a wrapper is left in place", a_wrapper_is_left_in_place, 0, 0 },
	{ "a copy of ours", a_copy_of_ours, 0, 0 },
	{ "a copy that only hooks notice", a_copy_that_only_hooks_notice, 0, 0 },
	{ "a copy after a detach", a_copy_after_a_detach, 0, 0 },
	{ "a copy of ours in another arena", a_copy_of_ours_in_another_arena, 0, 0 },
	{ "an arena that is destroyed behind us", an_arena_that_is_destroyed_behind_us, 0, 0 },
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
