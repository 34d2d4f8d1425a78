/* SPDX-License-Identifier: MIT
 *
 * Description: R18: on a kernel older than 6.9 pagemap works, but is chosen only by name. The
 * kernel's version is faked here. */
#include "tests/support/live.h"

#include "tests/support/backends.h"
#include "tests/support/broken_os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *number;

static int made_up(char *buf, size_t len)
{
	if (number == NULL)
		return -EINVAL;
	(void)snprintf(buf, len, "%s", number);
	return 0;
}

static struct cardmark_probe pagemap_of(void)
{
	struct cardmark_probe probes[PROBES];

	CHECK(probe_all(probes) > 0);
	CHECK_EQ(probes[0].backend, CARDMARK_BACKEND_PAGEMAP);
	return probes[0];
}

static enum cardmark_backend chosen(enum cardmark_backend asked)
{
	struct cardmark_options options = CARDMARK_OPTIONS_INIT;
	struct cardmark *cm = NULL;
	enum cardmark_backend backend;

	options.backend = asked;
	options.flags = CARDMARK_OPEN_NO_ENV;
	CHECK_EQ(cardmark_open(&cm, &options), 0);
	backend = described(cm).backend;
	if (asked == CARDMARK_BACKEND_AUTO && backend != CARDMARK_BACKEND_PAGEMAP)
		CHECK(strstr(described(cm).why_no_better, "6.9") != NULL);
	cardmark_close(&cm);
	return backend;
}

static void kernel(const char *release, bool suspect)
{
	number = release;
	CHECK_EQ(pagemap_of().suspect, suspect);
	CHECK_EQ(strstr(pagemap_of().reason, "6.9") != NULL, suspect);
	CHECK_EQ(chosen(CARDMARK_BACKEND_AUTO) == CARDMARK_BACKEND_PAGEMAP, !suspect);
	CHECK_EQ(chosen(CARDMARK_BACKEND_PAGEMAP), CARDMARK_BACKEND_PAGEMAP);
}

static void old_kernels_are_suspect(void)
{
	broken_os_begin()->release = made_up;
	kernel("6.7.12-amd64", true);
	kernel("6.8.0-45-generic", true);
	kernel("6.6.0-vendor", true);
	kernel("5.15.0", true);
	kernel(NULL, true);
	kernel("6.9.0", false);
	kernel("6.12.117+deb12-cloud-amd64", false);
	kernel("6.18.44", false);
	kernel("7.0-rc1", false);
	broken_os_end();
}

int main(int argc, char **argv)
{
	static const struct live_case cases[] = {
		{ "R18: kernels before 6.9 are suspect, and passed over", old_kernels_are_suspect,
		  0, LIVE_ONLY(PAGEMAP) },
	};

	return live_main(argc, argv, LIVE_CASES(cases));
}
