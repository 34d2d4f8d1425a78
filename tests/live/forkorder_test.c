/* SPDX-License-Identifier: MIT
 *
 * Description: fork handlers of a collector that is started after the library come before the
 * library's, so that the thread that forks can still be stopped by a signal. Control: in the
 * other order it does not answer the signal. */
#include "tests/support/fixture.h"
#include "tests/support/fork_order.h"

static void ask(void)
{
	(void)live_collect(cm, table);
}

static void a_collectors_handlers_come_first(void)
{
	set_up();
	CHECK_EQ(fork_order_unanswered(ask), 0);
}

static void control_behind_ours_they_wait_for_ever(void)
{
	CHECK(fork_order_fails_early("a collector's fork handlers come before ours"));
}

static const struct live_case cases[] = {
	{ "a collector's fork handlers come before ours", a_collectors_handlers_come_first, 0, 0 },
	{ "control: behind ours they wait for ever", control_behind_ours_they_wait_for_ever, 0, 0 },
};

/* Before the library's constructor, which has no priority. */
__attribute__((constructor(101))) static void add_early_handler(void)
{
	fork_order_early();
}

int main(int argc, char **argv)
{
	return live_main(argc, argv, LIVE_CASES(cases));
}
