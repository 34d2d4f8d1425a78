/* SPDX-License-Identifier: MIT
 *
 * Description: options, their environment, backend names, errors and the probe's
 * table: defaults, bounds, which setting overrides which, and a reason for every refusal. */
#include "lib/tracker.h"
#include "tests/support/backends.h"
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

#define NO_BACKEND ((enum cardmark_backend)77)

static void names_go_both_ways(void)
{
	for (unsigned i = CARDMARK_BACKEND_AUTO; i <= CARDMARK_BACKEND_ALLDIRTY; i++) {
		enum cardmark_backend b = NO_BACKEND;
		const char *name = cardmark_backend_name((enum cardmark_backend)i);
		CHECK(name != NULL);
		CHECK_EQ(cardmark_backend_parse(name, &b), 0);
		CHECK_EQ(b, i);
	}
	CHECK(cardmark_backend_name(NO_BACKEND) == NULL);
	CHECK(cardmark_backend_name((enum cardmark_backend)1000) == NULL);
}

static void unknown_names_are_refused_with_the_list(void)
{
	static const char *const bad[] = { "", "Pagemap", "pagemap ", "uff", "none", "soft-dirty" };
	enum cardmark_backend b;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK_EQ(cardmark_backend_parse(bad[i], &b), -EINVAL);
		for (unsigned k = 0; k <= CARDMARK_BACKEND_ALLDIRTY; k++)
			CHECK(strstr(cardmark_last_error(),
				     cardmark_backend_name((enum cardmark_backend)k)) != NULL);
	}
	CHECK_EQ(cardmark_backend_parse(NULL, &b), -EINVAL);
}

static void defaults(void)
{
	struct cardmark_options o, empty = CARDMARK_OPTIONS_INIT;

	CHECK_EQ(cm_options_resolve(&o, NULL), 0);
	CHECK_EQ(o.backend, CARDMARK_BACKEND_AUTO);
	CHECK_EQ(o.chunk_bytes, 64u << 20);
	CHECK_EQ(o.vec_len, 512);
	CHECK_EQ(o.threads, 1);
	CHECK_EQ(o.huge, CARDMARK_HUGE_KEEP);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_OFF);
	CHECK_EQ(cm_options_resolve(&o, &empty), 0);
	CHECK_EQ(o.vec_len, 512);
	CHECK_EQ(o.threads, 1);
}

static void bad_options_are_refused(void)
{
	struct cardmark_options good = CARDMARK_OPTIONS_INIT, o, bad;

	bad = good, bad.size = 0;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.size = 1u << 20;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.backend = NO_BACKEND;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.flags = 0x40;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.vec_len = 7;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.vec_len = 65537;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	bad = good, bad.threads = 65;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	CHECK(strstr(cardmark_last_error(), "the option threads is 65") != NULL);
	CHECK(strstr(cardmark_last_error(), "from 1 to 64") != NULL);
	bad = good, bad.huge = (enum cardmark_huge)3;
	CHECK_EQ(cm_options_resolve(&o, &bad), -EINVAL);
	CHECK(strlen(cardmark_last_error()) > 10);
}

static void an_older_and_shorter_struct_is_taken(void)
{
	struct cardmark_options o, old = CARDMARK_OPTIONS_INIT;

	old.size = offsetof(struct cardmark_options, vec_len);
	old.chunk_bytes = 1u << 20;
	old.vec_len = 9; /* beyond its size: not looked at */
	CHECK_EQ(cm_options_resolve(&o, &old), 0);
	CHECK_EQ(o.chunk_bytes, 1u << 20);
	CHECK_EQ(o.vec_len, 512);
}

static void the_environment_overrides_unless_told_not_to(void)
{
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	in.backend = CARDMARK_BACKEND_UFFD;
	in.chunk_bytes = 1u << 20;
	in.vec_len = 100;
	(void)setenv("CARDMARK_BACKEND", "mprotect", 1);
	(void)setenv("CARDMARK_CHUNK", "2M", 1);
	(void)setenv("CARDMARK_VEC", "64", 1);
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backend, CARDMARK_BACKEND_MPROTECT);
	CHECK_EQ(o.chunk_bytes, 2u << 20);
	CHECK_EQ(o.vec_len, 64);
	in.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backend, CARDMARK_BACKEND_UFFD);
	CHECK_EQ(o.vec_len, 100);
	(void)setenv("CARDMARK_BACKEND", "", 1); /* as if unset */
	(void)setenv("CARDMARK_CHUNK", "", 1);
	in.flags = 0;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backend, CARDMARK_BACKEND_UFFD);
}

