/* SPDX-License-Identifier: MIT
 *
 * Description: a check that fails, fails: the frames of the unit and the live tests are run
 * with failing checks inside and must report them. */
#include "tests/support/backends.h"
#include "tests/support/live.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void passes(void)
{
	CHECK(1 + 1 == 2);
	CHECK_EQ(2, 2);
}

static void fails(void)
{
	CHECK(1 + 1 == 3);
}

static void fails_by_value(void)
{
	CHECK_EQ(2, 3);
}

static void child_fails(void *arg)
{
	(void)arg;
	CHECK(false);
}

static void fails_in_a_child(void)
{
	CHECK_EQ(tap_in_child(child_fails, NULL), 0);
}

static void skips(void)
{
	tap_skip("a reason");
}

static void lost_card(void)
{
	unsigned char *mem = live_map(2);
	struct cardmark_table *table;
	const bool both[2] = { true, true };

	live_backend = CARDMARK_BACKEND_ALLDIRTY;
	(void)live_armed(mem, 2, &table);
	cardmark_table_clear(table);
	live_expect(table, mem, 2, both); /* nothing was collected: must be noticed as lost */
}

/* Runs program(arg) with its output in buf. */
static int output_of(int (*program)(void *arg), void *arg, char *buf, size_t len)
{
	int fds[2], status = -1;
	size_t have = 0;
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(fds), 0);
	(void)fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		(void)dup2(fds[1], 1);
		(void)dup2(fds[1], 2);
		(void)close(fds[0]);
		tap_start_over();
		status = program(arg);
		(void)fflush(stdout);
		_exit(status);
	}
	(void)close(fds[1]);
	while (have < len - 1 && (n = read(fds[0], buf + have, len - 1 - have)) > 0)
		have += (size_t)n;
	buf[have] = '\0';
	(void)close(fds[0]);
	status = tap_wait(pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int run_case(void *arg)
{
	const struct live_case cases[] = { { "the case", *(void (**)(void))arg, 0, 0 } };
	char name[] = "live", backend[] = "alldirty", *argv[] = { name, backend, NULL };

	return live_main(2, argv, LIVE_CASES(cases));
}

static void expect_line(const char *out, const char *line)
{
	if (strstr(out, line) == NULL)
		tap_note("no \"%s\" in: %s", line, out);
	CHECK(strstr(out, line) != NULL);
}

static int run_no_case(void *arg)
{
	const struct live_case cases[] = { { "the case", passes, 0, 0 } };
	char name[] = "live", backend[] = "alldirty", *argv[] = { name, backend, arg, NULL };

	return live_main(3, argv, LIVE_CASES(cases));
}

static void expect_run(void (*run)(void), int status, const char *line)
{
	char out[4096];

	CHECK_EQ(output_of(run_case, &run, out, sizeof out), status);
	expect_line(out, line);
}

static void live_checks_fail_when_they_should(void)
{
	char other[] = "another case", out[4096];

	expect_run(passes, 0, "ok - alldirty: the case\n");
	expect_run(fails, 1, "not ok - alldirty: the case");
	expect_run(fails_by_value, 1, "failed: 2 is 2, not 3");
	expect_run(fails_in_a_child, 1, "not ok - alldirty: the case");
	expect_run(skips, 77, "ok - alldirty: the case # SKIP a reason");
	expect_run(lost_card, 1, "2 of 2 cards lost");
	CHECK_EQ(output_of(run_no_case, other, out, sizeof out), 1);
	expect_line(out, "no case has the name \"another case\"");
}

static int run_unusable(void *arg)
{
	const struct live_case cases[] = { { "the case", passes, 0, 0 } };
	char name[] = "live", *argv[] = { name, arg, NULL };

	return live_main(2, argv, LIVE_CASES(cases));
}

static void a_required_backend_that_is_missing_fails(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);
	char out[4096], name[32];

	for (int i = 0; i < n; i++) {
		if (probes[i].usable)
			continue;
		(void)snprintf(name, sizeof name, "%s", cardmark_backend_name(probes[i].backend));
		(void)unsetenv("CARDMARK_REQUIRE");
		CHECK_EQ(output_of(run_unusable, name, out, sizeof out), 77);
		CHECK(strstr(out, "# SKIP") != NULL);
		CHECK(strstr(out, probes[i].reason) != NULL);
		(void)setenv("CARDMARK_REQUIRE", name, 1);
		CHECK_EQ(output_of(run_unusable, name, out, sizeof out), 1);
		CHECK(strstr(out, "not ok") != NULL);
		(void)setenv("CARDMARK_REQUIRE", "alldirty,mprotects", 1);
		CHECK_EQ(output_of(run_unusable, name, out, sizeof out), 77);
	}
	(void)unsetenv("CARDMARK_REQUIRE");
	(void)snprintf(name, sizeof name, "nonesuch");
	CHECK_EQ(output_of(run_unusable, name, out, sizeof out), 1);
}

static void fails_by_string(void)
{
	CHECK_STRING("two", "three");
}

static int run_unit(void *arg)
{
	char name[] = "unit", *argv[] = { name, NULL };

	return unit_main(1, argv, arg, 1);
}

static void expect_unit(struct unit_case now, int status, const char *line)
{
	char out[4096];

	now.name = "the case";
	CHECK_EQ(output_of(run_unit, &now, out, sizeof out), status);
	expect_line(out, line);
	expect_line(out, "\n1..1\n");
}

static void unit_checks_fail_when_they_should(void)
{
	expect_unit((struct unit_case){ .run = passes }, 0, "ok - selftest: the case\n");
	expect_unit((struct unit_case){ .run = fails }, 1, "not ok - selftest: the case\n");
	expect_unit((struct unit_case){ .run = fails_by_string }, 1,
		    "failed: \"two\" is \"two\", not \"three\"");
	expect_unit((struct unit_case){ .run = passes, .set_up = fails }, 1, "not ok - selftest");
	expect_unit((struct unit_case){ .run = passes, .tear_down = fails }, 1,
		    "not ok - selftest");
	expect_unit((struct unit_case){ .run = skips }, 77,
		    "ok - selftest: the case # SKIP a reason\n");
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(live_checks_fail_when_they_should),
		UNIT_CASE(a_required_backend_that_is_missing_fails),
		UNIT_CASE(unit_checks_fail_when_they_should),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
