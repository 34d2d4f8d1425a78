/* SPDX-License-Identifier: MIT
 *
 * cmocka's headers in the order it wants them. */
#ifndef CM_TESTS_UNIT_H
#define CM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
