/* SPDX-License-Identifier: MIT
 *
 * Structs that begin with their size, handed to the library by a caller of another release:
 * shorter, longer, and longer with something set that the library does not know. */
#ifndef CM_TESTS_SIZED_H
#define CM_TESTS_SIZED_H

#include "cardmark/cardmark.h"
#include "tests/support/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZED_ROOM = 1024 };

/* A struct, and one call that takes it. */
struct sized_struct {
	const char *name;          /* as in the header, without "cardmark_" */
	int (*call)(void *caller); /* caller: of any length, and 0 but for the size */
	size_t len, least;         /* least: what the call needs of it */
	bool answer;               /* all of it: what is beyond becomes 0 */
};

struct sized_list {
	const char *header; /* the one whose structs these are */
	const struct sized_struct *structs;
	size_t n;
};

#define SIZED_EACH(s, list)                                                                        \
	for (const struct sized_struct *s = (list)->structs; s < (list)->structs + (list)->n; s++)

static inline void sized_caller(unsigned char caller[SIZED_ROOM], size_t size)
{
	memset(caller, 0, SIZED_ROOM);
	memcpy(caller, &size, sizeof size);
}

static inline void sized_equal_and_shorter_work(const struct sized_list *list)
{
	SIZED_EACH(s, list)
	for (size_t size = s->len; size >= s->least; size -= 8) {
		unsigned char caller[SIZED_ROOM];

		sized_caller(caller, size);
		memset(caller + size, 0x5a, SIZED_ROOM - size);
		CHECK_EQ(s->call(caller), 0);
		CHECK(memcmp(caller, &size, sizeof size) == 0);
		/* Nothing beyond what the caller has is written. */
		for (size_t k = size; k < SIZED_ROOM; k++)
			CHECK_EQ(caller[k], 0x5a);
	}
}

static inline void sized_longer_works_if_the_rest_is_0(const struct sized_list *list)
{
	SIZED_EACH(s, list)
	{
		unsigned char caller[SIZED_ROOM];

		sized_caller(caller, s->len + 64);
		CHECK_EQ(s->call(caller), 0);
		sized_caller(caller, s->len + 64);
		caller[s->len + 63] = 1;
		CHECK_EQ(s->call(caller), s->answer ? 0 : -EINVAL);
		if (s->answer)
			CHECK_EQ(caller[s->len + 63], 0);
		else
			CHECK(strstr(cardmark_last_error(), "newer") != NULL);
	}
}

static inline void sized_not_set_is_refused(const struct sized_list *list)
{
	static const size_t bad[] = { 0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX };

	SIZED_EACH(s, list)
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		unsigned char caller[SIZED_ROOM];

		sized_caller(caller, bad[k]);
		CHECK_EQ(s->call(caller), -EINVAL);
		CHECK(strstr(cardmark_last_error(), "_INIT") != NULL);
	}
}

static inline bool sized_has(const struct sized_list *list, const char *name)
{
	SIZED_EACH(s, list)
	if (strcmp(s->name, name) == 0)
		return true;
	return false;
}

/* A public struct that begins with its size and is not in the list has no test. */
static inline void sized_each_of_the_header_is_here(const struct sized_list *list)
{
	const char *top = getenv("CARDMARK_SRCDIR");
	char path[4096], line[256], name[64];
	bool begins = false;
	size_t found = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/include/cardmark/%s", top != NULL ? top : ".",
		       list->header);
	f = fopen(path, "re");
	if (f == NULL)
		tap_skip("%s cannot be read: CARDMARK_SRCDIR is the source tree", path);
	while (fgets(line, sizeof line, f) != NULL) {
		if (begins && strncmp(line, "\tsize_t size;", 13) == 0) {
			tap_note("%s: struct cardmark_%s", list->header, name);
			CHECK(sized_has(list, name));
			found++;
		}
		begins = sscanf(line, "struct cardmark_%63[a-z_] {", name) == 1 &&
			 strchr(line, '{') != NULL;
	}
	(void)fclose(f);
	CHECK(found > 0);
}

/* ---- What every test of one header has -------------------------------------------------- */

static const struct sized_list list; /* by the test itself, which includes this once */

static void equal_and_shorter_work(void)
{
	sized_equal_and_shorter_work(&list);
}

static void longer_works_if_what_we_do_not_know_is_0(void)
{
	sized_longer_works_if_the_rest_is_0(&list);
}

static void a_size_that_was_not_set_is_refused(void)
{
	sized_not_set_is_refused(&list);
}

static void each_struct_of_the_header_is_here(void)
{
	sized_each_of_the_header_is_here(&list);
}

#define SIZED_CASES                                                                                \
	UNIT_CASE(equal_and_shorter_work), UNIT_CASE(longer_works_if_what_we_do_not_know_is_0),    \
		UNIT_CASE(a_size_that_was_not_set_is_refused),                                     \
		UNIT_CASE(each_struct_of_the_header_is_here)

#endif
