/* SPDX-License-Identifier: MIT
 *
 * Description: what the probe says of this kernel, against what is known of it:
 * CARDMARK_REQUIRE lists backends that must work, CARDMARK_REFUSE those that
 * cannot and have to say why. Prints a table of both. */
#include "tests/support/tap.h"

#include "tests/support/backends.h"
#include "cardmark/cardmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char *const capabilities[] = {
	"precise",  "concurrent", "kernel-writes", "remap",
	"mprotect", "no-trap",    "shared",        "categories"
};

static bool refused(const char *name)
{
	const char *list = getenv("CARDMARK_REFUSE");
	size_t len = strlen(name);

	for (; list != NULL && *list != '\0'; list += strcspn(list, ","), list += *list == ',')
		if (strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0'))
			return true;
	return false;
}

static void describe(const struct cardmark_probe *p)
{
	char text[128] = "";

	for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
		if (p->capabilities >> i & 1) {
			(void)strcat(text, text[0] != '\0' ? "," : "");
			(void)strcat(text, capabilities[i]);
		}
	tap_note("%-9s | %-3s | level %u | %s | categories 0x%03llx | %s",
		 cardmark_backend_name(p->backend), p->usable ? "yes" : "no", p->level,
		 text[0] != '\0' ? text : "-", (unsigned long long)p->categories, p->reason);
}

int main(void)
{
	struct cardmark_probe probes[PROBES];
	int n = probe_all(probes);
	struct utsname u;

	if (uname(&u) == 0)
		tap_note("%s %s %s, pages of %zu bytes, %ld CPUs", u.sysname, u.release, u.machine,
			 cardmark_card_size(), sysconf(_SC_NPROCESSORS_ONLN));
	for (int i = 0; i < n; i++) {
		const struct cardmark_probe *p = &probes[i];
		const char *name = cardmark_backend_name(p->backend);

		describe(p);
		if (tap_required(name))
			tap_line(p->usable, name, "works on this kernel", NULL);
		else if (refused(name))
			tap_line(!p->usable && strlen(p->reason) > 10, name,
				 "is refused on this kernel, with a reason", NULL);
		else
			tap_line(true, name, "may or may not work here",
				 "neither CARDMARK_REQUIRE nor CARDMARK_REFUSE names it");
	}
	return tap_status();
}
