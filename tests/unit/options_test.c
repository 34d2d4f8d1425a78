/* SPDX-License-Identifier: MIT
 *
 * Description: options, their environment, backend names, errors and the probe's
 * table: defaults, bounds, who overrides whom, and a reason for every refusal. */
#include "lib/tracker.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void clean_environment(void)
{
	(void)unsetenv("CARDMARK_BACKEND");
	(void)unsetenv("CARDMARK_CHUNK");
	(void)unsetenv("CARDMARK_VEC");
	(void)unsetenv("CARDMARK_THREADS");
	(void)unsetenv("CARDMARK_HUGE");
	(void)unsetenv("CARDMARK_VERIFY");
	(void)unsetenv("CARDMARK_BACKOFF");
}

static int set_up(void **state)
{
	(void)state;
	clean_environment();
	return 0;
}

static void names_go_both_ways(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CARDMARK_BACKEND_COUNT; i++) {
		enum cardmark_backend b = CARDMARK_BACKEND_COUNT;
		const char *name = cardmark_backend_name((enum cardmark_backend)i);
		assert_non_null(name);
		assert_int_equal(cardmark_backend_parse(name, &b), 0);
		assert_int_equal(b, i);
	}
	assert_null(cardmark_backend_name(CARDMARK_BACKEND_COUNT));
	assert_null(cardmark_backend_name((enum cardmark_backend)1000));
}

static void unknown_names_are_refused_with_the_list(void **state)
{
	static const char *const bad[] = { "", "Pagemap", "pagemap ", "uff", "none", "soft-dirty" };
	enum cardmark_backend b;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(cardmark_backend_parse(bad[i], &b), -EINVAL);
		for (unsigned k = 0; k < CARDMARK_BACKEND_COUNT; k++)
			assert_non_null(strstr(cardmark_last_error(),
					       cardmark_backend_name((enum cardmark_backend)k)));
	}
	assert_int_equal(cardmark_backend_parse(NULL, &b), -EINVAL);
}

static void defaults(void **state)
{
	struct cardmark_options o, empty = CARDMARK_OPTIONS_INIT;

	(void)state;
	assert_int_equal(cm_options_resolve(&o, NULL), 0);
	assert_int_equal(o.backend, CARDMARK_BACKEND_AUTO);
	assert_int_equal(o.chunk_bytes, 64u << 20);
	assert_int_equal(o.vec_len, 512);
	assert_int_equal(o.threads, 1);
	assert_int_equal(o.huge, CARDMARK_HUGE_KEEP);
	assert_int_equal(o.verify, CARDMARK_VERIFY_OFF);
	assert_int_equal(cm_options_resolve(&o, &empty), 0);
	assert_int_equal(o.vec_len, 512);
	assert_int_equal(o.threads, 1);
}

static void bad_options_are_refused(void **state)
{
	struct cardmark_options good = CARDMARK_OPTIONS_INIT, o, bad;

	(void)state;
	bad = good, bad.size = 0;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.size = 1u << 20;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.backend = CARDMARK_BACKEND_COUNT;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.flags = 0x40;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.vec_len = 7;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.vec_len = 65537;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.threads = 65;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	assert_non_null(strstr(cardmark_last_error(), "1..64"));
	bad = good, bad.huge = (enum cardmark_huge)3;
	assert_int_equal(cm_options_resolve(&o, &bad), -EINVAL);
	assert_true(strlen(cardmark_last_error()) > 10);
}

static void an_older_and_shorter_struct_is_taken(void **state)
{
	struct cardmark_options o, old = CARDMARK_OPTIONS_INIT;

	(void)state;
	old.size = offsetof(struct cardmark_options, vec_len);
	old.chunk_bytes = 1u << 20;
	old.vec_len = 9; /* beyond its size: not looked at */
	assert_int_equal(cm_options_resolve(&o, &old), 0);
	assert_int_equal(o.chunk_bytes, 1u << 20);
	assert_int_equal(o.vec_len, 512);
}

static void the_environment_overrides_unless_told_not_to(void **state)
{
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	(void)state;
	in.backend = CARDMARK_BACKEND_UFFD;
	in.chunk_bytes = 1u << 20;
	in.vec_len = 100;
	(void)setenv("CARDMARK_BACKEND", "mprotect", 1);
	(void)setenv("CARDMARK_CHUNK", "2M", 1);
	(void)setenv("CARDMARK_VEC", "64", 1);
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backend, CARDMARK_BACKEND_MPROTECT);
	assert_int_equal(o.chunk_bytes, 2u << 20);
	assert_int_equal(o.vec_len, 64);
	in.flags = CARDMARK_OPEN_NO_ENV;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backend, CARDMARK_BACKEND_UFFD);
	assert_int_equal(o.vec_len, 100);
	(void)setenv("CARDMARK_BACKEND", "", 1); /* as if unset */
	(void)setenv("CARDMARK_CHUNK", "", 1);
	in.flags = 0;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backend, CARDMARK_BACKEND_UFFD);
}

