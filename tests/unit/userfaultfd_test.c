/* SPDX-License-Identifier: MIT
 *
 * Description: how a userfaultfd is obtained, on a fake kernel: by the system call, and from
 * the device where the call is refused. Every combination of failures: a shortage is never
 * reported as unsupported or refused, and each cause has a sentence of its own with the
 * remedy. */
#include "lib/backend/backend.h"
#include "lib/backend/userfaultfd.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TOO_OLD "the features are missing"

static struct cm_file file;
static bool privileged;
static const char *why;

static void fail_always(enum fake_call call, int error)
{
	fake.fail_for_ever = true;
	fake.fail_at[call] = error < 0;
	fake.error[call] = error;
}

/* What a call for the user's faults answers, and what the device does. */
static void world(int call, int device)
{
	fake_kernel_begin();
	fail_always(FAKE_UFFD_OPEN, call);
	fail_always(FAKE_UFFD_DEVICE, device);
}

static int open_one(bool *asks)
{
	why = NULL;
	return cm_userfaultfd_open(&file, UFFD_FEATURE_WP_ASYNC, asks, TOO_OLD, &why);
}

static void ends(int error, const char *words)
{
	int got = open_one(NULL);

	if (got != error || strstr(why, words) == NULL)
		tap_note("%d: %s", got, why);
	CHECK_EQ(got, error);
	CHECK(strstr(why, words) != NULL);
	CHECK_EQ(file.fd, -1);
}

static void the_call_comes_first(void)
{
	world(0, 0);
	CHECK_EQ(open_one(NULL), 0);
	CHECK_EQ(fake.calls[FAKE_UFFD_DEVICE], 0);
	CHECK_EQ(open_one(&privileged), 0);
	CHECK(privileged);
	CHECK_EQ(fake.calls[FAKE_UFFD_DEVICE], 0);
	fake_kernel_end();
}

static void the_device_stands_in_where_the_call_is_refused(void)
{
	static const int refusals[] = { -EPERM, -EACCES, -ENOSYS };

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		world(refusals[i], 0);
		CHECK_EQ(open_one(NULL), 0);
		CHECK(file.fd >= 0);
		CHECK_EQ(open_one(&privileged), 0);
		CHECK(privileged);
		CHECK_EQ(fake.calls[FAKE_UFFD_DEVICE], 2);
		fake_kernel_end();
	}
}

/* vm.unprivileged_userfaultfd=0: only the kernel's faults are refused. */
static void the_device_asks_for_no_privilege(void)
{
	world(0, 0);
	fake.privileged_error = -EPERM;
	CHECK_EQ(open_one(&privileged), 0);
	CHECK(privileged);
	fail_always(FAKE_UFFD_DEVICE, -EACCES);
	CHECK_EQ(open_one(&privileged), 0);
	CHECK(!privileged);
	CHECK_EQ(open_one(NULL), 0); /* the sysctl has no say in it */
	fake_kernel_end();
}

static void who_refuses_is_found_out(void)
{
	world(-EPERM, -ENOENT);
	fake.seccomp_mode = 2;
	ends(-EPERM, "a seccomp filter refuses");
	fake.seccomp_mode = 0;
	ends(-EPERM, "a security module");
	fake.seccomp_mode = -EPERM; /* cannot be asked */
	ends(-EPERM, "a seccomp filter or a security module");
	fail_always(FAKE_UFFD_OPEN, -EACCES);
	fake.seccomp_mode = 2;
	ends(-EPERM, "a seccomp filter or a security module");
	fake_kernel_end();
}

/* ENOSYS comes from a kernel without the call, and from Podman's filter. */
static void a_filter_is_told_from_a_kernel_without_it(void)
{
	world(-ENOSYS, -ENOENT);
	fake.sysctl = -ENOENT;
	ends(-ENOTSUP, "needs CONFIG_USERFAULTFD=y");
	fake.seccomp_mode = 2;
	ends(-ENOTSUP, "without CONFIG_USERFAULTFD, or a seccomp filter hides");
	fake.sysctl = -EACCES;
	ends(-ENOTSUP, "without CONFIG_USERFAULTFD, or a seccomp filter hides");
	fake.sysctl = 0;
	ends(-EPERM, "a seccomp filter refuses");
	fake_kernel_end();
}

static void why_the_device_is_no_way_out(void)
{
	static const struct {
		int error;
		const char *words;
	} devices[] = { { -ENOENT, "there is no /dev/userfaultfd" },
			{ -ENXIO, "there is no /dev/userfaultfd" },
			{ -EACCES, "this user may not read /dev/userfaultfd" },
			{ -EPERM, "a device cgroup or filter refuses /dev/userfaultfd" },
			{ -ENOSYS, "a device cgroup or filter refuses /dev/userfaultfd" },
			{ -ENOTTY, "is not the kernel's device" } };

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		world(-EPERM, devices[i].error);
		ends(-EPERM, devices[i].words);
		fake_kernel_end();
	}
	world(-EPERM, -ENOENT);
	fake.release = "5.15.0-91-generic";
	ends(-EPERM, "came with Linux 6.1");
	fake_kernel_end();
}

