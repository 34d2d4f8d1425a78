/* SPDX-License-Identifier: MIT
 *
 * Description: the query on another process that ends, becomes another program, or may not be
 * looked at; and the query with wrong arguments. */
#include "tests/live/view.h"

#include <errno.h>
#include <fcntl.h>

static void scan_is(int want)
{
	struct cardmark_query q = question();
	int error;

	q.any_of = CARDMARK_PAGE_PRESENT | CARDMARK_PAGE_SWAPPED;
	error = cardmark_process_scan(view, &q);
	if (error != want)
		tap_note("scan: %d %s", error, cardmark_last_error());
	CHECK_EQ(error, want);
	CHECK(want == 0 || cardmark_last_error()[0] != '\0');
}

static void a_process_that_ended_is_an_error(void)
{
	struct cardmark_process *other = NULL;

	start(SPAN_PAGES);
	(void)spawn(nothing);
	open_view(target);
	scan_is(0);
	CHECK(kill(target, SIGKILL) == 0);
	/* A zombie, which has no memory, and then nothing. */
	for (unsigned i = 0; i < 2; i++) {
		siginfo_t info;

		CHECK(waitid(P_PID, (id_t)target, &info, WEXITED | (i == 0 ? WNOWAIT : 0)) == 0);
		scan_is(-ENOENT);
		CHECK_EQ(cardmark_process_open(&other, (int)target), -ENOENT);
		CHECK(other == NULL);
	}
	target = 0;
}

static bool kill_target;

/* The process ends while a query is under way. */
static long deadly_scan(int fd, struct pm_scan_arg *arg)
{
	siginfo_t info;
	long n = cm_os_linux.scan(fd, arg);

	if (kill_target && target != 0) {
		(void)kill(target, SIGKILL);
		(void)waitid(P_PID, (id_t)target, &info, WEXITED | WNOWAIT);
	}
	return n;
}

static void a_process_that_ends_meanwhile_is_an_error(void)
{
	set_up();
	broken_os_begin()->scan = deadly_scan;
	kill_target = false;
	scan_is(0);
	kill_target = true;
	scan_is(-ENOENT);
}

static int told[2];

static void executes_when_told(void)
{
	char byte;

	if (read(told[0], &byte, 1) != 1)
		_exit(1);
	(void)execl("/bin/sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

static void an_exec_is_noticed(void)
{
	int go[2], gone[2];
	char byte;

	start(SPAN_PAGES);
	CHECK(pipe2(go, O_CLOEXEC) == 0 && pipe2(gone, O_CLOEXEC) == 0);
	target = fork();
	if (target == 0) {
		(void)close(gone[0]);
		told[0] = go[0];
		executes_when_told();
	}
	(void)close(gone[1]);
	open_view(target);
	scan_is(0);
	CHECK(write(go[1], "g", 1) == 1);
	CHECK(read(gone[0], &byte, 1) == 0); /* closed on exec */
	scan_is(-ENOENT);
	(void)close(gone[0]);
	(void)close(go[0]);
	(void)close(go[1]);
}

static void wrong_arguments_are_refused(void)
{
	struct cardmark_process *other = (struct cardmark_process *)1;
	struct cardmark_query q;

	CHECK_EQ(cardmark_process_open(&other, 0), -EINVAL);
	CHECK(other == NULL);
	CHECK_EQ(cardmark_process_open(&other, -5), -EINVAL);
	CHECK_EQ(cardmark_process_open(&other, 2147483647), -ENOENT);
	cardmark_process_close(&other);
	cardmark_process_close(NULL);
	start(SPAN_PAGES);
	open_view(getpid());
	for (unsigned i = 0; i < 9; i++) {
		int want = -EINVAL;

		q = question();
		q.required = q.returned = CARDMARK_PAGE_WRITTEN;
		switch (i) {
		case 0:
			q.op = CARDMARK_SCAN_GET_AND_CLEAR;
			break;
		case 1:
			q.op = CARDMARK_SCAN_CLEAR;
			break;
		case 2:
			q.flags = CARDMARK_SCAN_IGNORE_NEW;
			break;
		case 3:
			q.size = 0;
			break;
		case 4:
			q.start = (char *)q.start + 1;
			break;
		case 5:
			q.capacity = 0;
			break;
		case 6:
			q.excluded = CARDMARK_PAGE_WRITTEN;
			break;
		case 7:
			q.start = (void *)((uintptr_t)0 - live_card);
			q.len = live_card;
			break;
		default:
			q.returned = CARDMARK_PAGE_ALL & ~cardmark_process_categories(view);
			want = q.returned == 0 ? 0 : -ENOTSUP;
		}
		CHECK_EQ(cardmark_process_scan(view, &q), want);
	}
}

static void others_people_are_refused(void *arg)
{
	struct cardmark_process *other = NULL;

	(void)arg;
	CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	CHECK_EQ(cardmark_process_open(&other, (int)getppid()), -EPERM);
	CHECK(other == NULL);
}

static void permission_is_needed(void)
{
	if (geteuid() != 0)
		tap_skip("only root can become somebody else");
	CHECK_EQ(tap_in_child(others_people_are_refused, NULL), 0);
}

static void a_closed_descriptor_is_an_error(void *arg)
{
	(void)arg;
	start(SPAN_PAGES);
	open_view(getpid());
	scan_is(0);
	for (int fd = 3; fd < 1024; fd++)
		(void)close(fd);
	scan_is(-EIO);
	cardmark_process_close(&view);
}

static void closing_all_descriptors_is_survived(void)
{
	CHECK_EQ(tap_in_child(a_closed_descriptor_is_an_error, NULL), 0);
}

static const struct live_case cases[] = {
	{ "a process that ended is an error", a_process_that_ended_is_an_error, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "a process that ends meanwhile is an error", a_process_that_ends_meanwhile_is_an_error, 0,
	  LIVE_ONLY(PAGEMAP) },
	{ "an exec is noticed", an_exec_is_noticed, 0, LIVE_ONLY(PAGEMAP) },
	{ "wrong arguments are refused", wrong_arguments_are_refused, 0, LIVE_ONLY(PAGEMAP) },
	{ "permission is needed", permission_is_needed, 0, LIVE_ONLY(PAGEMAP) },
	{ "closing all descriptors is survived", closing_all_descriptors_is_survived, 0,
	  LIVE_ONLY(PAGEMAP) },
};

int main(int argc, char **argv)
{
	int status = live_main(argc, argv, LIVE_CASES(cases));

	start(0);
	return status;
}
