/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = fuzz_target.run(data, size, 0);

	if (why != NULL) {
		(void)fprintf(stderr, "%s: %s\n", fuzz_target.name, why);
		abort();
	}
	return 0;
}