/* Not refused, but too old: EINVAL is about the features, in both ways. */
static void an_old_kernel_is_too_old(void)
{
	world(0, 0);
	fake.no_async = true;
	ends(-ENOTSUP, TOO_OLD);
	fail_always(FAKE_UFFD_OPEN, -EPERM);
	ends(-ENOTSUP, TOO_OLD);
	fake_kernel_end();
	world(-EINVAL, -ENOENT); /* before 5.11 it knows no user mode */
	ends(-ENOTSUP, TOO_OLD);
	fake_kernel_end();
}

static int old_uffd_open(bool user_mode_only, uint64_t features)
{
	(void)features;
	return user_mode_only ? -EINVAL : -EPERM;
}

static void the_sysctl_is_named_where_it_is_the_cause(void)
{
	struct cm_os os;

	world(0, -ENOENT);
	os = *cm_os;
	os.uffd_open = old_uffd_open;
	cm_os = &os;
	fake.release = "5.10.0";
	CHECK_EQ(open_one(&privileged), -EPERM);
	CHECK(strstr(why, "vm.unprivileged_userfaultfd=0") != NULL);
	fake.sysctl = 1;
	CHECK_EQ(open_one(&privileged), -ENOTSUP);
	CHECK_STRING(why, TOO_OLD);
	fake_kernel_end();
}

/* ---- Every combination ------------------------------------------------------------------ */

static const int answers[] = { 0,       -EPERM,  -EACCES, -ENOSYS, -ENOENT, -ENXIO, -ENOTTY,
			       -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -EINTR,  -EAGAIN };
#define ANSWERS (sizeof answers / sizeof *answers)

static bool refuses(int error)
{
	return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

static bool short_of(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EINTR ||
	       error == -EAGAIN;
}

static void judge(int call, int device, int got)
{
	bool asked = refuses(call);
	int last = asked ? device : call;
	char reason[sizeof(((struct cardmark_probe *)0)->reason)];

	CHECK_EQ(got == 0, last == 0);
	CHECK_EQ(file.fd >= 0, got == 0);
	if (got == 0)
		return;
	if (short_of(last))
		CHECK_EQ(got, last);
	CHECK(why != NULL && *why != '\0');
	if (got != -EPERM && strstr(why, "hides") == NULL)
		return;
	/* The text has the remedy, and has room for the text that probe.c adds. */
	CHECK(asked && strstr(why, "allow ") != NULL);
	CHECK((size_t)snprintf(reason, sizeof reason, "%s: not permitted (EPERM)", why) <
	      sizeof reason);
}

static void every_combination(void)
{
	static const int modes[] = { 0, 2, -EPERM }, sysctls[] = { 0, 1, -ENOENT, -EMFILE };
	static const char *const releases[] = { "6.18.0", "5.15.0" };
	size_t n = 0;

	for (size_t i = 0; i < ANSWERS * ANSWERS * 3 * 4 * 2; i++, n++) {
		int call = answers[i % ANSWERS], device = answers[i / ANSWERS % ANSWERS];
		size_t rest = i / ANSWERS / ANSWERS;

		world(call, device);
		fake.seccomp_mode = modes[rest % 3];
		fake.sysctl = sysctls[rest / 3 % 4];
		fake.release = releases[rest / 12];
		judge(call, device, open_one(NULL));
		judge(call, device, open_one(&privileged));
		CHECK(file.fd < 0 || privileged);
		fake_kernel_end();
	}
	tap_note("%zu combinations", n);
}

/* ---- The backend above it --------------------------------------------------------------- */

static int open_pagemap(void)
{
	struct cm_counters counters;
	struct cm_backend_params params = { .chunk_bytes = FAKE_PAGE,
					    .vec_len = 8,
					    .counters = &counters };
	struct cm_ranges none = { .n = 0 };
	struct cm_backend *b = NULL;
	int error;

	memset(&counters, 0, sizeof counters);
	why = NULL;
	error = cm_backend_pagemap.open(&b, &params, &why);
	if (error == 0)
		cm_backend_pagemap.close(b, &none);
	return error;
}

static void pagemap_works_from_the_device(void)
{
	world(-EPERM, 0);
	CHECK_EQ(open_pagemap(), 0);
	fake_kernel_end();
}

static void a_missing_scan_and_a_refused_one_differ(void)
{
	world(0, 0);
	fake.no_scan = true;
	CHECK_EQ(open_pagemap(), -ENOTSUP);
	CHECK(strstr(why, "no PAGEMAP_SCAN: Linux 6.7") != NULL);
	fake.no_scan = false;
	fake.refused_scan = -EPERM;
	CHECK_EQ(open_pagemap(), -EPERM);
	CHECK(strstr(why, "refuses PAGEMAP_SCAN") != NULL);
	fake.refused_scan = -ENOMEM;
	CHECK_EQ(open_pagemap(), -ENOMEM);
	CHECK_STRING(why, "PAGEMAP_SCAN fails");
	fake_kernel_end();
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(the_call_comes_first),
		UNIT_CASE(the_device_stands_in_where_the_call_is_refused),
		UNIT_CASE(the_device_asks_for_no_privilege),
		UNIT_CASE(who_refuses_is_found_out),
		UNIT_CASE(a_filter_is_told_from_a_kernel_without_it),
		UNIT_CASE(why_the_device_is_no_way_out),
		UNIT_CASE(an_old_kernel_is_too_old),
		UNIT_CASE(the_sysctl_is_named_where_it_is_the_cause),
		UNIT_CASE(every_combination),
		UNIT_CASE(pagemap_works_from_the_device),
		UNIT_CASE(a_missing_scan_and_a_refused_one_differ),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