static void verify_in_the_environment(void **state)
{
	static const char *const bad[] = { "0", "1", "on", "Hash", "hash ", "default" };
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	(void)state;
	in.verify = CARDMARK_VERIFY_HASH;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.verify, CARDMARK_VERIFY_HASH);
	(void)setenv("CARDMARK_VERIFY", "off", 1);
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.verify, CARDMARK_VERIFY_OFF);
	(void)setenv("CARDMARK_VERIFY", "hash", 1);
	assert_int_equal(cm_options_resolve(&o, NULL), 0);
	assert_int_equal(o.verify, CARDMARK_VERIFY_HASH);
	in.verify = CARDMARK_VERIFY_DEFAULT;
	in.flags = CARDMARK_OPEN_NO_ENV;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.verify, CARDMARK_VERIFY_OFF);
	in.verify = (enum cardmark_verify)3;
	assert_int_equal(cm_options_resolve(&o, &in), -EINVAL);
	assert_non_null(strstr(cardmark_last_error(), "CARDMARK_VERIFY"));
	in = (struct cardmark_options)CARDMARK_OPTIONS_INIT;
	(void)setenv("CARDMARK_VERIFY", "", 1); /* as if unset */
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.verify, CARDMARK_VERIFY_OFF);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		(void)setenv("CARDMARK_VERIFY", bad[i], 1);
		assert_int_equal(cm_options_resolve(&o, &in), -EINVAL);
		assert_non_null(strstr(cardmark_last_error(), "one of off, hash"));
	}
}

static void sizes_in_the_environment(void **state)
{
	static const struct {
		const char *text;
		size_t want; /* 0: refused */
	} cases[] = {
		{ "4096", 4096 },   { "64k", 65536 },
		{ "64K", 65536 },   { "1M", 1u << 20 },
		{ "1G", 1u << 30 }, { "1", 0 /* card */ },
		{ "", 64u << 20 },  { "-4096", 0 },
		{ "64kB", 0 },      { "M", 0 },
		{ "1T", 0 },        { " 64k", 0 },
		{ "0x1000", 0 },    { "99999999999999999999", 0 },
	};
	struct cardmark_options o;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int error;
		(void)setenv("CARDMARK_CHUNK", cases[i].text, 1);
		error = cm_options_resolve(&o, NULL);
		if (strcmp(cases[i].text, "1") == 0) { /* rounded up to a card */
			assert_int_equal(error, 0);
			assert_int_equal(o.chunk_bytes, cardmark_card_size());
		} else if (cases[i].want == 0) {
			assert_int_equal(error, -EINVAL);
			assert_non_null(strstr(cardmark_last_error(), "CARDMARK_CHUNK"));
		} else {
			assert_int_equal(error, 0);
			assert_true(o.chunk_bytes >= cases[i].want);
		}
	}
}

static void backoff_in_the_environment(void **state)
{
	static const char *const bad[] = { "often", "-1", "10001", "3 " };
	struct cardmark_options in = CARDMARK_OPTIONS_INIT, o;

	(void)state;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backoff, 0);
	in.backoff = 16;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backoff, 16);
	(void)setenv("CARDMARK_BACKOFF", "0", 1); /* off, whatever the program wants */
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backoff, 0);
	(void)setenv("CARDMARK_BACKOFF", "10000", 1);
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.backoff, 10000);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		(void)setenv("CARDMARK_BACKOFF", bad[i], 1);
		assert_int_equal(cm_options_resolve(&o, &in), -EINVAL);
		assert_non_null(strstr(cardmark_last_error(), "CARDMARK_BACKOFF"));
	}
	clean_environment();
}

static void threads_and_huge_pages_in_the_environment(void **state)
{
	static const char *const bad_threads[] = { "0x2", "two", "-1", "65", "2 ", "1k" };
	static const char *const bad_huge[] = { "0", "Keep", "always", "split " };
	static const char *const words[] = { "keep", "split", "never" };
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	(void)state;
	in.threads = 3;
	in.huge = CARDMARK_HUGE_SPLIT;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.threads, 3);
	assert_int_equal(o.huge, CARDMARK_HUGE_SPLIT);
	(void)setenv("CARDMARK_THREADS", "64", 1);
	for (unsigned i = 0; i < 3; i++) {
		(void)setenv("CARDMARK_HUGE", words[i], 1);
		assert_int_equal(cm_options_resolve(&o, &in), 0);
		assert_int_equal(o.huge, i);
		assert_int_equal(o.threads, 64);
	}
	(void)setenv("CARDMARK_HUGE", "", 1); /* as if unset */
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.huge, CARDMARK_HUGE_SPLIT);
	for (size_t i = 0; i < sizeof bad_huge / sizeof *bad_huge; i++) {
		(void)setenv("CARDMARK_HUGE", bad_huge[i], 1);
		assert_int_equal(cm_options_resolve(&o, &in), -EINVAL);
		assert_non_null(strstr(cardmark_last_error(), "keep, split, never"));
	}
	(void)unsetenv("CARDMARK_HUGE");
	for (size_t i = 0; i < sizeof bad_threads / sizeof *bad_threads; i++) {
		(void)setenv("CARDMARK_THREADS", bad_threads[i], 1);
		assert_int_equal(cm_options_resolve(&o, &in), -EINVAL);
		assert_non_null(strstr(cardmark_last_error(), "CARDMARK_THREADS"));
	}
	in.flags = CARDMARK_OPEN_NO_ENV;
	assert_int_equal(cm_options_resolve(&o, &in), 0);
	assert_int_equal(o.threads, 3);
}

