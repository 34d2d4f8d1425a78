/* SPDX-License-Identifier: MIT
 *
 * A library that has only roots. As rootmod, for roots.c, it is linked without RELRO and start
 * files, so that its one writable segment begins where the linker put it; as rootlib, for
 * rootchange.c, as any other, and larger. */
#ifndef ROOT_BYTES
#define ROOT_BYTES (8192 + 3072 + 512)
#endif

extern void *root_slots[];
void *root_slots[ROOT_BYTES / sizeof(void *)];
