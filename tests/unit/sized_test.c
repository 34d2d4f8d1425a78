/* SPDX-License-Identifier: MIT
 *
 * Description: structs that begin with their size: shorter, longer, and longer with something
 * set that the library does not know. */
#include "cardmark/cardmark.h"
#include "lib/sized.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define ROOM 1024

/* A caller's struct of any length, and one call that takes it. */
union caller {
	size_t size;
	unsigned char byte[ROOM];
	struct cardmark_probe probe;
	struct cardmark_options options;
	struct cardmark_description description;
	struct cardmark_query query;
	struct cardmark_stats stats;
};

static struct cardmark *tracker(void)
{
	static struct cardmark *cm;
	struct cardmark_options o = CARDMARK_OPTIONS_INIT;

	o.backend = CARDMARK_BACKEND_ALLDIRTY;
	o.flags = CARDMARK_OPEN_NO_ENV;
	if (cm == NULL)
		CHECK_EQ(cardmark_open(&cm, &o), 0);
	return cm;
}

static int probe(union caller *c)
{
	return cardmark_probe(0, &c->probe);
}

static int open_and_close(union caller *c)
{
	struct cardmark *cm = NULL;
	int error = cardmark_open(&cm, &c->options);

	cardmark_close(&cm);
	return error;
}

static int describe(union caller *c)
{
	return cardmark_describe(tracker(), &c->description);
}

static int scan(union caller *c)
{
	static struct cardmark_region region;

	c->query.start = (void *)(uintptr_t)cardmark_card_size();
	c->query.len = cardmark_card_size();
	c->query.regions = &region;
	c->query.capacity = 1;
	c->query.op = CARDMARK_SCAN_GET;
	return cardmark_scan(tracker(), &c->query);
}

static int stats(union caller *c)
{
	return cardmark_stats(tracker(), &c->stats);
}

static const struct {
	int (*call)(union caller *c);
	size_t len, least; /* what the call needs of it */
	bool answer;       /* all of it: what is beyond becomes 0 */
} structs[] = {
	{ probe, sizeof(struct cardmark_probe), sizeof(size_t), true },
	{ open_and_close, sizeof(struct cardmark_options), sizeof(size_t), false },
	{ describe, sizeof(struct cardmark_description), sizeof(size_t), true },
	{ scan, sizeof(struct cardmark_query), offsetof(struct cardmark_query, count), false },
	{ stats, sizeof(struct cardmark_stats), sizeof(size_t), true },
};

#define EACH(i) for (size_t i = 0; i < sizeof structs / sizeof *structs; i++)

static void equal_and_shorter_work(void)
{
	EACH(i)
	for (size_t size = structs[i].len; size >= structs[i].least; size -= 8) {
		union caller c;

		memset(&c, 0, sizeof c);
		memset(c.byte + size, 0x5a, ROOM - size);
		c.size = size;
		CHECK_EQ(structs[i].call(&c), 0);
		CHECK_EQ(c.size, size);
		/* Nothing beyond what the caller has is written. */
		for (size_t k = size; k < ROOM; k++)
			CHECK_EQ(c.byte[k], 0x5a);
	}
}

static void longer_works_if_what_we_do_not_know_is_0(void)
{
	EACH(i)
	{
		union caller c;

		memset(&c, 0, sizeof c);
		c.size = structs[i].len + 64;
		CHECK_EQ(structs[i].call(&c), 0);
		memset(&c, 0, sizeof c);
		c.size = structs[i].len + 64;
		c.byte[structs[i].len + 63] = 1;
		CHECK_EQ(structs[i].call(&c), structs[i].answer ? 0 : -EINVAL);
		if (structs[i].answer)
			CHECK_EQ(c.byte[structs[i].len + 63], 0);
		else
			CHECK(strstr(cardmark_last_error(), "newer") != NULL);
	}
}

static void a_size_that_was_not_set_is_refused(void)
{
	static const size_t bad[] = { 0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX };

	EACH(i)
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		union caller c;

		memset(&c, 0, sizeof c);
		c.size = bad[k];
		CHECK_EQ(structs[i].call(&c), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "_INIT") != NULL);
	}
	CHECK_EQ(cardmark_stats(tracker(), NULL), -EINVAL);
}

int main(int argc, char **argv)
{
	static const struct unit_case cases[] = {
		UNIT_CASE(equal_and_shorter_work),
		UNIT_CASE(longer_works_if_what_we_do_not_know_is_0),
		UNIT_CASE(a_size_that_was_not_set_is_refused),
	};

	return unit_main(argc, argv, UNIT_CASES(cases));
}
