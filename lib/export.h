/* SPDX-License-Identifier: MIT
 *
 * What the core exports to the adapters of the same release, and to no other code: the version
 * node LIBCARDMARK_PRIVATE of libcardmark.map, which promises nothing. */
#ifndef CM_EXPORT_H
#define CM_EXPORT_H

#define CM_PRIVATE_EXPORT __attribute__((visibility("default")))

#endif