static void a_bad_environment_fails_the_open(void **state)
{
	struct cardmark *cm = (struct cardmark *)8;

	(void)state;
	(void)setenv("CARDMARK_BACKEND", "magic", 1);
	assert_int_equal(cardmark_open(&cm, NULL), -EINVAL);
	assert_null(cm);
	assert_non_null(strstr(cardmark_last_error(), "CARDMARK_BACKEND=magic"));
	assert_int_equal(cardmark_open(NULL, NULL), -EINVAL);
}

static void every_listed_error_has_words(void **state)
{
	static const int listed[] = { EINVAL, ENOMEM, ENOTSUP, EPERM, ENOENT, EBUSY, EIO };
	const char *unknown = cardmark_strerror(12345);

	(void)state;
	assert_non_null(unknown);
	assert_string_equal(cardmark_strerror(0), "success");
	assert_true(strlen(cardmark_version()) >= 5);
	for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
		const char *text = cardmark_strerror(-listed[i]);
		assert_string_equal(text, cardmark_strerror(listed[i]));
		assert_string_not_equal(text, unknown);
	}
	for (int e = 1; e < 200; e++) { /* any errno becomes one of the list */
		int closed = cm_closed_error(-e);
		assert_true(closed < 0);
		assert_string_not_equal(cardmark_strerror(closed), unknown);
	}
}

static void a_backend_asked_for_is_that_or_an_error(void **state)
{
	struct cardmark_probe probes[CARDMARK_BACKEND_COUNT];
	int n = cardmark_probe(probes, CARDMARK_BACKEND_COUNT);

	(void)state;
	assert_int_equal(n, CARDMARK_BACKEND_COUNT - 1);
	assert_int_equal(cardmark_probe(NULL, 0), n);
	for (int i = 0; i < n; i++) {
		struct cardmark_options o = CARDMARK_OPTIONS_INIT;
		struct cardmark *cm = NULL;
		int error;

		assert_true(strlen(probes[i].reason) > 10);
		assert_int_equal(probes[i].usable, probes[i].level > 0);
		o.backend = probes[i].backend;
		error = cardmark_open(&cm, &o);
		if (probes[i].usable) {
			assert_int_equal(error, 0);
			assert_int_equal(cardmark_backend_of(cm), probes[i].backend);
			assert_int_equal(cardmark_capabilities(cm), probes[i].capabilities);
		} else {
			assert_true(error == -ENOTSUP || error == -EPERM);
			assert_non_null(strstr(cardmark_last_error(), probes[i].reason));
			assert_null(cm);
		}
		cardmark_close(&cm);
	}
	assert_true(probes[n - 1].usable); /* all dirty works anywhere */
}

static void the_automatic_choice_is_the_first_usable_and_says_why(void **state)
{
	struct cardmark_probe probes[CARDMARK_BACKEND_COUNT];
	int n = cardmark_probe(probes, CARDMARK_BACKEND_COUNT), i = 0;
	struct cardmark *cm = NULL;

	(void)state;
	assert_int_equal(cardmark_open(&cm, NULL), 0);
	for (; i < n && !probes[i].usable; i++)
		assert_non_null(strstr(cardmark_why(cm), cardmark_backend_name(probes[i].backend)));
	assert_true(i < n);
	assert_int_equal(cardmark_backend_of(cm), probes[i].backend);
	if (i == 0)
		assert_string_equal(cardmark_why(cm), "");
	cardmark_close(&cm);
	assert_null(cm);
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	o.flags = CARDMARK_OPEN_CONCURRENT;
	assert_int_equal(cardmark_open(&cm, &o), 0);
	assert_true(cardmark_capabilities(cm) & CARDMARK_CAP_CONCURRENT);
	cardmark_close(&cm);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_go_both_ways),
		TEST(unknown_names_are_refused_with_the_list),
		TEST(defaults),
		TEST(bad_options_are_refused),
		TEST(an_older_and_shorter_struct_is_taken),
		TEST(the_environment_overrides_unless_told_not_to),
		TEST(sizes_in_the_environment),
		TEST(backoff_in_the_environment),
		TEST(threads_and_huge_pages_in_the_environment),
		TEST(verify_in_the_environment),
		TEST(a_bad_environment_fails_the_open),
		TEST(every_listed_error_has_words),
		TEST(a_backend_asked_for_is_that_or_an_error),
		TEST(the_automatic_choice_is_the_first_usable_and_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
