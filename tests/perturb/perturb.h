/* SPDX-License-Identifier: MIT
 *
 * The log of perturb.c, which perturb.py reads. */
#ifndef CM_TESTS_PERTURB_H
#define CM_TESTS_PERTURB_H

#define PERTURB_TEXT_BYTES (4 << 20) /* of a module that are told apart */
#define PERTURB_MODULES 4            /* in one log */
#define PERTURB_NAME_BYTES 252

#endif
