/* SPDX-License-Identifier: MIT
 *
 * A library that is nothing but roots; see roots.c. Linked without RELRO and
 * start files, so that its one writable segment begins where the linker put it. */
extern void *root_slots[];
void *root_slots[(8192 + 3072 + 512) / sizeof(void *)];
