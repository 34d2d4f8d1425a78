/* SPDX-License-Identifier: MIT
 *
 * A read of empty private memory maps a page of zeros there. */
#ifndef CM_ZEROPAGE_H
#define CM_ZEROPAGE_H

#include <stdbool.h>

/* Is that the page which all processes share? Then its page table entry differs from that of an own
 * page that holds zeros. This is not so where the kernel forbids it (mm_forbids_zeropage(), for KVM
 * on s390) and in some virtual machines. Also false if it cannot be found out. */
bool cm_zero_page_is_shared(int pagemap);

#endif
