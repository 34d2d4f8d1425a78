/* SPDX-License-Identifier: MIT
 *
 * Description: the texts for errors of the kernel: each names the error as manual pages do,
 * and an error without a text of its own is called unexpected. A failed call leaves the
 * program's errno as it was. */
#include "lib/errors.h"
#include "lib/os/os.h"
#include "lib/os/uapi.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LAST_ERRNO = 133 };

static const char unexpected[] = "an unexpected error of the kernel";

static void each_text_names_its_error(void)
{
	unsigned known = 0;

	for (int error = 1; error <= LAST_ERRNO; error++) {
		/* One number has two names. */
		const char *name = error == ENOTSUP ? "ENOTSUP" : strerrorname_np(error);
		const char *text = cm_errno_text(error);
		char named[40];

		CHECK(strcmp(cm_errno_text(-error), text) == 0);
		if (strcmp(text, unexpected) == 0)
			continue;
		CHECK(name != NULL);
		(void)snprintf(named, sizeof named, "(%s)", name);
		if (strstr(text, named) == NULL)
			tap_note("%s: %s", name, text);
		CHECK(strstr(text, named) != NULL);
		known++;
	}
	CHECK(known > 20);
}

static void no_error_and_an_unknown_one_have_words(void)
{
	CHECK(strcmp(cm_errno_text(0), "no error") == 0);
	CHECK(strcmp(cm_errno_text(LAST_ERRNO + 1), unexpected) == 0);
}

static void a_call_that_fails_leaves_errno_alone(void)
{
	struct pm_scan_arg arg = { .size = sizeof arg };
	struct cm_file_id id;
	char byte = 0;

	errno = EDOM;
	CHECK_EQ(cm_os_linux.scan(-1, &arg), -EBADF);
	CHECK_EQ(errno, EDOM);
	CHECK_EQ(cm_os_linux.read(-1, &byte, 1), -EBADF);
	CHECK_EQ(errno, EDOM);
	CHECK_EQ(cm_os_linux.write(-1, &byte, 1), -EBADF);
	CHECK_EQ(errno, EDOM);
	CHECK_EQ(cm_os_linux.fd_id(-1, &id), -EBADF);
	CHECK_EQ(errno, EDOM);
	CHECK_EQ(cm_os_linux.close(-1), -EBADF);
	CHECK_EQ(errno, EDOM);
	CHECK_EQ(cm_os_linux.alone(), 0);
	CHECK_EQ(errno, EDOM);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(each_text_names_its_error),
		UNIT_CASE(no_error_and_an_unknown_one_have_words),
		UNIT_CASE(a_call_that_fails_leaves_errno_alone),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