static void verify_in_the_environment(void)
{
	static const char *const bad[] = { "0", "1", "on", "Hash", "hash ", "default" };
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	in.verify = CARDMARK_VERIFY_HASH;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_HASH);
	(void)setenv("CARDMARK_VERIFY", "off", 1);
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_OFF);
	(void)setenv("CARDMARK_VERIFY", "hash", 1);
	CHECK_EQ(cm_options_resolve(&o, NULL), 0);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_HASH);
	in.verify = CARDMARK_VERIFY_DEFAULT;
	in.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_OFF);
	in.verify = (enum cardmark_verify)3;
	CHECK_EQ(cm_options_resolve(&o, &in), -EINVAL);
	CHECK(strstr(cardmark_last_error(), "the option verify") != NULL);
	in = (struct cardmark_options)CARDMARK_OPTIONS_INIT;
	(void)setenv("CARDMARK_VERIFY", "", 1); /* as if unset */
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.verify, CARDMARK_VERIFY_OFF);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		(void)setenv("CARDMARK_VERIFY", bad[i], 1);
		CHECK_EQ(cm_options_resolve(&o, &in), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "one of off, hash") != NULL);
	}
}

static void sizes_in_the_environment(void)
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

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int error;
		(void)setenv("CARDMARK_CHUNK", cases[i].text, 1);
		error = cm_options_resolve(&o, NULL);
		if (strcmp(cases[i].text, "1") == 0) { /* rounded up to a card */
			CHECK_EQ(error, 0);
			CHECK_EQ(o.chunk_bytes, cardmark_card_size());
		} else if (cases[i].want == 0) {
			CHECK_EQ(error, -EINVAL);
			CHECK(strstr(cardmark_last_error(), "CARDMARK_CHUNK") != NULL);
		} else {
			CHECK_EQ(error, 0);
			CHECK(o.chunk_bytes >= cases[i].want);
		}
	}
}

static void backoff_in_the_environment(void)
{
	static const char *const bad[] = { "often", "-1", "10001", "3 " };
	struct cardmark_options in = CARDMARK_OPTIONS_INIT, o;

	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backoff, 0);
	in.backoff = 16;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backoff, 16);
	(void)setenv("CARDMARK_BACKOFF", "0", 1); /* off, whatever the program wants */
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backoff, 0);
	(void)setenv("CARDMARK_BACKOFF", "10000", 1);
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.backoff, 10000);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		(void)setenv("CARDMARK_BACKOFF", bad[i], 1);
		CHECK_EQ(cm_options_resolve(&o, &in), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "CARDMARK_BACKOFF") != NULL);
	}
	clean_environment();
}

static void threads_and_huge_pages_in_the_environment(void)
{
	static const char *const bad_threads[] = { "0x2", "two", "-1", "65", "2 ", "1k" };
	static const char *const bad_huge[] = { "0", "Keep", "always", "split " };
	static const char *const words[] = { "keep", "split", "never" };
	struct cardmark_options o, in = CARDMARK_OPTIONS_INIT;

	in.threads = 3;
	in.huge = CARDMARK_HUGE_SPLIT;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.threads, 3);
	CHECK_EQ(o.huge, CARDMARK_HUGE_SPLIT);
	(void)setenv("CARDMARK_THREADS", "64", 1);
	for (unsigned i = 0; i < 3; i++) {
		(void)setenv("CARDMARK_HUGE", words[i], 1);
		CHECK_EQ(cm_options_resolve(&o, &in), 0);
		CHECK_EQ(o.huge, i);
		CHECK_EQ(o.threads, 64);
	}
	(void)setenv("CARDMARK_HUGE", "", 1); /* as if unset */
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.huge, CARDMARK_HUGE_SPLIT);
	for (size_t i = 0; i < sizeof bad_huge / sizeof *bad_huge; i++) {
		(void)setenv("CARDMARK_HUGE", bad_huge[i], 1);
		CHECK_EQ(cm_options_resolve(&o, &in), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "keep, split, never") != NULL);
	}
	(void)unsetenv("CARDMARK_HUGE");
	for (size_t i = 0; i < sizeof bad_threads / sizeof *bad_threads; i++) {
		(void)setenv("CARDMARK_THREADS", bad_threads[i], 1);
		CHECK_EQ(cm_options_resolve(&o, &in), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "CARDMARK_THREADS") != NULL);
	}
	in.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cm_options_resolve(&o, &in), 0);
	CHECK_EQ(o.threads, 3);
}

static void a_bad_environment_fails_the_open(void)
{
	struct cardmark *cm = (struct cardmark *)8;

	(void)setenv("CARDMARK_BACKEND", "magic", 1);
	CHECK_EQ(cardmark_open(&cm, NULL), -EINVAL);
	CHECK(cm == NULL);
	CHECK(strstr(cardmark_last_error(), "CARDMARK_BACKEND=magic") != NULL);
	CHECK_EQ(cardmark_open(NULL, NULL), -EINVAL);
}

static void every_listed_error_has_words(void)
{
	static const int listed[] = { EINVAL, ENOMEM, ENOTSUP, EPERM, ENOENT, EBUSY, EIO };
	const char *unknown = cardmark_strerror(12345);

	CHECK(unknown != NULL);
	CHECK_STRING(cardmark_strerror(0), "success");
	CHECK(strlen(cardmark_version()) >= 5);
	for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
		const char *text = cardmark_strerror(-listed[i]);
		CHECK_STRING(text, cardmark_strerror(listed[i]));
		CHECK(strcmp(text, unknown) != 0);
	}
	for (int e = 1; e < 200; e++) { /* any errno becomes one of the list */
		int closed = cm_closed_error(-e);
		CHECK(closed < 0);
		CHECK(strcmp(cardmark_strerror(closed), unknown) != 0);
	}
}

static void a_backend_asked_for_is_that_or_an_error(void)
{
	struct cardmark_probe probes[PROBES], beyond = CARDMARK_PROBE_INIT;
	int n = probe_all(probes);

	CHECK_EQ(n, CARDMARK_BACKEND_ALLDIRTY);
	CHECK_EQ(cardmark_probe((unsigned)n, &beyond), -ENOENT);
	for (int i = 0; i < n; i++) {
		struct cardmark_options o = CARDMARK_OPTIONS_INIT;
		struct cardmark *cm = NULL;
		int error;

		CHECK(strlen(probes[i].reason) > 10);
		CHECK_EQ(probes[i].usable, probes[i].level > 0);
		o.backend = probes[i].backend;
		error = cardmark_open(&cm, &o);
		if (probes[i].usable) {
			CHECK_EQ(error, 0);
			CHECK_EQ(described(cm).backend, probes[i].backend);
			CHECK_EQ(described(cm).capabilities, probes[i].capabilities);
		} else {
			CHECK(error == -ENOTSUP || error == -EPERM);
			CHECK(strstr(cardmark_last_error(), probes[i].reason) != NULL);
			CHECK(cm == NULL);
		}
		cardmark_close(&cm);
	}
	CHECK(probes[n - 1].usable); /* all dirty works anywhere */
}

static void the_automatic_choice_is_the_first_usable_and_says_why(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes), i = 0;
	struct cardmark *cm = NULL;

	CHECK_EQ(cardmark_open(&cm, NULL), 0);
	for (; i < n && !probes[i].usable; i++)
		CHECK(strstr(described(cm).why_no_better,
			     cardmark_backend_name(probes[i].backend)) != NULL);
	CHECK(i < n);
	CHECK_EQ(described(cm).backend, probes[i].backend);
	if (i == 0)
		CHECK_STRING(described(cm).why_no_better, "");
	cardmark_close(&cm);
	CHECK(cm == NULL);
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;
	o.flags = CARDMARK_OPEN_CONCURRENT;
	CHECK_EQ(cardmark_open(&cm, &o), 0);
	CHECK(described(cm).capabilities & CARDMARK_CAP_CONCURRENT);
	cardmark_close(&cm);
}

int main(int argc, char **argv)
{
#define CASE(run) UNIT_CASE_WITH(run, clean_environment, NULL)
	static const struct unit_case cases[] = {
		CASE(names_go_both_ways),
		CASE(unknown_names_are_refused_with_the_list),
		CASE(defaults),
		CASE(bad_options_are_refused),
		CASE(an_older_and_shorter_struct_is_taken),
		CASE(the_environment_overrides_unless_told_not_to),
		CASE(sizes_in_the_environment),
		CASE(backoff_in_the_environment),
		CASE(threads_and_huge_pages_in_the_environment),
		CASE(verify_in_the_environment),
		CASE(a_bad_environment_fails_the_open),
		CASE(every_listed_error_has_words),
		CASE(a_backend_asked_for_is_that_or_an_error),
		CASE(the_automatic_choice_is_the_first_usable_and_says_why),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
